// Columns of Parquet files, read by byte ranges with hyparquet's decoders.

import { parquetHeader, readColumn } from "../../vendor/hyparquet/column.js";
import { DEFAULT_PARSERS } from "../../vendor/hyparquet/convert.js";
import { decompressPage, readDataPage } from "../../vendor/hyparquet/datapage.js";
import { parquetMetadata, parquetSchema } from "../../vendor/hyparquet/metadata.js";
import { getTreePath } from "../../vendor/hyparquet/schema.js";
import { decompress } from "../../vendor/fzstd/fzstd.js";

const COMPRESSORS = { ZSTD: (bytes, length) => decompress(bytes, new Uint8Array(length)) };
// Most footers are in the last bytes of this many.
const TAIL = 1 << 17;

/** A Parquet file with its footer read. */
export class ParquetFile {
  #file;
  #schema;
  #groups;

  constructor(file, metadata) {
    this.#file = file;
    this.#schema = parquetSchema(metadata);
    this.#groups = metadata.row_groups;
    this.rows = Number(metadata.num_rows);
    /** Number of the first row of each row group, and the number of rows. */
    this.starts = [0];
    for (const group of this.#groups) this.starts.push(this.starts.at(-1) + Number(group.num_rows));
    this.names = this.#schema.children.map((child) => child.element.name);
  }

  /** @param {{size: () => Promise<number>, read: (ranges: [number, number][]) => Promise<Uint8Array[]>}} file */
  static async open(file) {
    const size = await file.size();
    let [tail] = await file.read([[Math.max(size - TAIL, 0), size]]);
    const view = new DataView(tail.buffer, tail.byteOffset, tail.byteLength);
    const footer = view.getUint32(tail.byteLength - 8, true) + 8;
    if (footer > tail.byteLength && footer <= size) [tail] = await file.read([[size - footer, size]]);
    return new ParquetFile(file, parquetMetadata(tail, { geoparquet: false }));
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

  /** The physical type of a column, such as INT64; LIST for a list, and GROUP for a struct. */
  type(name) {
    const node = this.#schema.children.find((child) => child.element.name === name);
    if (!node) return null;
    if (!node.children.length) return node.element.type;
    return node.element.converted_type === "LIST" || node.element.logical_type?.type === "LIST" ? "LIST" : "GROUP";
  }

  /**
   * @param {string} name
   * @param {number[]} [groups] numbers of row groups; all where left out
   * @returns {Promise<any[][]>} the values of each group, null for unknown; of a list column arrays
   */
  async column(name, groups = this.#groups.map((_, i) => i)) {
    const chunks = groups.map((group) => this.#chunk(group, name));
    const bytes = await this.#file.read(chunks.map((chunk) => chunk.range));
    return chunks.map((chunk, i) => decodeRows(bytes[i], chunk, Number(this.#groups[groups[i]].num_rows)));
  }

  /** One row as an object of all columns, but structs. */
  async row(row) {
    const group = this.groupOf(row);
    const names = this.names.filter((name) => this.type(name) !== "GROUP");
    const chunks = names.map((name) => this.#chunk(group, name));
    const bytes = await this.#file.read(chunks.map((chunk) => chunk.range));
    const count = Number(this.#groups[group].num_rows);
    const entries = names.map((name, i) => {
      return [name, plain(decodeRows(bytes[i], chunks[i], count)[row - this.starts[group]])];
    });
    return Object.fromEntries(entries);
  }

  /**
   * The numbers of columns of one row group without the rows that lists make of them: four times as fast.
   *
   * @param {number} group
   * @param {string[]} names of columns whose values are never null
   * @returns {Promise<ArrayLike<number>[]>}
   */
  async leaves(group, names) {
    const chunks = names.map((name) => this.#chunk(group, name));
    const bytes = await this.#file.read(chunks.map((chunk) => chunk.range));
    return chunks.map((chunk, i) => decodeLeaves(bytes[i], chunk));
  }

  #chunk(group, name) {
    const chunk = this.#groups[group].columns.find(({ meta_data }) => meta_data.path_in_schema[0] === name);
    if (!chunk) throw new Error(`there is no column ${name}`);
    const meta = chunk.meta_data;
    const start = Number(meta.dictionary_page_offset ?? meta.data_page_offset);
    const schemaPath = getTreePath(this.#schema, meta.path_in_schema);
    const decoder = {
      pathInSchema: meta.path_in_schema,
      schemaPath,
      element: schemaPath.at(-1).element,
      compressors: COMPRESSORS,
      parsers: DEFAULT_PARSERS,
      ...meta,
    };
    return { range: [start, start + Number(meta.total_compressed_size)], decoder };
  }
}

function readerOf(bytes) {
  return { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), offset: 0 };
}

function decodeRows(bytes, { decoder }, count) {
  const { data } = readColumn(readerOf(bytes), { groupStart: 0, selectStart: 0, selectEnd: count }, decoder);
  const values = data.length === 1 ? data[0] : data.flatMap((page) => Array.from(page));
  // Containers of a list are nested one deeper for each optional part.
  return decoder.schemaPath.length > 2 ? values.map((value) => value.flat(Infinity)) : values;
}

function decodeLeaves(bytes, { decoder }) {
  const reader = readerOf(bytes);
  const pages = [];
  let dictionary = null;
  while (reader.offset < bytes.byteLength - 1) {
    const header = parquetHeader(reader);
    const compressed = new Uint8Array(bytes.buffer, bytes.byteOffset + reader.offset, header.compressed_page_size);
    reader.offset += header.compressed_page_size;
    if (header.type !== "DATA_PAGE" && header.type !== "DICTIONARY_PAGE") {
      throw new Error(`pages of the kind ${header.type} are not read`);
    }
    const page = decompressPage(compressed, header.uncompressed_page_size, decoder.codec, decoder.compressors);
    if (header.type === "DICTIONARY_PAGE") {
      const { num_values } = header.dictionary_page_header;
      const plain = { num_values, encoding: "PLAIN" };
      dictionary = readDataPage(page, plain, { ...decoder, schemaPath: [] }).dataPage;
    } else {
      const { encoding } = header.data_page_header;
      const values = readDataPage(page, header.data_page_header, decoder).dataPage;
      pages.push(encoding.endsWith("DICTIONARY") ? Array.from(values, (code) => dictionary[code]) : values);
    }
  }
  return pages.length === 1 ? pages[0] : pages.flatMap((page) => Array.from(page));
}

/** A value as the page uses it: numbers for 64-bit integers, in lists too, and null for what is unknown. */
export function plain(value) {
  if (Array.isArray(value)) return value.map(plain);
  return typeof value === "bigint" ? Number(value) : (value ?? null);
}
