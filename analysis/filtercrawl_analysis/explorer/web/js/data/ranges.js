// A file on a server, read by byte ranges.

import { DatasetChanged } from "./errors.js";

const BLOCK = 1 << 16;
// One larger request costs less than two with so many blocks between them. Columns of a small file are near each other
// in every row group: to read one takes half of the blocks, and soon others follow.
const GAP_BLOCKS = 2;
const SMALL = 32 << 20;
const MAX_REQUEST_BLOCKS = 64;
const CACHED_BLOCKS = 1024;
const ATTEMPTS = 3;

/**
 * Reads byte ranges of a file by HTTP; blocks that were read are kept.
 *
 * A server that does not know ranges sends the whole file, which is then kept.
 */
export class RangeFile {
  #url;
  #direct = null;
  #size;
  #immutable;
  #etag = null;
  #blocks = new Map();
  #whole = null;

  /**
   * @param {string} url
   * @param {number|null} [size] bytes of the file; asked for by HEAD where it is not known
   * @param {boolean} [immutable] whether the address always has the same bytes
   */
  constructor(url, size = null, immutable = false) {
    this.#url = url;
    this.#size = size;
    this.#immutable = immutable;
  }

  /** The bytes of the file. */
  async size() {
    if (this.#size === null) {
      const { response } = await this.#fetch({ method: "HEAD" });
      this.#size = Number(response.headers.get("content-length"));
      if (!this.#size) throw new Error(`${this.#url}: the server does not tell its size`);
    }
    return this.#size;
  }

  /**
   * @param {[number, number][]} ranges start and end of each
   * @returns {Promise<Uint8Array[]>}
   */
  async read(ranges) {
    const size = await this.size();
    this.#request(ranges, size);
    return Promise.all(ranges.map((range) => this.#join(range)));
  }

  /** Start the requests for all blocks of the ranges that are not there yet. */
  #request(ranges, size) {
    if (this.#whole) return;
    const missing = new Set();
    for (const [start, end] of ranges) {
      for (let block = Math.floor(start / BLOCK); block * BLOCK < end; block++) {
        if (!this.#blocks.has(block)) missing.add(block);
      }
    }
    const sorted = [...missing].sort((a, b) => a - b);
    const gap = size <= SMALL && ranges.length > 1 ? Infinity : GAP_BLOCKS;
    for (let i = 0; i < sorted.length; ) {
      const first = sorted[i];
      let last = first;
      while (++i < sorted.length && sorted[i] - last <= gap && sorted[i] - first < MAX_REQUEST_BLOCKS) {
        last = sorted[i];
      }
      const body = this.#range(first * BLOCK, Math.min((last + 1) * BLOCK, size));
      for (let block = first; block <= last; block++) {
        if (this.#blocks.has(block)) continue;
        // A copy: a view would keep all bytes of the request as long as one of its blocks is kept.
        const bytes = body.then((all) => all.slice((block - first) * BLOCK, (block - first + 1) * BLOCK));
        bytes.catch(() => this.#blocks.delete(block));
        this.#blocks.set(block, bytes);
      }
    }
  }

  async #join([start, end]) {
    if (this.#whole) return (await this.#whole).subarray(start, end);
    const first = Math.floor(start / BLOCK);
    const parts = [];
    for (let block = first; block * BLOCK < end; block++) {
      const bytes = this.#blocks.get(block);
      // The least recently used block is the first one of the map.
      this.#blocks.delete(block);
      this.#blocks.set(block, bytes);
      parts.push(bytes);
    }
    const blocks = await Promise.all(parts);
    for (const block of this.#blocks.keys()) {
      if (this.#blocks.size <= CACHED_BLOCKS) break;
      this.#blocks.delete(block);
    }
    if (blocks.length === 1) return blocks[0].subarray(start - first * BLOCK, end - first * BLOCK);
    const result = new Uint8Array(end - start);
    let position = first * BLOCK - start;
    for (const bytes of blocks) {
      const part = position < 0 ? bytes.subarray(-position) : bytes;
      result.set(part.subarray(0, result.length - Math.max(position, 0)), Math.max(position, 0));
      position += bytes.length;
    }
    return result;
  }

  async #range(start, end) {
    if (this.#whole) return (await this.#whole).subarray(start, end);
    const { response, bytes } = await this.#fetch({ headers: { Range: `bytes=${start}-${end - 1}` } });
    const total = response.status === 200 ? bytes.length : totalOf(response);
    if (!this.#immutable && total !== null && total !== this.#size) throw new DatasetChanged();
    if (response.status === 200) {
      this.#whole = Promise.resolve(bytes);
      return bytes.subarray(start, end);
    }
    if (bytes.length !== end - start) throw new Error(`${this.#url}: ${bytes.length} bytes came of ${end - start}`);
    return bytes;
  }

  /** @returns {Promise<{response: Response, bytes: Uint8Array}>} a response that is no error, and its body */
  async #fetch(options) {
    let problem = "";
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      if (attempt) await new Promise((resolve) => setTimeout(resolve, 300 * 2 ** attempt));
      const direct = this.#direct;
      let response;
      let bytes;
      try {
        // Caches mix ranges of two versions of a file.
        response = await fetch(direct ?? this.#url, this.#immutable ? options : { cache: "no-store", ...options });
        bytes = new Uint8Array(await response.arrayBuffer());
      } catch (error) {
        problem = error.message;
        this.#direct = null; // a refusal by another origin is an error without a status here
        continue;
      }
      if (response.ok) {
        this.#check(response.headers.get("etag"));
        // The Hub counts requests that it redirects; the address that it redirects to holds for an hour.
        if (response.redirected) this.#direct = response.url;
        return { response, bytes };
      }
      if (!this.#immutable && this.#size !== null && [404, 416].includes(response.status)) throw new DatasetChanged();
      problem = `the server answers ${response.status}`;
      if (direct) this.#direct = null;
      else if (response.status < 500 && response.status !== 429) break;
    }
    throw new Error(`${this.#url}: cannot be read (${problem})`);
  }

  /** Ranges of two versions of a file would be mixed up without a notice. */
  #check(etag) {
    if (!this.#immutable && etag && this.#etag && etag !== this.#etag) {
      throw new DatasetChanged();
    }
    this.#etag ??= etag;
  }
}

/** The bytes of the file that a range is of; null where the server does not tell them to this page. */
function totalOf(response) {
  const total = /\/(\d+)$/.exec(response.headers.get("content-range") ?? "");
  return total && Number(total[1]);
}
