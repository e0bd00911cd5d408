/** View: two models or two groups of layers side by side. */

import { combo, select } from "./elements.js";
import { format, h, layerTitle, plural } from "../dom.js";
import { columnOf, difference, formatGroup, GROUP_COLUMNS, groupName, groupRows, parseGroup, splitUnknown } from "./groups.js";
import { histogram } from "./histogram.js";
import { pairDrift } from "./relatives.js";
import { Strips } from "./strip.js";

export const label = "Compare";

const MEASURES = ["sparsity", "variance_entropy_norm", "orthogonality", "norm_linf", "conv_depth_norm"];
const LAYERS_SHOWN = 12;
/** More values than these are typed rather than listed. */
const LISTED = 100;

export function mount(root, app) {
  new Compare(root, app);
}

/**
 * Places of `shown` items spread over `n`, or of all where there are no more.
 *
 * Each is at another place of its share of the items: at the same one, a group of networks of three layers would show
 * the first layer of each.
 */
export function spread(n, shown) {
  if (n <= shown) return Array.from({ length: n }, (_, i) => i);
  const golden = (Math.sqrt(5) - 1) / 2;
  return Array.from({ length: shown }, (_, i) => Math.floor(((i + ((i * golden) % 1)) * n) / shown));
}

class Compare {
  constructor(root, { store, state }) {
    this.store = store;
    this.state = state;
    this.strips = new Strips({ store, state }, { limit: 8, pixels: 40 });
    this.turn = 0;
    this.choosers = { a: h("fieldset", { class: "side side-a" }), b: h("fieldset", { class: "side side-b" }) };
    this.result = h("div", {});
    root.append(h("div", { class: "sides" }, this.choosers.a, this.choosers.b), this.result);
    state.addEventListener("change", () => this.update());
    store.addEventListener("rows", () => this.update());
    this.update();
  }

  async update() {
    if (this.state.get("view") !== "compare") return;
    const turn = ++this.turn;
    await this.store.ready;
    const [a, b] = await Promise.all(["a", "b"].map((side) => splitUnknown(this.store, parseGroup(this.state.get(side)))));
    const groups = { a: a.known, b: b.known };
    const unknown = [...new Set([...a.unknown, ...b.unknown])];
    await Promise.all([this.choose("a", groups.a), this.choose("b", groups.b)]);
    const rows = { a: await groupRows(this.store, groups.a), b: await groupRows(this.store, groups.b) };
    const content = groups.a.length && groups.b.length ? await this.comparison(groups, rows) : [this.invitation()];
    if (unknown.length) content.unshift(h("p", { class: "count" }, `This dataset has no column ${unknown.join(", ")}.`));
    if (turn !== this.turn) return;
    this.result.replaceChildren(...content.filter(Boolean));
  }

  invitation() {
    return h(
      "p",
      { class: "count" },
      "Choose two groups of layers, for example two models or two families. The filters of the page hold for both.",
    );
  }

  /** Fields for the conditions of a side; one more than there are. */
  async choose(side, conditions) {
    const field = this.choosers[side];
    const shown = formatGroup(conditions) ?? "";
    if (field.contains(document.activeElement) && field.dataset.shown === shown) return;
    field.dataset.shown = shown;
    const known = await this.columns();
    const set = (changed) => this.state.set({ [side]: formatGroup(changed) }, { push: true });
    const lines = await Promise.all(
      conditions.map(([column, value], i) =>
        this.condition({ side, known, column, value }, (changed) =>
          set(changed ? conditions.with(i, changed) : conditions.toSpliced(i, 1)),
        ),
      ),
    );
    if (field.dataset.shown !== shown) return; // other conditions were chosen meanwhile
    const offered = [{ name: "", label: conditions.length ? "and …" : "choose …" }, ...known];
    const first = (column) => this.values(column).then((values) => set([...conditions, [column, values[0] ?? ""]]));
    field.replaceChildren(
      h("legend", {}, side === "a" ? "First group" : "Second group"),
      ...lines,
      select("Layers with", offered, "", (column) => column && first(column)),
    );
  }

