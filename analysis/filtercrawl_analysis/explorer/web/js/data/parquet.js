// Columns of a Parquet file, read by byte ranges.

import { readFooter } from "./footer.js";
import { decodePages, decodeRows } from "./pages.js";

// Most footers are in the last bytes of this many.
const TAIL = 1 << 17;

/** A Parquet file with its footer read. */
export class ParquetFile {
  #file;
  #schema;
  #leaves;
  #groups;

  constructor(file, { schema, leaves, groups }) {
    this.#file = file;
    this.#schema = schema;
    this.#leaves = leaves;
    this.#groups = groups;
    /** Number of the first row of each row group, and the number of rows. */
    this.starts = [0];
    for (const { rows } of groups) this.starts.push(this.starts.at(-1) + rows);
    this.rows = this.starts.at(-1);
    this.names = schema.children.map(({ element }) => element.name);
  }

  /** @param {{size: () => Promise<number>, read: (ranges: [number, number][]) => Promise<Uint8Array[]>}} file */
  static async open(file) {
    const size = await file.size();
    let [tail] = await file.read([[Math.max(size - TAIL, 0), size]]);
    const view = new DataView(tail.buffer, tail.byteOffset, tail.byteLength);
    const footer = view.getUint32(tail.byteLength - 8, true) + 8;
    if (footer > tail.byteLength && footer <= size) [tail] = await file.read([[size - footer, size]]);
    return new ParquetFile(file, readFooter(tail));
  }

  /** Number of the row group that has a row. */
  groupOf(row) {
    let low = 0;
    let high = this.starts.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (this.starts[middle] <= row) low = middle;
      else high = middle;
    }
    return low;
  }

  /** The physical type of a column, such as INT64; LIST for a list, GROUP for a struct, null for none of this name. */
  type(name) {
    const node = this.#schema.children.find(({ element }) => element.name === name);
    if (!node) return null;
    if (!node.children.length) return node.element.type;
    return node.element.converted_type === "LIST" || node.element.logical_type?.type === "LIST" ? "LIST" : "GROUP";
  }

  /** Rows as objects of some columns, by default of all but structs; each row group is decoded once. */
  async objects(rows, names = this.names.filter((name) => this.type(name) !== "GROUP")) {
    const groups = [...new Set(rows.map((row) => this.groupOf(row)))];
    const columns = new Map(await Promise.all(groups.map(async (group) => {
      return [group, await Promise.all(names.map((name) => this.values(name, [group])))];
    })));
    return rows.map((row) => {
      const group = this.groupOf(row);
      return Object.fromEntries(names.map((name, i) => [name, columns.get(group)[i][row - this.starts[group]]]));
    });
  }

  /** The values of a column by row: null for unknown, and arrays of a list. */
  async values(name, groups = this.#allGroups()) {
    const { leaf, chunks, bytes } = await this.#read(name, groups);
    return bytes.flatMap((each, i) => Array.from(decodeRows(each, leaf, chunks[i].codec, this.#groups[groups[i]].rows), plain));
  }

  /** The pages of a column by row group, see `decodePages`. */
  async pages(name, groups = this.#allGroups()) {
    const { leaf, chunks, bytes } = await this.#read(name, groups);
    return bytes.map((each, i) => decodePages(each, leaf, chunks[i].codec));
  }

  #allGroups() {
    return this.#groups.map((_, group) => group);
  }

  async #read(name, groups) {
    const position = this.#leaves.findIndex((leaf) => leaf.name === name);
    if (position < 0) throw new Error(`there is no column ${name}`);
    const chunks = groups.map((group) => this.#groups[group].chunks[position]);
    const bytes = await this.#file.read(chunks.map(({ start, end }) => [start, end]));
    return { leaf: this.#leaves[position], chunks, bytes };
  }
}

/** A value as the page uses it: numbers for 64-bit integers, in lists too, and null for what is unknown. */
function plain(value) {
  if (Array.isArray(value)) return value.map(plain);
  return typeof value === "bigint" ? Number(value) : (value ?? null);
}
