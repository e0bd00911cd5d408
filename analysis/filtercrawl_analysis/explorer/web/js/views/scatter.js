/** View: a scatter plot of two measures, and the kernels behind a part of it. */

import { format, h, layerTitle, plural } from "../dom.js";
import { drawKernels } from "../draw.js";
import { checkbox, notMade, select } from "./elements.js";
import { formatBrush, formatRange, inBrush, isDrawn, isLostToLog, KernelPoints, LayerPoints, parseBrush } from "./points.js";
import { ScatterPlot } from "./scatter_plot.js";
import { stripList, Strips } from "./strip.js";

export const label = "Scatter";

const KERNELS_SHOWN = 200;
const PICTURE = 44;

export function mount(root, app) {
  new Scatter(root, app);
}

class Scatter {
  constructor(root, { store, state }) {
    this.store = store;
    this.state = state;
    this.strips = new Strips({ store, state });
    this.sources = { layers: new LayerPoints(store), kernels: new KernelPoints(store) };
    this.turn = 0;
    this.controls = h("div", { class: "controls" });
    this.plot = new ScatterPlot((row) => this.source.name(row));
    this.bounds = h("form", { class: "controls", "aria-label": "Marked part of the plot" });
    this.found = h("div", { class: "count", role: "status" });
    this.kernels = h("div", {});
    root.append(this.controls, this.plot.root, this.bounds, this.found, this.kernels);
    this.bounds.addEventListener("submit", (event) => event.preventDefault());
    this.plot.addEventListener("brush", ({ detail }) => this.setBrush(detail));
    this.plot.addEventListener("open", ({ detail }) => this.open(detail));
    state.addEventListener("change", () => this.request());
    store.addEventListener("rows", () => this.request());
    store.addEventListener("columns", () => this.request());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.request());
    this.request();
  }

  get source() {
    return this.sources[this.state.get("points")] ?? this.sources.layers;
  }

  /** Update once for all changes of a frame, and only while the view is shown. */
  request() {
    if (this.state.get("view") !== "scatter" || this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => {
      this.pending = false;
      this.update();
    });
  }

  async update() {
    const turn = ++this.turn;
    const { source } = this;
    await this.store.ready;
    await source.open();
    if (turn !== this.turn) return;
    const { keys, columns, categories } = source;
    const chosen = (key, list) => list.find((column) => column.name === this.state.get(key));
    const x = chosen(keys.x, columns) ?? columns.find((column) => column.name === source.defaults[0]);
    const y = chosen(keys.y, columns) ?? columns.find((column) => column.name === source.defaults[1]);
    const by = chosen("color", categories);
    const log = [this.state.get("xlog") === "1", this.state.get("ylog") === "1"];
    this.showControls(x, y, by, log);
    const shown = [this.plot.root, this.bounds, this.kernels];
    for (const part of shown) part.hidden = !x || !y;
    if (!x || !y) {
      this.found.replaceChildren(notMade("eigenkernels"));
      return;
    }
    const [xs, ys, groups] = await Promise.all([
      source.values(x.name),
      source.values(y.name),
      by ? source.groups(by.name) : null,
    ]);
    if (turn !== this.turn) return;
    const brush = parseBrush(this.state.get(keys.brush));
    const labels = [x.label, y.label];
    this.axes = [x.name, y.name];
    this.points = { noun: source.noun, rows: source.rows(), xs, ys, groups, log, labels, brush };
    this.showBounds();
    this.plot.show(this.points);
    await this.showKernels(turn);
  }

  showControls(x, y, by, log) {
    if (this.controls.contains(document.activeElement) && this.controlsOf === this.source) return;
    const focused = this.controls.contains(document.activeElement);
    this.controlsOf = this.source;
    const set = (change) => this.state.set(change, { push: true });
    const { columns, categories, keys } = this.source;
    const kinds = [
      { name: "layers", label: "layers" },
      { name: "kernels", label: "single kernels" },
    ];
    const kind = this.source === this.sources.kernels ? "kernels" : "layers";
    const colors = [{ name: "", label: "one color" }, ...categories];
    this.controls.replaceChildren(
      select("Points", kinds, kind, (name) => set({ points: name === "layers" ? null : name, color: null })),
      select("Horizontal", columns, x?.name, (name) => set({ [keys.x]: name, [keys.brush]: null })),
      select("Vertical", columns, y?.name, (name) => set({ [keys.y]: name, [keys.brush]: null })),
      select("Color", colors, by?.name ?? "", (name) => set({ color: name || null })),
      h(
        "div",
        { class: "field" },
        checkbox("log horizontal", log[0], (on) => set({ xlog: on ? "1" : null })),
        checkbox("log vertical", log[1], (on) => set({ ylog: on ? "1" : null })),
      ),
    );
    if (focused) this.controls.querySelector("select").focus();
  }

  /** Number fields for the marked part; one that is being typed in stays as it is. */
  showBounds() {
    const { labels, brush, noun } = this.points;
    const key = JSON.stringify([labels, noun]);
    if (this.boundsOf !== key) this.makeBounds(labels, noun);
    this.boundsOf = key;
    const bounds = brush ? [...brush.x, ...brush.y] : ["", "", "", ""];
    this.fields.forEach((field, i) => {
      if (field !== document.activeElement) field.value = brush ? Number(bounds[i].toPrecision(6)) : "";
    });
    for (const button of this.bounds.querySelectorAll("button")) button.disabled = !brush;
  }

  makeBounds(labels, noun) {
    this.fields = ["from", "to", "from", "to"].map((end, i) => {
      const field = h("input", {
        type: "number",
        step: "any",
        placeholder: end,
        "aria-label": `${labels[i >> 1]}, ${end}`,
      });
      field.addEventListener("change", () => this.readBounds(this.fields));
      return field;
    });
    const button = (text, onclick) => h("button", { type: "button", onclick }, text);
    const pair = (name, fields) =>
      h("div", { class: "field" }, h("span", { class: "label" }, name), h("span", { class: "pair" }, fields));
    this.bounds.replaceChildren(
      pair(labels[0], this.fields.slice(0, 2)),
      pair(labels[1], this.fields.slice(2)),
      button("Clear", () => this.setBrush(null)),
      noun === "layer" ? button("Keep as filter", () => this.keepAsFilter()) : "",
    );
  }

  readBounds(fields) {
    const { x, y } = this.plot.limits;
    const [a, b, c, d] = fields.map((field, i) => (field.value === "" ? [...x, ...y][i] : Number(field.value)));
    const empty = fields.every((field) => field.value === "");
    this.setBrush(empty ? null : { x: [Math.min(a, b), Math.max(a, b)], y: [Math.min(c, d), Math.max(c, d)] });
  }

  setBrush(brush) {
    const { x, y, brush: key } = this.source.keys;
    this.state.set({ [x]: this.axes[0], [y]: this.axes[1], [key]: brush && formatBrush(brush) }, { push: true });
  }

  /** Make the marked part a filter of all views. */
  keepAsFilter() {
    const { brush } = this.points;
    const filters = { [`f.${this.axes[0]}`]: formatRange(brush.x), [`f.${this.axes[1]}`]: formatRange(brush.y) };
    this.state.set({ ...filters, brush: null }, { push: true });
  }

  async open(row) {
    const { source } = this;
    const first = async () => (await this.store.samples(row)).ids[0] ?? (await this.store.layer(row, ["layer_id"])).layer_id;
    const id = source.noun === "kernel" ? await source.name(row) : await first();
    this.state.set({ kernel: id }, { push: true });
  }

  async showKernels(turn) {
    const { source, points } = this;
    const chosen = points.rows.filter((row) => isDrawn(points, row) && (!points.brush || inBrush(points, row)));
    const where = points.brush ? "in the marked part" : "in the plot; drag over a part of it to see the kernels there";
    const lost = points.rows.filter((row) => isLostToLog(points, row)).length;
    const rest = lost ? `. ${plural(lost, source.noun)} left out: a logarithmic axis has no place for values at or below 0` : "";
    this.found.textContent = `${plural(chosen.length, source.noun)} ${where}${rest}`;
    if (source.noun === "kernel") {
      this.kernels.replaceChildren(this.pictures(source, chosen));
      return;
    }
    const names = ["layer", "model_id", "kernel", "n_kernels"];
    const [layers, models, sizes, amounts] = await Promise.all(names.map((name) => this.store.column(name)));
    if (turn !== this.turn) return;
    const describe = (row) => ({
      name: layerTitle(layers.values[row]),
      notes: [
        models.categories[models.values[row]],
        `${sizes.categories[sizes.values[row]]}, ${plural(amounts.values[row], "kernel")}`,
      ],
    });
    this.kernels.replaceChildren(stripList(this.strips, chosen, describe));
  }

  pictures(source, chosen) {
    const items = Array.from(chosen.slice(0, KERNELS_SHOWN), (place) => {
      const { kernel_id: id, size, values } = source.kernels[place];
      const canvas = h("canvas", { "aria-hidden": "true" });
      const cell = Math.max(1, Math.floor(PICTURE / Math.max(...size)));
      drawKernels(canvas, { values, size, count: 1, columns: 1, scale: "kernel", cell });
      const open = () => this.state.set({ kernel: id }, { push: true });
      const name = { "aria-label": id, title: id };
      return h("li", {}, h("button", { type: "button", class: "strip-picture", ...name, onclick: open }, canvas));
    });
    const rest = chosen.length - items.length;
    return h(
      "div",
      {},
      h("ul", { class: "pictures" }, items),
      rest > 0 && h("p", { class: "note" }, `and ${format(rest)} more`),
    );
  }
}
