// The panel of filters.

import { h } from "./dom.js";
import { categoryFacet, distinguishes, rangeFacet } from "./facets.js";
import { mountSearch, showChips, showSort } from "./toolbar.js";

// What is offered, in this order; columns of the analyses where their tables are there.
const CATEGORIES = [
  "source", "family", "architecture", "model_id", "task", "training_dataset", "kernel", "op", "depthwise", "weight_kind",
  "license", "layer_quality.verdict", "form_kernels.form",
];
const NUMBERS = ["conv_depth_norm", "sparsity", "variance_entropy_norm", "orthogonality", "n_kernels"];
// Open from the start where there is room.
const OPEN = "kernel";
const WIDE = "(min-width: 60rem)";

/** Mount panel, chips, sort and search. */
export function mountFilters({ panel, chips, sort, search }, { store, state }) {
  const filters = new Filters({ store, state });
  panel.append(filters.node);
  mountSearch(search, state);
  const update = () => {
    filters.update();
    showChips(chips, { store, state });
  };
  const offer = () => {
    filters.offer();
    showSort(sort, { store, state });
    update();
  };
  store.ready.then(offer, () => {});
  store.addEventListener("columns", offer);
  store.addEventListener("rows", update);
  state.addEventListener("change", ({ detail }) => {
    if (detail.includes("sort")) showSort(sort, { store, state });
    if (detail.some((key) => key.startsWith("f."))) filters.offer();
  });
}

class Filters {
  #store;
  #state;
  #facets = new Map();
  #list = h("div", { class: "facets" });
  #more;

  constructor({ store, state }) {
    this.#store = store;
    this.#state = state;
    this.#more = h("select", { "aria-label": "Filter by another column", onchange: () => this.#add() });
    const all = h("label", { class: "all-layers" }, allLayers(state), " layers without stored kernels too");
    this.node = h("details", { class: "all-filters", open: matchMedia(WIDE).matches },
      h("summary", {}, "Filters"), this.#list, h("p", { class: "more-filters" }, this.#more), all);
  }

  /** Offer the columns that there are now, and those that the address filters by. */
  offer() {
    const [categories, numbers] = this.#known();
    const chosen = this.#state.keys().filter((key) => key.startsWith("f.")).map((key) => key.slice(2));
    for (const name of [...CATEGORIES, ...NUMBERS, ...chosen]) {
      if (categories.has(name)) this.#put(name, categoryFacet);
      else if (numbers.has(name)) this.#put(name, rangeFacet);
    }
    const others = [...categories, ...numbers].filter(([name]) => !this.#facets.has(name));
    this.#more.replaceChildren(h("option", { value: "" }, "another column …"),
      ...others.map(([name, label]) => h("option", { value: name }, label)));
  }

  update() {
    for (const facet of this.#facets.values()) facet.update();
    if (this.#store.selection) this.#hideUseless();
  }

  /** Labels of columns by name. */
  #known() {
    const labels = (columns) => new Map(columns.map(({ name, label }) => [name, label]));
    const lists = this.#store.listColumns().filter(({ name }) => CATEGORIES.includes(name));
    return [labels([...this.#store.categoryColumns(), ...lists]), labels(this.#store.numericColumns())];
  }

  #put(name, make, open = name === OPEN && matchMedia(WIDE).matches) {
    if (this.#facets.has(name)) return;
    const facet = make(name, { store: this.#store, state: this.#state, open });
    this.#facets.set(name, facet);
    const order = [...CATEGORIES, ...NUMBERS];
    const place = (each) => (order.includes(each) ? order.indexOf(each) : order.length);
    const next = [...this.#list.children].find((node) => place(node.dataset.name) > place(name));
    facet.node.dataset.name = name;
    this.#list.insertBefore(facet.node, next ?? null);
  }

  /** Add the facet that was chosen from the list of other columns. */
  #add() {
    const name = this.#more.value;
    const [categories] = this.#known();
    this.#put(name, categories.has(name) ? categoryFacet : rangeFacet, true);
    this.offer();
    const facet = this.#facets.get(name);
    facet.update();
    facet.node.querySelector("summary").focus();
  }

  /** Columns in which all layers are alike are not shown, unless the address filters by them. */
  async #hideUseless() {
    for (const [name, { node }] of this.#facets) {
      if (node.dataset.checked) continue;
      node.dataset.checked = "yes";
      const column = await this.#store.column(name);
      node.hidden = !distinguishes(column) && this.#state.get(`f.${name}`) === null;
    }
  }
}

function allLayers(state) {
  const box = h("input", {
    type: "checkbox", onchange: () => state.set({ all: box.checked ? "1" : null }, { push: true }),
  });
  const show = () => (box.checked = state.get("all") === "1");
  state.addEventListener("change", show);
  show();
  return box;
}
