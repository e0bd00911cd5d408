// The footer of a Parquet file, without what the page does not need.
//
// hyparquet turns all of a footer into objects, with the statistics of every column of every row group: for 100,000
// layers that takes longer than the first picture may. Here only the place of each column chunk is kept.

import { parquetMetadata, parquetSchema } from "../../vendor/hyparquet/metadata.js";
import { getTreePath } from "../../vendor/hyparquet/schema.js";

// Types of Thrift's compact protocol.
const [STOP, TRUE, FALSE, BYTE, DOUBLE, BINARY, LIST, SET, MAP, STRUCT] = [0, 1, 2, 3, 7, 8, 9, 10, 11, 12];
const MAGIC = [80, 65, 82, 49];
// Field 4, an empty list of structs, and the end of the struct.
const NO_ROW_GROUPS = [0x19, 0x0c, 0x00];
const CODECS = ["UNCOMPRESSED", "SNAPPY", "GZIP", "LZO", "BROTLI", "LZ4", "ZSTD", "LZ4_RAW"];

/**
 * @param {Uint8Array} tail the last bytes of the file, at least its footer
 * @returns {{schema: object, leaves: object[], groups: {rows: number, chunks: object[]}[]}} leaves: the columns in the
 *   file, with their path and type; chunks: {start, end, codec} of each leaf
 */
export function readFooter(tail) {
  const view = new DataView(tail.buffer, tail.byteOffset, tail.byteLength);
  if (tail.length < 12 || MAGIC.some((byte, i) => tail[tail.length - 4 + i] !== byte)) throw new Error("this is no Parquet file");
  const length = view.getUint32(tail.length - 8, true);
  if (length > tail.length - 8) throw new Error("the footer is not complete");
  const start = tail.length - 8 - length;
  const reader = new Reader(tail, start);
  let groups = [];
  let schemaEnd = start;
  reader.struct((field, type) => {
    if (field !== 4) {
      reader.skip(type);
      if (field < 4) schemaEnd = reader.at;
      return;
    }
    groups = reader.list(() => readGroup(reader));
  });
  const schema = parquetSchema(parquetMetadata(withoutGroups(tail.subarray(start, schemaEnd)), { geoparquet: false }));
  return { schema, leaves: leavesOf(schema, schema), groups };
}

/** A footer of the same schema that hyparquet can read. */
function withoutGroups(head) {
  const footer = new Uint8Array(head.length + NO_ROW_GROUPS.length + 8);
  footer.set(head);
  footer.set(NO_ROW_GROUPS, head.length);
  new DataView(footer.buffer).setUint32(footer.length - 8, footer.length - 8, true);
  footer.set(MAGIC, footer.length - 4);
  return footer;
}

function leavesOf(node, schema) {
  if (node.children.length) return node.children.flatMap((child) => leavesOf(child, schema));
  const schemaPath = getTreePath(schema, node.path);
  const isRequired = schemaPath.slice(1).every(({ element }) => element.repetition_type === "REQUIRED");
  return [{ name: node.path[0], path: node.path, schemaPath, element: node.element, type: node.element.type, isRequired }];
}

function readGroup(reader) {
  const group = { rows: 0, chunks: [] };
  reader.struct((field, type) => {
    if (field === 1) group.chunks = reader.list(() => readChunk(reader));
    else if (field === 3) group.rows = reader.integer();
    else reader.skip(type);
  });
  return group;
}

function readChunk(reader) {
  let chunk = null;
  reader.struct((field, type) => {
    if (field === 3) chunk = readMetadata(reader);
    else reader.skip(type);
  });
  return chunk;
}

function readMetadata(reader) {
  let [codec, size, data, dictionary] = [0, 0, 0, 0];
  reader.struct((field, type) => {
    if (field === 4) codec = reader.integer();
    else if (field === 7) size = reader.integer();
    else if (field === 9) data = reader.integer();
    else if (field === 11) dictionary = reader.integer();
    else reader.skip(type);
  });
  const start = dictionary || data;
  return { start, end: start + size, codec: CODECS[codec] };
}

/** Reads Thrift's compact protocol, and passes over what is not asked for. */
class Reader {
  constructor(bytes, at) {
    this.bytes = bytes;
    this.at = at;
  }

  unsigned() {
    let value = 0;
    let factor = 1;
    for (;;) {
      const byte = this.bytes[this.at++];
      value += (byte & 127) * factor;
      if (byte < 128) return value;
      if (byte === undefined) throw new Error("the footer ends too early");
      factor *= 128;
    }
  }

  integer() {
    const value = this.unsigned();
    return value % 2 ? -(value + 1) / 2 : value / 2;
  }

  /** Call `take(field, type)` for each field; it must read or skip the value. */
  struct(take) {
    let field = 0;
    for (;;) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) throw new Error("the footer ends too early");
      const type = byte & 15;
      if (type === STOP) return;
      field = byte >> 4 ? field + (byte >> 4) : this.integer();
      take(field, type);
    }
  }

  #listHead() {
    const byte = this.bytes[this.at++];
    return [byte >> 4 === 15 ? this.unsigned() : byte >> 4, byte & 15];
  }

  list(read) {
    const [count] = this.#listHead();
    const items = new Array(count);
    for (let i = 0; i < count; i++) items[i] = read();
    return items;
  }

  skip(type) {
    if (type === TRUE || type === FALSE) return;
    if (type === BYTE) this.at += 1;
    else if (type === DOUBLE) this.at += 8;
    else if (type === BINARY) {
      const length = this.unsigned();
      this.at += length;
    } else if (type === STRUCT) this.struct((_, inner) => this.skip(inner));
    else if (type === LIST || type === SET) {
      const [count, inner] = this.#listHead();
      // In a list a truth value takes a byte.
      if (inner <= BYTE) this.at += count;
      else for (let i = 0; i < count; i++) this.skip(inner);
    } else if (type === MAP) throw new Error("the footer has a map, which Parquet does not use");
    else this.unsigned();
  }
}
