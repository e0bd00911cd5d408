/** What a scatter plot can show: layers, or single kernels. */

import { UNKNOWN } from "../data/columns.js";
import { format, layerTitle, plural } from "../dom.js";

/** Kernels are sampled from at most this many runs of neighboring layers, of this length. */
const RUNS = 32;
const RUN_LENGTH = 8;
/** Columns of kernels that are measures. */
const MEASURES = /^(component|gabor|dog)_(?!p$|at_bound$)/;

/** A point a layer: columns of `index` and of the tables of analyses by layer. */
export class LayerPoints {
  noun = "layer";
  keys = { x: "x", y: "y", brush: "brush" };

  constructor(store) {
    this.store = store;
  }

  async open() {
    this.columns = this.store.numericColumns();
    this.categories = this.store.categoryColumns();
    this.defaults = ["variance_entropy_norm", "sparsity"];
  }

  /** The points that pass the filters, marked or not. */
  rows() {
    return this.store.candidates;
  }

  async values(name) {
    return (await this.store.column(name)).values;
  }

  async groups(name) {
    const column = await this.store.column(name);
    return { codes: column.values, names: column.categories };
  }

  async name(row) {
    const { layer, model_id: model } = await this.store.layer(row, ["layer", "model_id"]);
    return `${layerTitle(layer)} of ${model}`;
  }
}

/**
 * A point a kernel: samples of some of the layers that pass the filters, and all of these whose form was fitted; with
 * scores along the eigenkernels of their size.
 */
export class KernelPoints {
  noun = "kernel";
  keys = { x: "kx", y: "ky", brush: "kbrush" };
  kernels = [];
  columns = [];
  categories = [];
  defaults = [];

  constructor(store) {
    this.store = store;
  }

  async open() {
    const { rows } = this.store;
    if (this.of === rows) return;
    const [sampled, fitted] = await Promise.all([this.sample(rows), this.fitted(rows)]);
    const kernels = [...new Map([...sampled, ...fitted].map((kernel) => [kernel.kernel_id, kernel])).values()];
    await this.addScores(kernels);
    if (rows !== this.store.rows) return; // those of another selection are on their way
    this.kernels = kernels;
    const known = (names) => names.filter((name) => this.kernels.some((kernel) => (kernel[name] ?? null) !== null));
    const numbers = [...new Set(this.kernels.flatMap(Object.keys))].filter((name) => MEASURES.test(name));
    const measured = known(numbers);
    this.columns = measured.map((name) => ({ name, label: columnLabel(name) }));
    this.categories = known(["kernel", "model_id", "form"]).map((name) => ({ name, label: columnLabel(name) }));
    const pairs = [
      ["component_0", "component_1"],
      ["gabor_frequency", "gabor_orientation"],
    ];
    this.defaults = pairs.find((pair) => pair.every((name) => measured.includes(name))) ?? [];
    this.of = rows;
  }

  rows() {
    return Uint32Array.from(this.kernels.keys());
  }

  async values(name) {
    return Float64Array.from(this.kernels, (kernel) => kernel[name] ?? Number.NaN);
  }

  async groups(name) {
    const codes = new Uint32Array(this.kernels.length).fill(UNKNOWN);
    const names = [...new Set(this.kernels.map((kernel) => kernel[name] ?? null))].filter((value) => value !== null);
    const place = new Map(names.map((value, i) => [value, i]));
    this.kernels.forEach((kernel, i) => (codes[i] = place.get(kernel[name]) ?? UNKNOWN));
    return { codes, names: names.map(String) };
  }

  async name(i) {
    return this.kernels[i].kernel_id;
  }

  /** Kernels of some layers: runs of neighbors, evenly spread, as these are read together. */
  async sample(rows) {
    const run = Math.max(1, Math.floor(rows.length / RUNS));
    const chosen = rows.filter((_, i) => i % run < RUN_LENGTH);
    const [sizes, models] = await Promise.all([this.store.column("kernel"), this.store.column("model_id")]);
    const found = await Promise.all(Array.from(chosen, (row) => this.store.samples(row)));
    return found.flatMap(({ ids, size, values }, i) => {
      const taps = size[0] * size[1];
      const kernel = sizes.categories[sizes.values[chosen[i]]];
      const model = models.categories[models.values[chosen[i]]];
      return ids.map((id, place) => ({
        kernel_id: id,
        model_id: model,
        kernel,
        size,
        values: values.subarray(place * taps, (place + 1) * taps),
      }));
    });
  }

