/** A scatter plot: points on a canvas, axes above it, a rectangle that is dragged, and a note on the nearest point. */

import { format, h, svg } from "../dom.js";
import { color, extent, groupColors, Scale } from "./axes.js";
import { drawPoints } from "./point_layer.js";
import { describePlot, inBrush, isDrawn, rankGroups } from "./points.js";

const MARGIN = { top: 12, right: 12, bottom: 44, left: 60 };
const INSET = 6;
/** Pixels within which a point is near the pointer, and after which a press is a drag. */
const NEAR = 12;
const DRAG = 5;

/**
 * Events: `brush`, the marked part {x: [from, to], y: [from, to]} as `detail`; `open`, the row of a point that was
 * clicked as `detail`.
 */
export class ScatterPlot extends EventTarget {
  /** @param {(row: number) => Promise<string>} nameOf The name of a point. */
  constructor(nameOf) {
    super();
    this.nameOf = nameOf;
    this.canvas = h("canvas", { role: "img" });
    this.overlay = svg("svg", { class: "overlay", "aria-hidden": "true" });
    this.tooltip = h("div", { class: "tooltip", "aria-hidden": "true", hidden: true });
    this.plot = h("div", { class: "plot" }, this.canvas, this.overlay, this.tooltip);
    this.legend = h("ul", { class: "legend", "aria-label": "Colors" });
    this.root = h("div", {}, this.plot, this.legend);
    this.overlay.addEventListener("pointerdown", (event) => this.startBrush(event));
    this.overlay.addEventListener("pointermove", (event) => this.showNearest(event));
    this.overlay.addEventListener("pointerleave", () => (this.tooltip.hidden = true));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(this.plot);
  }

  /**
   * Show points.
   *
   * @param {object} points `xs` and `ys`, values by row; `rows`, those that are shown; `log`, whether each axis is
   *     logarithmic; `labels` of the axes; `groups` by which points are colored, or null; `noun`, what a point is;
   *     `brush`, or null.
   */
  show(points) {
    this.points = points;
    this.draw();
  }

  /** Values of the shown rows: {x: [least, greatest], y: ...}. */
  get limits() {
    const { xs, ys, rows, log } = this.points;
    return { x: extent(xs, rows, log[0]) ?? [0, 1], y: extent(ys, rows, log[1]) ?? [0, 1] };
  }

  draw() {
    const [width, height] = [this.plot.clientWidth, this.plot.clientHeight];
    if (!this.points || !width) return;
    const { xs, ys, log, rows, groups, brush } = this.points;
    const both = rows.filter((row) => isDrawn(this.points, row));
    const limits = { x: extent(xs, both, log[0]) ?? [0, 1], y: extent(ys, both, log[1]) ?? [0, 1] };
    const across = new Scale(...limits.x, MARGIN.left + INSET, width - MARGIN.right - INSET, log[0]);
    const up = new Scale(...limits.y, height - MARGIN.bottom - INSET, MARGIN.top + INSET, log[1]);
    const ratio = window.devicePixelRatio || 1;
    const palette = groupColors();
    const ranked = groups && rankGroups(groups, both, palette.length - 1);
    const n = both.length;
    const places = { x: new Float32Array(n), y: new Float32Array(n), group: new Uint8Array(n), chosen: null };
    if (brush) places.chosen = new Uint8Array(n);
    for (let i = 0; i < n; i += 1) {
      const row = both[i];
      places.x[i] = across.pixel(xs[row]) * ratio;
      places.y[i] = up.pixel(ys[row]) * ratio;
      if (ranked) places.group[i] = ranked.place(row);
      if (brush) places.chosen[i] = Number(inBrush(this.points, row));
    }
    this.drawn = { both, places, across, up, ratio };
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.canvas.setAttribute("aria-label", describePlot(this.points, both.length));
    const ticks = { x: across.ticks(Math.max(3, width / 80)), y: up.ticks(Math.max(3, height / 60)) };
    const lines = {
      x: ticks.x.map((value) => across.pixel(value) * ratio),
      y: ticks.y.map((value) => up.pixel(value) * ratio),
      inside: [MARGIN.left, MARGIN.top, width - MARGIN.right, height - MARGIN.bottom].map((edge) => edge * ratio),
    };
    drawPoints(this.canvas, places, { colors: palette, paper: color("paper"), line: color("line"), lines, ratio });
    this.drawAxes(ticks, width, height);
    this.drawLegend(ranked?.legend ?? []);
  }

