// Pages of a column chunk, decoded by hyparquet.

import { parquetHeader, readColumn } from "../../vendor/hyparquet/column.js";
import { DEFAULT_PARSERS } from "../../vendor/hyparquet/convert.js";
import { decompressPage, readDataPage } from "../../vendor/hyparquet/datapage.js";
import { decompress } from "../../vendor/fzstd/fzstd.js";

// Without the length, which fzstd would compare with 1 as text, number by number.
const COMPRESSORS = { ZSTD: (bytes) => decompress(bytes) };
const utf8 = new TextDecoder();
// Each byte becomes one character, so that places in the bytes are places in the text.
const bytewise = new TextDecoder("latin1");

function readerOf(bytes) {
  return { view: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), offset: 0 };
}

/**
 * The values of a chunk by row, as hyparquet assembles them: null for unknown, and arrays of lists.
 *
 * @param {Uint8Array} bytes of the chunk
 * @param {object} leaf of the footer
 * @param {string} codec
 * @param {number} rows of the row group
 * @returns {any[]}
 */
export function decodeRows(bytes, leaf, codec, rows) {
  const decoder = { ...decoderOf(leaf, codec), pathInSchema: leaf.path, parsers: DEFAULT_PARSERS };
  const { data } = readColumn(readerOf(bytes), { groupStart: 0, selectStart: 0, selectEnd: rows }, decoder);
  const values = data.length === 1 ? data[0] : data.flatMap((page) => Array.from(page));
  // Containers of a list are nested one deeper for each optional part.
  return leaf.path.length > 1 ? values.map((value) => value.flat(Infinity)) : values;
}

/**
 * The pages of a chunk as they are stored.
 *
 * @returns {{dictionary: ArrayLike<any>|null, pages: {present: number[], codes: boolean, values: ArrayLike<any>}[]}}
 *   present: definition levels, empty where no value is null; values: those that are not null, and with `codes` their
 *   places in the dictionary. Texts are strings.
 */
export function decodePages(bytes, leaf, codec) {
  const reader = readerOf(bytes);
  const decoder = decoderOf(leaf, codec);
  const pages = [];
  let dictionary = null;
  while (reader.offset < bytes.byteLength - 1) {
    const header = parquetHeader(reader);
    const compressed = bytes.subarray(reader.offset, reader.offset + header.compressed_page_size);
    reader.offset += header.compressed_page_size;
    if (header.type !== "DATA_PAGE" && header.type !== "DICTIONARY_PAGE") {
      throw new Error(`${leaf.name}: pages of the kind ${header.type} are not read`);
    }
    const page = decompressPage(compressed, header.uncompressed_page_size, codec, COMPRESSORS);
    if (header.type === "DICTIONARY_PAGE") {
      const { num_values } = header.dictionary_page_header;
      dictionary = readValues(page, { num_values, encoding: "PLAIN" }, { ...decoder, schemaPath: [] }, true).values;
    } else {
      pages.push(readValues(page, header.data_page_header, decoder, leaf.isRequired));
    }
  }
  return { dictionary, pages };
}

function decoderOf(leaf, codec) {
  return { type: leaf.type, element: leaf.element, schemaPath: leaf.schemaPath, codec, compressors: COMPRESSORS };
}

function readValues(page, header, decoder, isRequired) {
  const codes = header.encoding.endsWith("DICTIONARY");
  if (decoder.type !== "BYTE_ARRAY" || codes) {
    const { definitionLevels, dataPage } = readDataPage(page, header, decoder);
    return { present: definitionLevels, codes, values: dataPage };
  }
  if (isRequired && header.encoding === "PLAIN") {
    return { present: [], codes, values: decodeTexts(page, header.num_values) };
  }
  const { definitionLevels, dataPage } = readDataPage(page, header, decoder);
  return { present: definitionLevels, codes, values: Array.from(dataPage, (bytes) => utf8.decode(bytes)) };
}

/** Texts, each with its length before it: ten times as fast as decoding one by one. */
function decodeTexts(page, count) {
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
  const all = bytewise.decode(page);
  const texts = new Array(count);
  let at = 0;
  for (let i = 0; i < count; i++) {
    const end = at + 4 + view.getUint32(at, true);
    let bits = 0;
    for (let j = at + 4; j < end; j++) bits |= page[j];
    texts[i] = bits < 128 ? all.slice(at + 4, end) : utf8.decode(page.subarray(at + 4, end));
    at = end;
  }
  return texts;
}
