/** View: a scatter plot of two measures, and the kernels behind a part of it. */

import { drawKernels } from "../draw.js";
import { checkbox, h, select, svg } from "./elements.js";
import { color, extent, groupColors, Scale } from "./axes.js";
import { format, plural } from "../dom.js";
import { layerName } from "./format.js";
import { drawPoints } from "./point_layer.js";
import { describePlot, formatBrush, KernelPoints, LayerPoints, parseBrush, rankGroups } from "./points.js";
import { stripList, Strips } from "./strip.js";

export const label = "Scatter";

const MARGIN = { top: 12, right: 12, bottom: 44, left: 64 };
const KERNELS_SHOWN = 200;

export function mount(root, app) {
  new Scatter(root, app);
}

class Scatter {
  constructor(root, { store, state }) {
    this.root = root;
    this.store = store;
    this.state = state;
    this.strips = new Strips({ store, state });
    this.sources = { layers: new LayerPoints(store), kernels: new KernelPoints(store) };
    this.opened = new Map();
    this.frame = 0;
    this.build();
    state.addEventListener("change", () => this.request());
    store.addEventListener("rows", () => this.request());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(this.plot);
    this.request();
  }

  build() {
    this.controls = h("div", { class: "controls" });
    this.canvas = h("canvas", { role: "img" });
    this.overlay = svg("svg", { class: "overlay", "aria-hidden": "true" });
    this.tooltip = h("div", { class: "tooltip", "aria-hidden": "true", hidden: true });
    this.plot = h("div", { class: "plot" }, this.canvas, this.overlay, this.tooltip);
    this.legend = h("ul", { class: "legend", "aria-label": "Colors" });
    this.bounds = h("form", { class: "controls bounds", "aria-label": "Part of the plot" });
    this.found = h("p", { class: "count", role: "status" });
    this.kernels = h("div", {});
    this.root.append(this.controls, this.plot, this.legend, this.bounds, this.found, this.kernels);
    this.overlay.addEventListener("pointerdown", (event) => this.startBrush(event));
    this.overlay.addEventListener("pointermove", (event) => this.point(event));
    this.overlay.addEventListener("pointerleave", () => (this.tooltip.hidden = true));
    this.bounds.addEventListener("submit", (event) => event.preventDefault());
  }

  get source() {
    return this.sources[this.state.get("points")] ?? this.sources.layers;
  }

  /** Update once for all changes of a frame, and only while the view is shown. */
  request() {
    if (this.state.get("view") !== "scatter" || this.pending) return;
    this.pending = true;
    requestAnimationFrame(async () => {
      this.pending = false;
      await this.update();
    });
  }

  async update() {
    const source = this.source;
    if (!this.opened.has(source))
      this.opened.set(
        source,
        this.store.ready.then(() => source.open()),
      );
    await this.opened.get(source);
    const known = (name, list) => (list.some((column) => column.name === name) ? name : undefined);
    const keys = source.keys;
    const x = known(this.state.get(keys.x), source.columns) ?? source.defaults[0];
    const y = known(this.state.get(keys.y), source.columns) ?? source.defaults[1];
    const by = known(this.state.get("color"), source.categories);
    const log = [this.state.get("xlog") === "1", this.state.get("ylog") === "1"];
    if (!x || !y) {
      this.showControls(x, y, by, log);
      this.found.textContent = "No kernels of the chosen layers are sampled.";
      return;
    }
    const turn = ++this.frame;
    const [xs, ys, groups] = await Promise.all([source.values(x), source.values(y), by ? source.groups(by) : null]);
    if (turn !== this.frame) return;
    const names = Object.fromEntries(source.columns.map((column) => [column.name, column.label]));
    this.shown = { source, xs, ys, groups, log, rows: source.rows(), axes: [x, y], labels: [names[x], names[y]] };
    this.brush = parseBrush(this.state.get(keys.brush));
    this.showControls(x, y, by, log);
    this.showBounds();
    this.draw();
    await this.showKernels(turn);
  }

