// What stands above the views: the search, the sort, and the chosen filters.

import { selectionOf } from "./data/selection.js";
import { h } from "./dom.js";

const TYPING_MS = 150;

/** The search field follows the address, but not while somebody types. */
export function mountSearch(input, state) {
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

/** Show the chosen filters; each is removed by a click. */
export function showChips(root, { store, state }) {
  const chip = (text, changes) => h("button", {
    type: "button", class: "chip", "aria-label": `Remove ${text}`, onclick: () => state.set(changes, { push: true }),
  }, text, h("span", { "aria-hidden": "true" }, " ×"));
  const filters = Object.entries(selectionOf(state).filters).flatMap(([name, values]) =>
    values.map((value) => chip(`${store.label(name)}: ${titleOf(value)}`, { [`f.${name}`]: values.filter((other) => other !== value) })));
  if (state.get("brush") && state.get("x") && state.get("y")) {
    filters.push(chip(`${store.label(state.get("x"))} and ${store.label(state.get("y"))} in the marked area`, { brush: null }));
  }
  const keys = state.keys().filter((key) => key.startsWith("f.") || key === "brush");
  if (filters.length > 1) {
    filters.push(h("button", {
      type: "button", class: "chip clear", onclick: () => state.set(Object.fromEntries(keys.map((key) => [key, null])), { push: true }),
    }, "Clear all"));
  }
  root.replaceChildren(...filters);
}

function titleOf(value) {
  if (value === "") return "unknown";
  const [low, high] = value.split("..");
  if (high === undefined) return value;
  if (low === "") return `at most ${high}`;
  return high === "" ? `at least ${low}` : `${low} to ${high}`;
}

/** Show what the layers are sorted by. */
export function showSort(root, { store, state }) {
  const current = state.get("sort") ?? "";
  const name = current.replace(/^-/, "");
  const descending = current.startsWith("-");
  const option = ({ name: value, label }) => h("option", { value, selected: value === name }, label);
  const choice = h("select", {
    onchange: () => state.set({ sort: choice.value ? `-${choice.value}` : null }, { push: true }),
  },
    h("option", { value: "", selected: !name }, "order of the dataset"),
    h("optgroup", { label: "Numbers" }, ...store.numericColumns().map(option)),
    h("optgroup", { label: "Categories" }, ...store.categoryColumns().map(option)));
  const title = descending ? "Largest first" : "Smallest first";
  const turn = h("button", {
    type: "button", class: "direction", disabled: !name, "aria-label": title, title,
    onclick: () => state.set({ sort: descending ? name : `-${name}` }, { push: true }),
  }, descending ? "↓" : "↑");
  const focused = root.contains(document.activeElement) ? document.activeElement.tagName : null;
  root.replaceChildren(h("label", {}, "Sort by ", choice), turn);
  if (focused) root.querySelector(focused)?.focus();
}