  /** Kernels of layers that pass the filters whose form the analysis `form` has fitted. */
  async fitted(rows) {
    const table = (await this.store.table("form_kernels")) ?? [];
    if (!table.length) return [];
    const { values } = await this.store.column("layer_id");
    const layers = new Set(Array.from(rows, (row) => values[row]));
    return table
      .filter((kernel) => layers.has(kernel.layer_id))
      .map((kernel) => {
        const width = Number(kernel.kernel.split("x").at(-1));
        const numbers = Float32Array.from(kernel.values);
        return { ...kernel, size: [numbers.length / width, width], values: numbers };
      });
  }

  /** Scores along the first eigenkernels, of kernels scaled to a largest magnitude of 1. */
  async addScores(kernels) {
    const bases = new Map();
    for (const { kernel, component, vector, mean } of (await this.store.table("eigenkernels")) ?? []) {
      const base = bases.get(kernel) ?? bases.set(kernel, { mean, vectors: [] }).get(kernel);
      base.vectors[component] = vector;
    }
    if (!bases.size) return;
    for (const kernel of kernels) {
      const base = bases.get(kernel.kernel);
      const largest = kernel.values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      for (const place of [0, 1, 2, 3]) {
        const vector = largest > 0 ? base?.vectors[place] : undefined;
        kernel[`component_${place}`] = vector
          ? vector.reduce((sum, part, i) => sum + part * (kernel.values[i] / largest - base.mean[i]), 0)
          : null;
      }
    }
  }
}

/** Components are called c0, c1, ... as in the report. */
function columnLabel(name) {
  return name.replace(/^model_id$/, "model").replace(/^component_/, "component c").replaceAll("_", " ");
}

/** The most frequent groups of some rows, at most `limit`: places in the palette by code, names and counts. */
export function rankGroups({ codes, names }, rows, limit) {
  const counts = new Float64Array(names.length + 1);
  for (const row of rows) counts[codes[row] === UNKNOWN ? names.length : codes[row]] += 1;
  const ranked = names.map((name, code) => ({ name, code, count: counts[code] })).filter((group) => group.count);
  ranked.sort((a, b) => b.count - a.count || (a.name < b.name ? -1 : 1));
  const shown = ranked.slice(0, limit);
  const places = new Uint8Array(names.length + 1).fill(limit);
  shown.forEach((group, i) => (places[group.code] = i));
  const rest = rows.length - shown.reduce((sum, group) => sum + group.count, 0);
  const legend = shown.map((group, place) => ({ name: group.name, size: group.count, place }));
  if (rest) legend.push({ name: ranked.length > limit ? "other or unknown" : "unknown", place: limit, size: rest });
  return { legend, place: (row) => places[codes[row] === UNKNOWN ? names.length : codes[row]] };
}

/** Whether a row has a place in a plot: both values are known, and above 0 on logarithmic axes. */
export function isDrawn({ xs, ys, log }, row) {
  const [x, y] = [xs[row], ys[row]];
  return Number.isFinite(x) && Number.isFinite(y) && (!log[0] || x > 0) && (!log[1] || y > 0);
}

/** Whether a row has no place in a plot only because an axis is logarithmic. */
export function isLostToLog(points, row) {
  return !isDrawn(points, row) && isDrawn({ ...points, log: [false, false] }, row);
}

/** Whether a row lies in the marked part of a plot. */
export function inBrush({ xs, ys, brush }, row) {
  return xs[row] >= brush.x[0] && xs[row] <= brush.x[1] && ys[row] >= brush.y[0] && ys[row] <= brush.y[1];
}

/** Bounds of a brush from the URL: {x: [from, to], y: [from, to]}, or null. */
export function parseBrush(text) {
  const bounds = (text ?? "").split(",").map(Number);
  if (bounds.length !== 4 || !text || !bounds.every(Number.isFinite)) return null;
  return { x: [bounds[0], bounds[1]], y: [bounds[2], bounds[3]] };
}

/** A brush as text for the URL. */
export function formatBrush({ x, y }) {
  return [...outward(x), ...outward(y)].join(",");
}

/** Bounds as the text of a filter. */
export function formatRange(bounds) {
  return outward(bounds).join("..");
}

/** Bounds with five significant digits, rounded so that what lay between them still does. */
function outward([low, high]) {
  const digits = (value) => Math.max(Math.abs(value), 1e-300);
  const unit = (value) => 10 ** (Math.floor(Math.log10(digits(value))) - 4);
  const round = (value, up) => (up ? Math.ceil(value / unit(value)) : Math.floor(value / unit(value))) * unit(value);
  return [round(low, false), round(high, true)].map((bound) => Number(bound.toPrecision(6)));
}

/** A sentence about what a plot shows, for those who do not see it. */
export function describePlot({ noun, rows, labels }, drawn) {
  const [x, y] = labels;
  return `Scatter plot of ${y} against ${x}: ${format(drawn)} of ${plural(rows.length, noun)} have both.`;
}