  async condition({ side, known, column: written, value }, change) {
    const { column, excluded } = columnOf(written);
    const values = await this.values(column);
    const label = known.find((entry) => entry.name === column)?.label ?? column;
    const name = excluded ? `${label}, left out` : label;
    const options = values.map((option) => ({ name: option, label: option || "unknown" }));
    if (!values.includes(value)) options.unshift({ name: value, label: value || "unknown" });
    const chosen = (changed) => change([written, changed]);
    const field = values.length > LISTED ? combo(name, values, value, chosen) : select(name, options, value, chosen);
    const remove = h(
      "button",
      {
        type: "button",
        class: "small",
        "aria-label": `Remove the condition on ${name}, side ${side}`,
        onclick: () => change(null),
      },
      "Remove",
    );
    return h("div", { class: "condition" }, field, remove);
  }

  async columns() {
    const all = [...this.store.categoryColumns(), ...this.store.numericColumns()];
    return GROUP_COLUMNS.flatMap((name) => all.filter((column) => column.name === name));
  }

  /** Values of a column, sorted. */
  async values(name) {
    const column = await this.store.column(name);
    if (column.categories) return [...column.categories].sort();
    const found = new Set(column.values.filter(Number.isFinite));
    return [...found]
      .sort((a, b) => a - b)
      .map(String);
  }

  async comparison(groups, rows) {
    const sizes = groups.a.filter(([column]) => column === "kernel").map(([, value]) => value);
    const labelOf = (column) => this.store.label(column);
    const titles = { a: groupName(groups.a, labelOf), b: groupName(groups.b, labelOf) };
    const sides = await Promise.all(["a", "b"].map((side) => this.side(side, titles[side], rows[side])));
    return [
      h("h2", { class: "hidden" }, "Comparison"),
      h(
        "p",
        { class: "count", role: "status" },
        `${plural(rows.a.length, "layer")} against ${plural(rows.b.length, "layer")}`,
      ),
      h("div", { class: "sides results" }, sides),
      h("section", {}, h("h3", {}, "Measures by layer"), await this.distributions(rows, titles)),
      await pairDrift(this.store, difference(groups.a, groups.b), sizes),
    ];
  }

  async side(side, title, rows) {
    const [models, kernels, layers, sizes] = await Promise.all(
      ["model_id", "n_kernels", "layer", "kernel"].map((name) => this.store.column(name)),
    );
    const distinct = new Set(Array.from(rows, (row) => models.values[row])).size;
    const total = rows.reduce((sum, row) => sum + kernels.values[row], 0);
    const shown = spread(rows.length, LAYERS_SHOWN).map((place) => rows[place]);
    const strips = shown.map((row) =>
      this.strips.figure(row, { name: layerTitle(layers.values[row]), notes: [sizes.categories[sizes.values[row]]] }),
    );
    return h(
      "section",
      { class: `side side-${side}` },
      h("h3", {}, title),
      h(
        "p",
        { class: "note" },
        `${plural(distinct, "model")}, ${plural(rows.length, "layer")}, ${plural(total, "kernel")}`,
      ),
      h("div", { class: "strips" }, strips),
      rows.length > shown.length &&
        h("p", { class: "note" }, `${shown.length} of ${format(rows.length)} layers, spread over all`),
    );
  }

  async distributions(rows, titles) {
    const plots = await Promise.all(
      MEASURES.map(async (name) => {
        const { values } = await this.store.column(name);
        const groups = [rows.a, rows.b].map((chosen) => Float64Array.from(chosen, (row) => values[row]));
        return histogram(this.store.label(name), groups, [titles.a, titles.b]);
      }),
    );
    const known = plots.filter(Boolean);
    if (!known.length) return h("p", { class: "note" }, "No measure is known for both.");
    const key = ["a", "b"].map((side) => h("span", { class: `key side-${side}` }, titles[side]));
    return h("div", {}, h("p", { class: "note" }, key), h("div", { class: "small-plots" }, known));
  }
}