  showControls(x, y, by, log) {
    if (this.controls.contains(document.activeElement) && this.controlsOf === this.source) return;
    this.controlsOf = this.source;
    const set = (change) => this.state.set(change, { push: false });
    const { columns, categories, keys } = this.source;
    const points = [
      { name: "layers", label: "layers" },
      { name: "kernels", label: "single kernels" },
    ];
    const shown = this.source === this.sources.kernels ? "kernels" : "layers";
    this.controls.replaceChildren(
      select("Points", points, shown, (name) => set({ points: name === "layers" ? null : name, color: null })),
      select("Horizontal", columns, x, (name) => set({ [keys.x]: name, [keys.brush]: null })),
      select("Vertical", columns, y, (name) => set({ [keys.y]: name, [keys.brush]: null })),
      select("Color", [{ name: "", label: "one color" }, ...categories], by ?? "", (name) =>
        set({ color: name || null }),
      ),
      h(
        "div",
        { class: "field" },
        checkbox("log horizontal", log[0], (on) => set({ xlog: on ? "1" : null })),
        checkbox("log vertical", log[1], (on) => set({ ylog: on ? "1" : null })),
      ),
    );
  }

  /** Number fields for the part of the plot whose kernels are shown. */
  showBounds() {
    if (this.bounds.contains(document.activeElement) && document.activeElement.tagName === "INPUT") return;
    const fields = ["from", "to", "from", "to"].map((end, i) => {
      const axis = this.shown.labels[i >> 1];
      const bounds = this.brush?.[i < 2 ? "x" : "y"];
      const value = bounds ? Number(bounds[i % 2].toPrecision(5)) : "";
      return h("input", { type: "number", step: "any", value, "aria-label": `${axis}, ${end}`, placeholder: end });
    });
    const [left, right, bottom, top] = fields;
    const read = () => {
      const limits = [...this.limits.x, ...this.limits.y];
      const [a, b, c, d] = fields.map((field, i) => (field.value === "" ? limits[i] : Number(field.value)));
      const empty = fields.every((field) => field.value === "");
      this.setBrush(empty ? null : { x: [Math.min(a, b), Math.max(a, b)], y: [Math.min(c, d), Math.max(c, d)] });
    };
    for (const field of fields) field.addEventListener("change", read);
    const clear = h("button", { type: "button", onclick: () => this.setBrush(null) }, "Clear");
    clear.disabled = !this.brush;
    const keep = h("button", { type: "button", onclick: () => this.keepAsFilter() }, "Keep as filter");
    keep.disabled = !this.brush;
    this.bounds.replaceChildren(
      h(
        "div",
        { class: "field" },
        h("span", { class: "label" }, this.shown.labels[0]),
        h("span", { class: "pair" }, left, right),
      ),
      h(
        "div",
        { class: "field" },
        h("span", { class: "label" }, this.shown.labels[1]),
        h("span", { class: "pair" }, bottom, top),
      ),
      clear,
      this.shown.source.noun === "layer" && keep,
    );
  }

  setBrush(brush) {
    const { source, axes } = this.shown;
    const { x, y, brush: key } = source.keys;
    this.state.set({ [x]: axes[0], [y]: axes[1], [key]: brush && formatBrush(brush) }, { push: true });
  }

  /** Make the marked part a filter of all views. */
  keepAsFilter() {
    const [x, y] = this.shown.axes;
    const range = (bounds) => bounds.map((bound) => String(Number(bound.toPrecision(5)))).join("..");
    const [across, up] = [range(this.brush.x), range(this.brush.y)];
    const filters = x === y ? { [`f.${x}`]: across } : { [`f.${x}`]: across, [`f.${y}`]: up };
    this.state.set({ ...filters, brush: null }, { push: true });
  }

  draw() {
    if (!this.shown || !this.plot.clientWidth) return;
    const { xs, ys, log, rows, groups, labels, source } = this.shown;
    const [width, height] = [this.plot.clientWidth, this.plot.clientHeight];
    const ratio = window.devicePixelRatio || 1;
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    const both = Array.from(rows).filter((row) => has(xs[row], log[0]) && has(ys[row], log[1]));
    this.limits = { x: extent(xs, both, log[0]) ?? [0, 1], y: extent(ys, both, log[1]) ?? [0, 1] };
    const horizontal = new Scale(...this.limits.x, MARGIN.left + 6, width - MARGIN.right - 6, log[0]);
    const vertical = new Scale(...this.limits.y, height - MARGIN.bottom - 6, MARGIN.top + 6, log[1]);
    const palette = groupColors();
    const ranked = groups && rankGroups(groups, both, palette.length - 1);
    const points = {
      x: Float32Array.from(both, (row) => horizontal.pixel(xs[row]) * ratio),
      y: Float32Array.from(both, (row) => vertical.pixel(ys[row]) * ratio),
      group: Uint8Array.from(both, (row) => (ranked ? ranked.place(row) : 0)),
      chosen: this.brush && Uint8Array.from(both, (row) => Number(this.inside(row))),
    };
    drawPoints(this.canvas, points, { colors: palette, paper: color("paper"), ratio });
    const about = { noun: source.noun, drawn: both.length, total: rows.length, x: labels[0], y: labels[1] };
    this.canvas.setAttribute("aria-label", describePlot(about));
    this.drawn = { both, points, horizontal, vertical, ratio };
    this.drawAxes(width, height);
    this.drawLegend(ranked?.legend ?? []);
  }

