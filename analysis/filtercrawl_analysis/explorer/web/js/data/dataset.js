// The dataset behind the page: its tables, their columns by row of index, and its sampled kernels.

import { UNKNOWN, kindOf, labelOf, pack, take } from "./columns.js";
import { DatasetIncomplete } from "./errors.js";
import { ParquetFile } from "./parquet.js";
import { ParquetParts } from "./parts.js";
import { RangeFile } from "./ranges.js";
import { SampleTable, sampleStarts } from "./samples.js";

// Layers on the first screen.
const HEAD = 64;
// Columns of tables with a row for each sampled kernel; a layer has those of all its kernels.
const OF_KERNELS = ["form_kernels.form"];
const TABLES = "analysis/tables/";

/** Runs in a worker, see worker.js; all methods return what can be sent to the page. */
export class Dataset {
  #base;
  #immutable;
  #sizes;
  #index;
  #made = new Map();

  /**
   * @param {{base: string, files: Object<string, number|null>, immutable: boolean}} config the address of the dataset
   *   folder, with a slash at its end, the Parquet files in it with their sizes where these are known, and whether they
   *   always stay the same
   */
  constructor({ base, files, immutable }) {
    this.#base = base;
    this.#immutable = immutable;
    this.#sizes = files;
  }

  /** @returns {Promise<{n: number, columns: {name: string, label: string, kind: string}[]}>} */
  async open() {
    this.#parts("samples").catch(() => {}); // their footers are long; an error comes again where they are used
    this.#index = new ParquetParts(await this.#parts("index"));
    return { n: this.#index.rows, columns: describe(this.#index) };
  }

  /** Columns of the analyses that have a row for each layer, and what others tell of its kernels. */
  async layerTables() {
    const names = Object.keys(this.#sizes)
      .filter((path) => path.startsWith(`${TABLES}layer_`))
      .map((path) => path.slice(TABLES.length, -".parquet".length));
    const tables = await Promise.all(names.map((name) => this.#open(`${TABLES}${name}.parquet`)));
    const known = new Set(this.#index.names);
    const columns = tables.flatMap((table, i) => {
      if (!table.names.includes("layer_id")) return [];
      return describe(table, `${names[i]}.`).filter(({ name }) => !known.has(name.split(".")[1]));
    });
    const ofKernels = OF_KERNELS.filter((name) => `${TABLES}${name.split(".")[0]}.parquet` in this.#sizes);
    return [...columns, ...ofKernels.map((name) => ({ name, label: labelOf(name), kind: "list" }))];
  }

  /** A column by row of index: of index itself, or `TABLE.COLUMN` of an analysis. */
  column(name) {
    return this.#once(`column ${name}`, () => (name.includes(".") ? this.#joined(name) : this.#read(this.#index, name, name)));
  }

  /** Rows of index as objects, by default of all columns. */
  layers(rows, names) {
    return this.#index.objects(rows, names);
  }

  /** The row of a layer, or -1. */
  async rowOf(layerId) {
    return (await this.#ids()).get(layerId) ?? -1;
  }

  /** A row of models as an object, or null. */
  async model(modelId) {
    const models = new ParquetParts(await this.#parts("models"));
    const row = (await models.values("model_id")).indexOf(modelId);
    return row < 0 ? null : (await models.objects([row]))[0];
  }

  /** An analysis table as objects, or null where there is none. */
  async table(name) {
    const path = `${TABLES}${name}.parquet`;
    if (!(path in this.#sizes)) return null;
    const table = await this.#open(path);
    const names = table.names.filter((column) => table.type(column) !== "GROUP");
    const columns = await Promise.all(names.map((column) => table.values(column)));
    return Array.from({ length: table.rows }, (_, row) => Object.fromEntries(names.map((column, i) => [column, columns[i][row]])));
  }

  /**
   * The first layers whose kernels are stored, from one row group: the page shows them while it reads the rest.
   *
   * @param {string[]} names of columns of index
   * @returns {Promise<{rows: Uint32Array, columns: object[]}>} columns have only the rows of that row group
   */
  async head(names) {
    const head = await this.#once("head", () => this.#openHead());
    const columns = await Promise.all(names.map((name) => this.#read(this.#index, name, name, [0])));
    return { rows: head.rows, columns };
  }

  async #openHead() {
    const [columns, files] = await Promise.all([this.#placement((name) => this.#read(this.#index, name, name, [0])), this.#parts("samples")]);
    const groups = columns.groups.values;
    const rows = Uint32Array.from(groups.keys()).filter((row) => !Number.isNaN(groups[row])).slice(0, HEAD);
    return { rows, ...samplesBy(columns, files) };
  }

  /** Sampled kernels of a layer. */
  async samples(row) {
    const head = await this.#made.get("head")?.catch(() => null);
    const { table, ids, sizes } = head?.rows.includes(row) ? head : await this.#once("samples", () => this.#openSamples());
    const layer = await table.read(row);
    return {
      size: pictureSize(sizes.categories[sizes.values[row]]),
      ids: layer.out.map((out, i) => `${ids.values[row]}:${out}:${layer.in[i]}`),
      values: layer.values,
    };
  }

  async #openSamples() {
    const [columns, files] = await Promise.all([this.#placement((name) => this.column(name)), this.#parts("samples")]);
    const samples = samplesBy(columns, files);
    if (samples.table.rows !== samples.starts.at(-1)) {
      throw new Error(`data/samples has ${samples.table.rows} kernels, data/index tells of ${samples.starts.at(-1)}`);
    }
    return samples;
  }

  /** What tells where the samples of a layer are. */
  async #placement(read) {
    const names = ["layer_id", "kernel", "taps", "n_kernels", "row_group"];
    const [ids, sizes, taps, kernels, groups] = await Promise.all(names.map(read));
    return { ids, sizes, taps, kernels, groups };
  }

  /** The files of a table, in the order of its rows: parts of equal name have the rows of the same models. */
  #parts(table) {
    const paths = Object.keys(this.#sizes).filter((path) => path.startsWith(`data/${table}/`)).sort();
    if (!paths.length) {
      return Promise.reject(new DatasetIncomplete(`data/${table} is missing; \`filtercrawl sync\` writes it.`));
    }
    return Promise.all(paths.map((path) => this.#open(path)));
  }

  #open(path) {
    if (!(path in this.#sizes)) return Promise.reject(new Error(`This dataset has no ${path}.`));
    return this.#once(`file ${path}`, () =>
      ParquetFile.open(new RangeFile(this.#base + path, this.#sizes[path] ?? null, this.#immutable)));
  }

  async #read(file, column, name, groups) {
    const kind = kindOf(column, file.type(column));
    if (!kind) throw new Error(`there is no column ${name}`);
    if (kind === "list") return { name, kind, values: await file.values(column, groups) };
    const rows = groups ? groups.reduce((sum, group) => sum + file.starts[group + 1] - file.starts[group], 0) : file.rows;
    return pack(name, kind, await file.pages(column, groups), rows);
  }

  async #joined(name) {
    const [table, column] = name.split(".");
    const file = await this.#open(`${TABLES}${table}.parquet`);
    if (OF_KERNELS.includes(name)) return this.#gathered(name, file, column);
    const [values, matches] = await Promise.all([this.#read(file, column, name), this.#matches(table, file)]);
    return take(values, matches, name);
  }

  /** The distinct values of a layer's kernels. */
  async #gathered(name, file, column) {
    const [found, ids, rows] = await Promise.all([
      this.#read(file, column, name), this.#read(file, "layer_id", "layer_id"), this.#ids(),
    ]);
    const sets = Array.from({ length: this.#index.rows }, () => null);
    ids.values.forEach((id, i) => {
      const row = rows.get(id);
      if (row !== undefined && found.values[i] !== UNKNOWN) (sets[row] ??= new Set()).add(found.categories[found.values[i]]);
    });
    return { name, kind: "list", values: sets.map((set) => (set ? [...set].sort() : [])) };
  }

  /** The row of an analysis table for each row of index, or -1. */
  #matches(table, file) {
    return this.#once(`matches ${table}`, async () => {
      const [index, ids] = await Promise.all([this.column("layer_id"), this.#read(file, "layer_id", "layer_id")]);
      return matchRows(index.values, ids.values);
    });
  }

  #ids() {
    return this.#once("ids", async () => new Map((await this.column("layer_id")).values.map((id, row) => [id, row])));
  }

  /** What `make` promises: made once, and again after it has failed. */
  #once(key, make) {
    if (!this.#made.has(key)) {
      const made = make();
      made.catch(() => this.#made.delete(key));
      this.#made.set(key, made);
    }
    return this.#made.get(key);
  }
}

function samplesBy({ ids, sizes, taps, kernels, groups }, files) {
  const starts = sampleStarts(kernels.values, groups.values);
  return { ids, sizes, starts, table: new SampleTable(files, starts, taps.values) };
}

/** The place of each id in others, or -1; fast where both are in the same order. */
function matchRows(ids, others) {
  const matches = new Int32Array(ids.length).fill(-1);
  let found = 0;
  for (let row = 0; row < ids.length && found < others.length; row++) {
    if (ids[row] === others[found]) matches[row] = found++;
  }
  if (found === others.length) return matches;
  const places = new Map(others.map((id, place) => [id, place]));
  return Int32Array.from(ids, (id) => places.get(id) ?? -1);
}

function describe(file, prefix = "") {
  return file.names.flatMap((column) => {
    const kind = kindOf(column, file.type(column));
    const name = prefix + column;
    return kind ? [{ name, label: labelOf(name), kind }] : [];
  });
}

/** Height and width of the picture of a kernel: `3` is a row, and the slices of `3x3x3` are below one another. */
function pictureSize(kernel) {
  const size = kernel.split("x").map(Number);
  const width = size.at(-1);
  return [size.slice(0, -1).reduce((product, side) => product * side, 1), width];
}
