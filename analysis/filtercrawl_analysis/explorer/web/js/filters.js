// The panel of filters, the chosen ones above the grid, the sort and the search.

import { UNKNOWN } from "./data/columns.js";
import { columnsOf, select, selectionOf } from "./data/selection.js";
import { element } from "./dom.js";

// Filters that are always offered; those of the analyses join them where the tables are there.
const CATEGORIES = [
  "source", "family", "architecture", "model_id", "task", "training_dataset", "kernel", "op", "depthwise", "weight_kind",
  "license", "layer_quality.verdict", "layer_form.form",
];
const RANGES = ["conv_depth_norm", "sparsity", "variance_entropy_norm", "orthogonality", "n_kernels"];
const SHOWN = 12;
const TYPING_MS = 150;

/** Mount panel, chips, sort and search. */
export function mountFilters({ panel, chips, sort, search }, { store, state }) {
  const facets = element("div", { class: "facets" });
  const whole = element("details", { class: "all-filters", open: matchMedia("(min-width: 60rem)").matches },
    element("summary", {}, "Filters"), facets);
  panel.append(whole);
  mountSearch(search, state);
  const known = new Map();

  const offer = () => {
    const categories = new Set(store.categoryColumns().map(({ name }) => name));
    const numbers = new Set(store.numericColumns().map(({ name }) => name));
    for (const name of CATEGORIES) if (categories.has(name) && !known.has(name)) add(categoryFacet(name, { store, state }));
    for (const name of RANGES) if (numbers.has(name) && !known.has(name)) add(rangeFacet(name, { store, state }));
    showSort(sort, { store, state });
  };
  const add = (facet) => {
    known.set(facet.name, facet);
    facets.append(facet.node);
  };
  const update = () => {
    for (const facet of known.values()) facet.update();
    showChips(chips, { store, state });
  };
  store.ready.then(() => {
    offer();
    facets.append(element("label", { class: "all-layers" }, allLayers(state), " layers without stored kernels too"));
    update();
  }, () => {});
  store.addEventListener("columns", offer);
  store.addEventListener("rows", update);
  state.addEventListener("change", ({ detail }) => detail.includes("sort") && showSort(sort, { store, state }));
}

function mountSearch(input, state) {
  let timer = 0;
  input.value = state.get("q") ?? "";
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => state.set({ q: input.value || null }), TYPING_MS);
  });
  state.addEventListener("change", () => {
    if (document.activeElement !== input) input.value = state.get("q") ?? "";
  });
}

function allLayers(state) {
  const box = element("input", { type: "checkbox", onchange: () => state.set({ all: box.checked ? "1" : null }, { push: true }) });
  const show = () => (box.checked = state.get("all") === "1");
  state.addEventListener("change", show);
  show();
  return box;
}

/** A list of values with their counts; counts are of the layers that pass all other filters. */
function categoryFacet(name, { store, state }) {
  const key = `f.${name}`;
  const list = element("ul");
  const find = element("input", { type: "search", "aria-label": `Find in ${store.label(name)}`, placeholder: "find", hidden: true,
    oninput: () => show() });
  const node = element("details", { class: "facet", open: state.get(key) !== null, ontoggle: () => update() },
    element("summary", {}, store.label(name)), find, list);
  let options = [];

  const show = () => {
    const chosen = new Set(state.getAll(key));
    const text = find.value.toLowerCase();
    const matching = options.filter(({ title, value }) => chosen.has(value) || title.toLowerCase().includes(text));
    const shown = matching.slice(0, Math.max(SHOWN, chosen.size));
    const focused = list.contains(document.activeElement) ? document.activeElement.value : null;
    list.replaceChildren(...shown.map((option) => optionNode(option, chosen)));
    if (matching.length > shown.length) list.append(element("li", { class: "more" }, `${matching.length - shown.length} more`));
    find.hidden = options.length <= SHOWN;
    if (focused !== null) [...list.querySelectorAll("input")].find((box) => box.value === focused)?.focus();
  };
  const optionNode = ({ value, title, count }, chosen) => {
    const box = element("input", {
      type: "checkbox", value, checked: chosen.has(value),
      onchange: () => {
        const values = new Set(state.getAll(key));
        if (box.checked) values.add(value);
        else values.delete(value);
        state.set({ [key]: [...values] }, { push: true });
      },
    });
    return element("li", {}, element("label", {}, box, element("span", { class: "value", title }, title),
      element("span", { class: "count" }, count.toLocaleString("en"))));
  };
  const update = async () => {
    if (!node.open || !store.n) return;
    const selection = selectionOf(state);
    const chosen = selection.filters[name] ?? [];
    delete selection.filters[name];
    const names = columnsOf(selection);
    const [column, ...found] = await Promise.all([name, ...names].map((each) => store.column(each)));
    const { rows } = select(selection, new Map(names.map((each, i) => [each, found[i]])), store.n);
    options = countValues(column, rows, chosen);
    show();
  };
  return { name, node, update };
}