  drawAxes(ticks, width, height) {
    const { across, up } = this.drawn;
    const { labels } = this.points;
    const floor = height - MARGIN.bottom;
    const below = ticks.x.map((value) =>
      svg("text", { x: across.pixel(value), y: floor + 16, "text-anchor": "middle" }, format(value)),
    );
    const beside = ticks.y.map((value) =>
      svg("text", { x: MARGIN.left - 8, y: up.pixel(value) + 4, "text-anchor": "end" }, format(value)),
    );
    const turned = `translate(14 ${(MARGIN.top + floor) / 2}) rotate(-90)`;
    const right = { class: "axis", x: width - MARGIN.right, y: height - 8, "text-anchor": "end" };
    this.band = svg("rect", { class: "brush" });
    this.overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.overlay.replaceChildren(
      ...below,
      ...beside,
      svg("text", right, labels[0]),
      svg("text", { class: "axis", transform: turned, "text-anchor": "middle" }, labels[1]),
      this.band,
    );
    this.drawBand(this.points.brush);
  }

  drawBand(brush) {
    this.band.toggleAttribute("hidden", !brush);
    if (!brush) return;
    const [left, right] = brush.x.map((value) => within(this.drawn.across, this.drawn.across.pixel(value)));
    const [bottom, top] = brush.y.map((value) => within(this.drawn.up, this.drawn.up.pixel(value)));
    this.band.setAttribute("x", Math.min(left, right));
    this.band.setAttribute("y", Math.min(top, bottom));
    this.band.setAttribute("width", Math.abs(right - left));
    this.band.setAttribute("height", Math.abs(bottom - top));
  }

  drawLegend(entries) {
    const items = entries.map(({ name, place, size }) =>
      h("li", {}, h("span", { class: `swatch group-${place}` }), name, " ", h("span", { class: "note" }, format(size))),
    );
    this.legend.replaceChildren(...items);
    this.legend.hidden = !entries.length;
  }

  /** Drag a rectangle; a press without a drag opens the nearest point. */
  startBrush(event) {
    if (event.button !== 0 || !this.drawn) return;
    this.overlay.setPointerCapture(event.pointerId);
    this.tooltip.hidden = true;
    const start = this.place(event);
    const { across, up } = this.drawn;
    const between = (scale, a, b) => [a, b].map((pixel) => scale.value(within(scale, pixel))).sort((p, q) => p - q);
    let brush = null;
    const drag = (moved) => {
      const end = this.place(moved);
      if (!brush && Math.hypot(end.x - start.x, end.y - start.y) < DRAG) return;
      brush = { x: between(across, start.x, end.x), y: between(up, start.y, end.y) };
      this.drawBand(brush);
    };
    const listening = new AbortController();
    const stop = (ended) => {
      listening.abort();
      if (brush) this.dispatchEvent(new CustomEvent("brush", { detail: brush }));
      else if (ended.type === "pointerup") this.open(start);
    };
    for (const [name, listener] of [
      ["pointermove", drag],
      ["pointerup", stop],
      ["pointercancel", stop],
    ]) {
      this.overlay.addEventListener(name, listener, { signal: listening.signal });
    }
  }

  open(place) {
    const row = this.nearest(place);
    if (row !== null) this.dispatchEvent(new CustomEvent("open", { detail: row }));
  }

  place(event) {
    const box = this.overlay.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  /** The row of the point nearest to a place; null where none is near. */
  nearest({ x, y }) {
    if (!this.drawn) return null;
    const { both, places, ratio } = this.drawn;
    let [closest, found] = [NEAR * ratio, null];
    for (let i = 0; i < both.length; i += 1) {
      const distance = Math.hypot(places.x[i] - x * ratio, places.y[i] - y * ratio);
      if (distance < closest) [closest, found] = [distance, both[i]];
    }
    return found;
  }

  async showNearest(event) {
    const place = this.place(event);
    const row = event.buttons ? null : this.nearest(place);
    this.hovered = row;
    if (row === null) {
      this.tooltip.hidden = true;
      return;
    }
    const { xs, ys, labels } = this.points;
    const name = await this.nameOf(row);
    if (this.hovered !== row) return;
    const facts = `${labels[0]} ${format(xs[row])}, ${labels[1]} ${format(ys[row])}`;
    this.tooltip.replaceChildren(h("strong", {}, name), h("br", {}), facts);
    this.tooltip.hidden = false;
    const left = Math.max(4, Math.min(place.x + 14, this.plot.clientWidth - this.tooltip.offsetWidth - 4));
    const top = Math.max(4, place.y - this.tooltip.offsetHeight - 10);
    this.tooltip.style.transform = `translate(${left}px, ${top}px)`;
  }
}

/** A pixel within the ends of a scale and their inset. */
function within(scale, pixel) {
  const inset = INSET * Math.sign(scale.rate);
  const ends = [scale.from - inset, scale.from + (scale.stop - scale.start) * scale.rate + inset];
  return Math.min(Math.max(pixel, Math.min(...ends)), Math.max(...ends));
}
