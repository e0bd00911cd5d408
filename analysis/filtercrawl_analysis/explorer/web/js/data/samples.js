// Sampled kernels of layers, in data/samples.

import { flatNumbers } from "./columns.js";

// At most so many kernels of a layer are in the table; see docs/dataset.md.
const LIMIT = 64;
const CACHED_GROUPS = 96;

/**
 * The place of each layer's rows in `samples`, which has no index of its own.
 *
 * Both tables have the layers in the same order, and a layer whose weights are stored has min(64, kernels) samples.
 *
 * @param {Float64Array} kernels column n_kernels of index
 * @param {Float64Array} rowGroups column row_group of index: NaN where no weights are stored
 * @returns {Float64Array} [n + 1] the first row of each layer
 */
export function sampleStarts(kernels, rowGroups) {
  const starts = new Float64Array(kernels.length + 1);
  for (let row = 0; row < kernels.length; row++) {
    starts[row + 1] = starts[row] + (Number.isNaN(rowGroups[row]) ? 0 : Math.min(LIMIT, kernels[row]));
  }
  return starts;
}

/** The table `samples`, which has the same parts as `index`. */
export class SampleTable {
  #files;
  #starts;
  #taps;
  #groups = new Map();

  /**
   * @param {import("./parquet.js").ParquetFile[]} files
   * @param {Float64Array} starts as `sampleStarts` returns them, of all layers or of the first ones
   * @param {Float64Array} taps numbers of a kernel, by layer
   */
  constructor(files, starts, taps) {
    this.#files = [];
    this.#starts = starts;
    this.#taps = taps;
    let first = 0;
    for (const file of files) {
      this.#files.push({ file, first });
      first += file.rows;
    }
    /** Number of rows of all files. */
    this.rows = first;
  }

  /** Number of sampled kernels of a layer. */
  count(row) {
    return this.#starts[row + 1] - this.#starts[row];
  }

  /** @returns {Promise<{out: number[], in: number[], values: Float32Array}>} of the kernels of a layer */
  async read(row) {
    const start = this.#starts[row];
    const count = this.count(row);
    if (!count) return { out: [], in: [], values: new Float32Array(0) };
    const part = this.#files.findLast(({ first }) => first <= start);
    const group = part.file.groupOf(start - part.first);
    const first = part.first + part.file.starts[group];
    const loaded = await this.#group(part, group, first);
    const channels = (all) => Array.from(all.subarray(start - first, start - first + count));
    const at = loaded.offsets.get(row);
    return {
      out: channels(loaded.out),
      in: channels(loaded.in),
      values: loaded.values.slice(at, at + count * this.#taps[row]),
    };
  }

  #group(part, group, first) {
    const key = `${part.first}:${group}`;
    const loaded = this.#groups.get(key) ?? this.#load(part, group, first);
    this.#groups.delete(key);
    this.#groups.set(key, loaded);
    loaded.catch(() => this.#groups.delete(key));
    if (this.#groups.size > CACHED_GROUPS) this.#groups.delete(this.#groups.keys().next().value);
    return loaded;
  }

  async #load({ file }, group, first) {
    const pages = await Promise.all(["out_channel", "in_channel", "values"].map((name) => file.pages(name, [group])));
    const [out, inner, values] = pages.map(([chunk], i) => flatNumbers(chunk, i === 2 ? Float32Array : Float64Array));
    const end = first + file.starts[group + 1] - file.starts[group];
    const offsets = new Map();
    let at = 0;
    let row = this.#layerAt(first);
    for (; this.#starts[row] < end && row < this.#taps.length; row++) {
      offsets.set(row, at);
      at += this.count(row) * this.#taps[row];
    }
    if (row < this.#taps.length && at !== values.length) throw new Error("data/samples does not fit data/index");
    return { out, in: inner, values, offsets };
  }

  /** The first layer whose samples start at a row of the table. */
  #layerAt(sample) {
    let low = 0;
    let high = this.#starts.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#starts[middle] < sample) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