/** Values with how many rows have them, the most frequent first; chosen ones stay in the list. */
function countValues({ values, categories }, rows, chosen) {
  const counts = new Uint32Array(categories.length + 1);
  for (const row of rows) counts[values[row] === UNKNOWN ? categories.length : values[row]]++;
  const options = categories.map((value, code) => ({ value, title: value, count: counts[code] }));
  options.push({ value: "", title: "unknown", count: counts.at(-1) });
  return options
    .filter(({ value, count }) => count || chosen.includes(value))
    .sort((a, b) => chosen.includes(b.value) - chosen.includes(a.value) || b.count - a.count || (a.title < b.title ? -1 : 1));
}

/** Lower and upper bound of a number. */
function rangeFacet(name, { store, state }) {
  const key = `f.${name}`;
  const change = () => {
    const value = `${low.value}..${high.value}`;
    state.set({ [key]: value === ".." ? null : value }, { push: true });
  };
  const input = (title) => element("input", { type: "number", step: "any", inputmode: "decimal", placeholder: title,
    "aria-label": `${store.label(name)}, ${title}`, onchange: change });
  const [low, high] = [input("from"), input("to")];
  const node = element("details", { class: "facet", open: state.get(key) !== null },
    element("summary", {}, store.label(name)), element("div", { class: "range" }, low, high));
  const update = () => {
    const [from, to] = state.get(key)?.split("..") ?? ["", ""];
    if (document.activeElement !== low) low.value = from;
    if (document.activeElement !== high) high.value = to ?? "";
  };
  update();
  return { name, node, update };
}

function showChips(root, { store, state }) {
  const chip = (text, changes) => element("button", { type: "button", class: "chip", "aria-label": `Remove ${text}`,
    onclick: () => state.set(changes, { push: true }) }, text, element("span", { "aria-hidden": "true" }, " ×"));
  const filters = Object.entries(selectionOf(state).filters).flatMap(([name, values]) => values.map((value) =>
    chip(`${store.label(name)}: ${value === "" ? "unknown" : value.replace("..", " to ")}`,
      { [`f.${name}`]: values.filter((other) => other !== value) })));
  if (state.get("brush")) {
    filters.push(chip(`${store.label(state.get("x"))} and ${store.label(state.get("y"))} in the marked area`, { brush: null }));
  }
  const keys = state.keys().filter((key) => key.startsWith("f.") || key === "brush");
  if (keys.length > 1) {
    filters.push(element("button", { type: "button", class: "chip clear",
      onclick: () => state.set(Object.fromEntries(keys.map((key) => [key, null])), { push: true }) }, "Clear all"));
  }
  root.replaceChildren(...filters);
}

function showSort(root, { store, state }) {
  const current = state.get("sort") ?? "";
  const name = current.replace(/^-/, "");
  const descending = current.startsWith("-");
  const option = ({ name: value, label }) => element("option", { value, selected: value === name }, label);
  const choice = element("select", { onchange: () => state.set({ sort: choice.value ? `-${choice.value}` : null }, { push: true }) },
    element("option", { value: "", selected: !name }, "order of the dataset"),
    element("optgroup", { label: "Numbers" }, ...store.numericColumns().map(option)),
    element("optgroup", { label: "Categories" }, ...store.categoryColumns().map(option)));
  const turn = element("button", { type: "button", class: "direction", disabled: !name,
    "aria-label": descending ? "Largest first" : "Smallest first", title: descending ? "largest first" : "smallest first",
    onclick: () => state.set({ sort: descending ? name : `-${name}` }, { push: true }) }, descending ? "↓" : "↑");
  const focused = root.contains(document.activeElement) ? document.activeElement.tagName : null;
  root.replaceChildren(element("label", {}, "Sort by ", choice), turn);
  if (focused) root.querySelector(focused)?.focus();
}