  drawAxes(width, height) {
    const { horizontal, vertical } = this.drawn;
    const floor = height - MARGIN.bottom;
    const below = horizontal.ticks(Math.max(2, Math.floor(width / 110))).map((value) => {
      const x = horizontal.pixel(value);
      return [
        svg("line", { class: "grid", x1: x, x2: x, y1: MARGIN.top, y2: floor }),
        svg("text", { x, y: floor + 16, "text-anchor": "middle" }, format(value)),
      ];
    });
    const beside = vertical.ticks(Math.max(2, Math.floor(height / 70))).map((value) => {
      const y = vertical.pixel(value);
      return [
        svg("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y, y2: y }),
        svg("text", { x: MARGIN.left - 8, y: y + 4, "text-anchor": "end" }, format(value)),
      ];
    });
    const middle = (MARGIN.top + floor) / 2;
    this.band = svg("rect", { class: "brush" });
    this.overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.overlay.replaceChildren(
      ...[...below, ...beside].flat(),
      svg(
        "text",
        { class: "axis", x: width - MARGIN.right, y: height - 8, "text-anchor": "end" },
        this.shown.labels[0],
      ),
      svg(
        "text",
        { class: "axis", transform: `translate(14 ${middle}) rotate(-90)`, "text-anchor": "middle" },
        this.shown.labels[1],
      ),
      this.band,
    );
    this.showBand();
  }

  showBand() {
    this.band.toggleAttribute("hidden", !this.brush);
    if (!this.brush) return;
    const { horizontal, vertical } = this.drawn;
    const xs = this.brush.x.map((value) => clamp(horizontal.pixel(value), horizontal));
    const ys = this.brush.y.map((value) => clamp(vertical.pixel(value), vertical));
    this.band.setAttribute("x", Math.min(...xs));
    this.band.setAttribute("y", Math.min(...ys));
    this.band.setAttribute("width", Math.abs(xs[1] - xs[0]));
    this.band.setAttribute("height", Math.abs(ys[1] - ys[0]));
  }

  drawLegend(entries) {
    const entry = ({ name, place, count: size }) =>
      h("li", {}, h("span", { class: `swatch group-${place}` }), name, " ", h("span", { class: "note" }, format(size)));
    this.legend.replaceChildren(...entries.map(entry));
    this.legend.hidden = !entries.length;
  }

  inside(row) {
    const { xs, ys } = this.shown;
    const { x, y } = this.brush;
    return xs[row] >= x[0] && xs[row] <= x[1] && ys[row] >= y[0] && ys[row] <= y[1];
  }

  /** Drag a rectangle; a click without a drag opens the kernel or the layer of the nearest point. */
  startBrush(event) {
    if (event.button !== 0 || !this.drawn) return;
    this.overlay.setPointerCapture(event.pointerId);
    const start = this.place(event);
    let brush = null;
    const drag = (moved) => {
      const end = this.place(moved);
      if (!brush && Math.hypot(end.x - start.x, end.y - start.y) < 5) return;
      const { horizontal, vertical } = this.drawn;
      const between = (scale, a, b) => [a, b].map((pixel) => scale.value(clamp(pixel, scale))).sort((p, q) => p - q);
      brush = { x: between(horizontal, start.x, end.x), y: between(vertical, start.y, end.y) };
      this.brush = brush;
      this.showBand();
    };
    const stop = (ended) => {
      this.overlay.removeEventListener("pointermove", drag);
      this.overlay.removeEventListener("pointerup", stop);
      this.overlay.removeEventListener("pointercancel", stop);
      if (brush) this.setBrush(brush);
      else if (ended.type === "pointerup") this.openNearest(start);
    };
    this.overlay.addEventListener("pointermove", drag);
    this.overlay.addEventListener("pointerup", stop);
    this.overlay.addEventListener("pointercancel", stop);
  }

  place(event) {
    const box = this.overlay.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  /** The point nearest to a place, within 12 pixels; null where there is none. */
  nearest({ x, y }) {
    if (!this.drawn) return null;
    const { points, both, ratio } = this.drawn;
    let best = 12 * ratio;
    let found = null;
    for (let i = 0; i < both.length; i += 1) {
      const away = Math.hypot(points.x[i] - x * ratio, points.y[i] - y * ratio);
      if (away < best) [best, found] = [away, both[i]];
    }
    return found;
  }

  async point(event) {
    const place = this.place(event);
    const row = event.buttons ? null : this.nearest(place);
    this.hovered = row;
    if (row === null) {
      this.tooltip.hidden = true;
      return;
    }
    const { source, xs, ys, labels } = this.shown;
    const name = await source.name(row);
    if (this.hovered !== row) return;
    const facts = `${labels[0]} ${format(xs[row])}, ${labels[1]} ${format(ys[row])}`;
    this.tooltip.replaceChildren(h("strong", {}, name), h("br"), facts);
    this.tooltip.hidden = false;
    const left = Math.min(place.x + 14, this.plot.clientWidth - this.tooltip.offsetWidth - 4);
    this.tooltip.style.transform = `translate(${Math.max(4, left)}px, ${Math.max(4, place.y - this.tooltip.offsetHeight - 10)}px)`;
  }

  async openNearest(place) {
    const row = this.nearest(place);
    if (row === null) return;
    const { source } = this.shown;
    const id = source.noun === "kernel" ? await source.name(row) : (await this.store.samples(row))?.ids[0];
    if (id) this.state.set({ kernel: id }, { push: true });
  }

  async showKernels(turn) {
    const { source, rows, xs, ys, log } = this.shown;
    const chosen = Array.from(rows).filter(
      (row) => has(xs[row], log[0]) && has(ys[row], log[1]) && (!this.brush || this.inside(row)),
    );
    const where = this.brush ? "in the marked part" : "in the plot; drag over a part of it to see the kernels there";
    this.found.textContent = `${plural(chosen.length, source.noun)} ${where}`;
    if (source.noun === "kernel") {
      this.kernels.replaceChildren(this.kernelPictures(source, chosen));
      return;
    }
    const [layers, sizes, amounts] = await Promise.all(
      ["layer_id", "kernel", "n_kernels"].map((name) => this.store.column(name)),
    );
    if (turn !== this.frame) return;
    const describe = (row) => ({
      name: layerName(textOf(layers, row)),
      notes: [textOf(layers, row).split("#")[0], `${textOf(sizes, row)}, ${plural(amounts.values[row], "kernel")}`],
    });
    this.kernels.replaceChildren(stripList(this.strips, chosen, describe));
  }

  kernelPictures(source, chosen) {
    const open = (id) => this.state.set({ kernel: id }, { push: true });
    const pictures = chosen.slice(0, KERNELS_SHOWN).map((i) => {
      const { kernel_id: id, kernel, values } = source.kernels[i];
      const size = kernel.split("x").map(Number);
      const canvas = h("canvas", { "aria-hidden": "true" });
      const shape = [values.length / size.at(-1), size.at(-1)];
      const cell = Math.max(1, Math.floor(44 / Math.max(...shape)));
      drawKernels(canvas, {
        values: Float32Array.from(values),
        size: shape,
        count: 1,
        columns: 1,
        scale: "kernel",
        cell,
      });
      return h(
        "li",
        {},
        h(
          "button",
          { type: "button", class: "strip-picture", "aria-label": id, title: id, onclick: () => open(id) },
          canvas,
        ),
      );
    });
    const rest = chosen.length - pictures.length;
    return h(
      "div",
      {},
      h("ul", { class: "pictures" }, pictures),
      rest > 0 && h("p", { class: "note" }, `and ${format(rest)} more`),
    );
  }
}

function has(value, log) {
  return Number.isFinite(value) && (!log || value > 0);
}

function clamp(pixel, scale) {
  const ends = [
    scale.from - 6 * Math.sign(scale.rate),
    scale.from + (scale.stop - scale.start) * scale.rate + 6 * Math.sign(scale.rate),
  ];
  return Math.min(Math.max(pixel, Math.min(...ends)), Math.max(...ends));
}

function textOf(column, row) {
  return column.categories ? column.categories[column.values[row]] : column.values[row];
}
