// Filters of one column: a list of values with their counts, or a lower and an upper bound.

import { UNKNOWN } from "./data/columns.js";
import { UNKNOWN_VALUE, columnsOf, select } from "./data/selection.js";
import { h } from "./dom.js";

const SHOWN = 12;
// So many more at each press of a button.
const MORE = 100;

/**
 * A list of values with their counts, which are of the layers that pass all other filters.
 *
 * @returns {{name: string, node: HTMLElement, update: () => void}}
 */
export function categoryFacet(name, { store, state, open = false }) {
  const key = `f.${name}`;
  const list = h("ul");
  const find = h("input", {
    type: "search", "aria-label": `Find in ${store.label(name)}`, placeholder: "find", hidden: true, oninput: () => show(),
  });
  const node = h("details", { class: "facet", open: open || state.get(key) !== null, ontoggle: () => update() },
    h("summary", {}, store.label(name)), find, list);
  let options = [];
  let limit = SHOWN;

  const show = () => {
    const chosen = new Set(state.getAll(key));
    const text = find.value.toLowerCase();
    const matching = options.filter(({ title, value }) => chosen.has(value) || title.toLowerCase().includes(text));
    const shown = matching.slice(0, Math.max(limit, chosen.size));
    const focused = list.contains(document.activeElement) ? document.activeElement.value : null;
    list.replaceChildren(...shown.map((option) => optionNode(option, chosen)));
    if (matching.length > shown.length) list.append(h("li", { class: "more" }, more(matching.length - shown.length)));
    find.hidden = options.length <= SHOWN;
    if (focused !== null) [...list.querySelectorAll("input")].find((box) => box.value === focused)?.focus();
  };
  const more = (count) => h("button", {
    type: "button",
    onclick: () => {
      const next = list.querySelectorAll("input").length;
      limit = next + MORE;
      show();
      list.querySelectorAll("input")[next].focus();
    },
  }, `${count.toLocaleString("en")} more`);
  const optionNode = ({ value, title, count }, chosen) => {
    const box = h("input", {
      type: "checkbox", value, checked: chosen.has(value),
      onchange: () => {
        const values = new Set(state.getAll(key));
        if (box.checked) values.add(value);
        else values.delete(value);
        state.set({ [key]: [...values] }, { push: true });
      },
    });
    return h("li", {}, h("label", {}, box, h("span", { class: "value", title }, title),
      h("span", { class: "count" }, count.toLocaleString("en"))));
  };
  const update = async () => {
    const current = store.selection;
    if (!node.open || node.hidden || !current) return;
    const { [name]: chosen = [], ...filters } = current.filters;
    const selection = { ...current, filters, sort: null };
    const names = columnsOf(selection);
    const [column, ...found] = await Promise.all([name, ...names].map((each) => store.column(each)));
    if (current !== store.selection) return; // counts of another selection are on their way
    const { rows } = select(selection, new Map(names.map((each, i) => [each, found[i]])), store.n);
    options = countValues(column, rows, chosen);
    show();
  };
  return { name, node, update };
}

/**
 * Values with how many rows have them: first those that are chosen, then the most frequent.
 *
 * @param {object} column of categories or lists
 * @param {Uint32Array} rows
 * @param {string[]} chosen values that stay in the list where no row has them
 * @returns {{value: string, title: string, count: number}[]}
 */
export function countValues({ kind, values, categories }, rows, chosen) {
  const counts = new Map(chosen.map((value) => [value, 0]));
  if (kind === "list") {
    for (const row of rows) {
      const found = values[row]?.length ? values[row] : [UNKNOWN_VALUE];
      for (const value of found) counts.set(String(value), (counts.get(String(value)) ?? 0) + 1);
    }
  } else {
    const byCode = new Uint32Array(categories.length + 1);
    for (const row of rows) byCode[values[row] === UNKNOWN ? categories.length : values[row]]++;
    byCode.forEach((count, code) => count && counts.set(categories[code] ?? UNKNOWN_VALUE, count));
  }
  const options = [...counts].map(([value, count]) => ({ value, title: value === UNKNOWN_VALUE ? "unknown" : value, count }));
  const isChosen = new Set(chosen);
  return options.sort((a, b) =>
    isChosen.has(b.value) - isChosen.has(a.value) || b.count - a.count || (a.title < b.title ? -1 : 1));
}

/** Whether a column tells layers apart. */
export function distinguishes({ kind, values, categories }) {
  if (kind === "number") return values.some((value) => !Number.isNaN(value));
  if (kind === "list") return new Set(values.map(String)).size > 1;
  return categories.length > 1 || (categories.length === 1 && values.includes(UNKNOWN));
}

/** A lower and an upper bound. */
export function rangeFacet(name, { store, state, open = false }) {
  const key = `f.${name}`;
  const change = () => {
    const value = `${low.value}..${high.value}`;
    state.set({ [key]: value === ".." ? null : value }, { push: true });
  };
  const input = (title) => h("input", {
    type: "number", step: "any", inputmode: "decimal", placeholder: title, "aria-label": `${store.label(name)}, ${title}`,
    onchange: change,
  });
  const [low, high] = [input("from"), input("to")];
  const node = h("details", { class: "facet", open: open || state.get(key) !== null },
    h("summary", {}, store.label(name)), h("div", { class: "range" }, low, high));
  const update = () => {
    const [from, to = from] = (state.get(key) ?? "").split("..");
    const read = (text) => (Number.isFinite(Number(text)) ? text : "");
    if (document.activeElement !== low) low.value = read(from);
    if (document.activeElement !== high) high.value = read(to);
  };
  update();
  return { name, node, update };
}
