// What the views read: columns, the selected rows, kernels, models and tables.

import { WorkerCalls } from "./calls.js";
import { labelOf } from "./columns.js";
import { columnsOf, countsOf, problemsOf, select, withoutColumns } from "./selection.js";
import { similarSamples } from "./similar.js";

/**
 * The dataset, read in a worker.
 *
 * Events: `rows` after the selection changed, `columns` after the columns of the analyses became known, `first-picture`
 * from the grid when it has drawn one, `error` with an error as `detail`.
 */
export class Store extends EventTarget {
  #calls = new WorkerCalls();
  #columns = new Map();
  #known = [];
  #complete = null;
  #latest = 0;
  #capabilities = { similar: false };

  /** Number of layers. */
  n = 0;
  /** The rows that pass all filters, in the order of the sort. */
  rows = new Uint32Array(0);
  /** The same without the brush of the scatter plot. */
  candidates = new Uint32Array(0);
  /** What they were selected by: what was asked for, without columns that cannot be read. */
  selection = null;
  /** Numbers of layers, kernels and models that pass. */
  counts = { layers: 0, kernels: 0, models: 0 };

  /** @param {Promise<object>} config what config.json has */
  constructor(config) {
    super();
    this.ready = config.then((found) => this.#open(found));
  }

  async #open(config) {
    this.config = { ...config, base: new URL(config.base, document.baseURI).href };
    this.#capabilities = config.capabilities ?? this.#capabilities;
    const { n, columns } = await this.#calls.call("start", this.config);
    this.n = n;
    this.#known = columns;
    this.#complete = this.#calls.call("layerTables").then((more) => {
      this.#known = [...columns, ...more];
      this.dispatchEvent(new Event("columns"));
    }, (error) => this.#fail(error));
  }

  /** Whether there is a column, of `index` or of an analysis. */
  async hasColumn(name) {
    await this.ready;
    if (name.includes(".")) await this.#complete;
    return this.#known.some((column) => column.name === name);
  }

  /** Columns that can be plotted and sorted by. */
  numericColumns() {
    return this.#ofKind("number");
  }

  /** Columns of few values, to filter and color by. */
  categoryColumns() {
    return this.#ofKind("category");
  }

  /** Columns of several values for a layer. */
  listColumns() {
    return this.#ofKind("list");
  }

  #ofKind(kind) {
    return this.#known.filter((column) => column.kind === kind).map(({ name, label }) => ({ name, label }));
  }

  /** The label of a column for people. */
  label(name) {
    return labelOf(name);
  }

  /** A column by row: {name, kind, values, categories}. */
  column(name) {
    if (!this.#columns.has(name)) {
      const column = this.#calls.call("column", name);
      column.catch(() => this.#columns.delete(name));
      this.#columns.set(name, column);
    }
    return this.#columns.get(name);
  }

  /** The first layers, before all columns are read: {rows, columns} of the first row group. */
  head(names) {
    return this.ready.then(() => this.#calls.call("head", names));
  }

  /** Columns of a layer as an object: all, or those that are named, which is much faster. */
  async layer(row, names) {
    return (await this.layers([row], names))[0];
  }

  /** The same of several layers. */
  layers(rows, names) {
    return this.#calls.call("layers", Array.from(rows), names);
  }

  /** Sampled kernels of a layer: {size: [height, width], ids, values: Float32Array}. */
  samples(row) {
    return this.#calls.call("samples", row);
  }

  /** The row of `models`, or null. */
  model(modelId) {
    return this.#calls.call("model", modelId);
  }

  /** The rows of a model's layers, by depth where it is known, else in their order in the file. */
  async modelRows(modelId) {
    const [models, depths] = await Promise.all([this.column("model_id"), this.column("conv_depth")]);
    const code = models.categories.indexOf(modelId);
    const rows = [];
    models.values.forEach((value, row) => value === code && rows.push(row));
    const depth = (row) => (Number.isNaN(depths.values[row]) ? Infinity : depths.values[row]);
    return Uint32Array.from(rows.sort((a, b) => (depth(a) === depth(b) ? a - b : depth(a) - depth(b))));
  }

  /** An analysis table as an array of objects, or null where it was not made. */
  table(name) {
    return this.#calls.call("table", name);
  }

  /** The row of a layer, or -1. */
  rowOf(layerId) {
    return this.#calls.call("rowOf", layerId);
  }

  /**
   * The nearest kernels: of all, exactly, where the local server runs; else of samples of the selected layers.
   *
   * @param {string} id `layer_id:out:in`
   * @param {{k?: number, metric?: string, invariant?: string[]}} [options]
   * @returns {Promise<{neighbors: {id: string, similarity: number, image: string, values: number[]}[], searched: string}>}
   */
  async similar(id, options = {}) {
    if (!this.#capabilities.similar) return similarSamples(this, id, options);
    const query = new URLSearchParams({ id, k: options.k ?? 12, metric: options.metric ?? "cosine" });
    for (const change of options.invariant ?? []) query.append("invariant", change);
    const response = await fetch(`api/similar?${query}`);
    const found = await response.json();
    if (!response.ok) throw new Error(found.error);
    return found;
  }

  /** Select rows; what is asked for last counts. A column that cannot be read does not count, and is told. */
  async select(asked) {
    const turn = ++this.#latest;
    try {
      await this.ready;
      const [kernels, models] = await Promise.all([this.column("n_kernels"), this.column("model_id")]);
      const names = columnsOf(asked);
      const found = await Promise.allSettled(names.map((name) => this.column(name)));
      if (turn !== this.#latest) return;
      const missing = names.filter((_, i) => found[i].status === "rejected");
      const reason = found.find(({ status }) => status === "rejected")?.reason;
      const columns = new Map(names.map((name, i) => [name, found[i].value]));
      const selection = withoutColumns(asked, missing);
      if (columnsOf(selection).some((name) => missing.includes(name))) throw reason;
      this.selection = selection;
      Object.assign(this, select(this.selection, columns, this.n));
      this.counts = countsOf(this.rows, kernels, models);
      this.dispatchEvent(new Event("rows"));
      const wrong = problemsOf(this.selection, columns);
      if (reason) this.#fail(reason);
      else if (wrong.length) this.#fail(new Error(wrong.join(" ")));
    } catch (error) {
      if (turn === this.#latest) this.#fail(error);
    }
  }

  #fail(error) {
    this.dispatchEvent(new CustomEvent("error", { detail: error }));
  }
}
