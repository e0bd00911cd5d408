// The dataset behind the page: its tables, their columns by row of index, and its sampled kernels.

import { kindOf, labelOf, pack, take } from "./columns.js";
import { ParquetFile, plain } from "./parquet.js";
import { RangeFile } from "./ranges.js";
import { SampleTable, sampleStarts } from "./samples.js";

const INDEX = "data/index.parquet";
const MODELS = "data/models.parquet";
const TABLES = "analysis/tables/";

/** Runs in a worker, see worker.js; all methods return what can be sent to the page. */
export class Dataset {
  #base;
  #sizes;
  #index;
  #opened = new Map();
  #columns = new Map();
  #rowsById = null;
  #samples = null;

  /**
   * @param {{base: string, files: Object<string, number|null>}} config the address of the dataset folder, with a
   *   slash at its end, and the Parquet files in it with their sizes where these are known
   */
  constructor({ base, files }) {
    this.#base = base;
    this.#sizes = files;
  }

  /** @returns {Promise<{n: number, columns: {name: string, label: string, kind: string}[]}>} */
  async open() {
    this.#index = await this.#open(INDEX);
    return { n: this.#index.rows, columns: describe(this.#index) };
  }

  /** Columns of the analyses that have a row for each layer. */
  async layerTables() {
    const names = Object.keys(this.#sizes)
      .filter((path) => path.startsWith(`${TABLES}layer_`))
      .map((path) => path.slice(TABLES.length, -".parquet".length));
    const tables = await Promise.all(names.map((name) => this.#open(`${TABLES}${name}.parquet`)));
    const known = new Set(this.#index.names);
    return tables.flatMap((table, i) =>
      table.names.includes("layer_id") ? describe(table, `${names[i]}.`).filter(({ name }) => !known.has(name.split(".")[1])) : [],
    );
  }

  /** A column by row of index: of index itself, or `TABLE.COLUMN` of an analysis. */
  column(name) {
    if (!this.#columns.has(name)) {
      const column = name.includes(".") ? this.#joined(name) : this.#read(this.#index, name, name);
      column.catch(() => this.#columns.delete(name));
      this.#columns.set(name, column);
    }
    return this.#columns.get(name);
  }

  /** A row of index as an object. */
  layer(row) {
    return this.#index.row(row);
  }

  /** The row of a layer, or -1. */
  async rowOf(layerId) {
    return (await this.#ids()).get(layerId) ?? -1;
  }

  /** A row of models as an object, or null. */
  async model(modelId) {
    const models = await this.#open(MODELS);
    const ids = (await models.column("model_id")).flat();
    const row = ids.indexOf(modelId);
    return row < 0 ? null : models.row(row);
  }

  /** An analysis table as objects, or null where there is none. */
  async table(name) {
    const path = `${TABLES}${name}.parquet`;
    if (!(path in this.#sizes)) return null;
    const table = await this.#open(path);
    const names = table.names.filter((column) => table.type(column) !== "GROUP");
    const columns = await Promise.all(names.map(async (column) => (await table.column(column)).flatMap((c) => Array.from(c))));
    return Array.from({ length: table.rows }, (_, row) =>
      Object.fromEntries(names.map((column, i) => [column, plain(columns[i][row])])),
    );
  }

  /** Sampled kernels of a layer. */
  async samples(row) {
    const table = await (this.#samples ??= this.#openSamples());
    const [layer, ids, sizes] = await Promise.all([table.read(row), this.column("layer_id"), this.column("kernel")]);
    return {
      size: pictureSize(sizes.categories[sizes.values[row]]),
      ids: layer.out.map((out, i) => `${ids.values[row]}:${out}:${layer.in[i]}`),
      values: layer.values,
    };
  }

  async #openSamples() {
    const paths = Object.keys(this.#sizes).filter((path) => /^data\/samples(--[^/]+)?\.parquet$/.test(path));
    const [kernels, groups, taps, ...files] = await Promise.all([
      this.column("n_kernels"), this.column("row_group"), this.column("taps"), ...paths.map((path) => this.#open(path)),
    ]);
    return new SampleTable(files, sampleStarts(kernels.values, groups.values), taps.values);
  }

  #open(path) {
    if (!this.#opened.has(path)) {
      const file = new RangeFile(this.#base + path, this.#sizes[path] ?? null);
      const opened = ParquetFile.open(file);
      opened.catch(() => this.#opened.delete(path));
      this.#opened.set(path, opened);
    }
    return this.#opened.get(path);
  }

  async #read(file, column, name) {
    const kind = kindOf(column, file.type(column));
    if (!kind) throw new Error(`there is no column ${name}`);
    return pack(name, kind, await file.column(column), file.rows);
  }

  async #joined(name) {
    const [table, column] = name.split(".");
    const file = await this.#open(`${TABLES}${table}.parquet`);
    const [values, ids, rows] = await Promise.all([
      this.#read(file, column, name), this.#read(file, "layer_id", "layer_id"), this.#ids(),
    ]);
    const matches = new Int32Array(this.#index.rows).fill(-1);
    ids.values.forEach((id, i) => {
      const row = rows.get(id);
      if (row !== undefined) matches[row] = i;
    });
    return take(values, matches, name);
  }

  #ids() {
    this.#rowsById ??= this.column("layer_id").then(({ values }) => new Map(values.map((id, row) => [id, row])));
    return this.#rowsById;
  }
}

function describe(file, prefix = "") {
  return file.names.flatMap((column) => {
    const kind = kindOf(column, file.type(column));
    const name = prefix + column;
    return kind ? [{ name, label: labelOf(name), kind }] : [];
  });
}

/** Height and width of the picture of a kernel: `3` is a row, and the slices of `3x3x3` are below one another. */
export function pictureSize(kernel) {
  const size = kernel.split("x").map(Number);
  const width = size.at(-1);
  return [size.slice(0, -1).reduce((product, side) => product * side, 1), width];
}
