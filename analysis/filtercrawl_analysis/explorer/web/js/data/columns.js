// Columns as the page uses them: numbers, codes of categories, texts and lists.

/** The code of an unknown category. */
export const UNKNOWN = 0xffffffff;

// Columns of text that name something: too many values to choose from.
const TEXTS = new Set([
  "layer_id", "row_id", "layer", "tensor", "file", "weight_sha256", "layer_sha256", "effective_sha256", "duplicate_of",
  "merged_into", "pointwise_follower",
]);
const LABELS = {
  model_id: "model",
  op: "operator",
  kernel: "kernel size",
  n_kernels: "kernels",
  out_channels: "output channels",
  in_channels: "input channels",
  taps: "weights of a kernel",
  conv_depth: "depth",
  conv_depth_norm: "relative depth",
  depth_decile: "tenth of depth",
  n_conv_ancestors: "convolutions before it",
  training_dataset: "training data",
  n_dead: "dead kernels",
  n_nonfinite: "kernels not finite",
  variance_entropy: "variance entropy",
  variance_entropy_norm: "variance entropy, normalized",
  norm_l1: "L1 norm",
  norm_l2: "L2 norm",
  norm_linf: "largest magnitude",
  "layer_quality.verdict": "verdict of quality",
  "form_kernels.form": "form of kernels",
};

/** A label for people: `layer_spectra.stable_rank` is "stable rank (spectra)". */
export function labelOf(name) {
  if (LABELS[name]) return LABELS[name];
  const [table, column] = name.includes(".") ? name.split(".") : [null, name];
  const label = LABELS[column] ?? column.replaceAll("_", " ");
  return table ? `${label} (${table.replace(/^layer_/, "").replaceAll("_", " ")})` : label;
}

/**
 * @param {string} name
 * @param {string|null} type physical type of Parquet, or LIST
 * @returns {"number"|"category"|"text"|"list"|null} null for what is not shown
 */
export function kindOf(name, type) {
  if (type === "LIST") return "list";
  if (type === "BOOLEAN") return "category";
  if (type === "BYTE_ARRAY") return TEXTS.has(name) ? "text" : "category";
  return ["INT32", "INT64", "FLOAT", "DOUBLE"].includes(type) ? "number" : null;
}

/**
 * @param {string} name
 * @param {"number"|"category"|"text"} kind
 * @param {object[]} groups pages by row group, as `decodePages` returns them
 * @param {number} n rows
 */
export function pack(name, kind, groups, n) {
  if (kind === "number") return { name, kind, values: packNumbers(groups, n) };
  if (kind === "category") return { name, kind, ...packCategories(groups, n) };
  return { name, kind, values: packTexts(groups, n) };
}

/** Call `set(row, value)` for all rows of a row group from `row` on, `set(row, null)` where unknown. */
function eachValue(pages, row, set) {
  for (const { present, values } of pages) {
    if (!present.length) {
      for (let i = 0; i < values.length; i++) set(row++, values[i]);
      continue;
    }
    let i = 0;
    for (const level of present) set(row++, level ? values[i++] : null);
  }
  return row;
}

function packNumbers(groups, n) {
  const result = new Float64Array(n);
  let row = 0;
  for (const { dictionary, pages } of groups) {
    const decoded = dictionary && Float64Array.from(dictionary, Number);
    for (const page of pages) {
      row = eachValue([page], row, (at, value) => {
        result[at] = value === null ? NaN : page.codes ? decoded[value] : Number(value);
      });
    }
  }
  return result;
}

function packCategories(groups, n) {
  const values = new Uint32Array(n);
  const codes = new Map();
  const codeOf = (category) => {
    const known = codes.get(category);
    if (known !== undefined) return known;
    codes.set(category, codes.size);
    return codes.size - 1;
  };
  let row = 0;
  for (const { dictionary, pages } of groups) {
    const translated = dictionary && Uint32Array.from(dictionary, (category) => codeOf(String(category)));
    for (const page of pages) {
      row = eachValue([page], row, (at, value) => {
        values[at] = value === null ? UNKNOWN : page.codes ? translated[value] : codeOf(String(value));
      });
    }
  }
  return { values, categories: [...codes.keys()] };
}

function packTexts(groups, n) {
  const result = new Array(n);
  let row = 0;
  for (const { dictionary, pages } of groups) {
    for (const page of pages) {
      row = eachValue([page], row, (at, value) => {
        result[at] = value !== null && page.codes ? dictionary[value] : value;
      });
    }
  }
  return result;
}

/** The numbers of a column that is never null, also of its lists, one after another. */
export function flatNumbers({ dictionary, pages }, Type = Float64Array) {
  const result = new Type(pages.reduce((sum, { values }) => sum + values.length, 0));
  const decoded = dictionary && Float64Array.from(dictionary, Number);
  let at = 0;
  for (const { codes, values } of pages) {
    if (codes) for (let i = 0; i < values.length; i++) result[at + i] = decoded[values[i]];
    else if (values instanceof BigInt64Array) result.set(Array.from(values, Number), at);
    else result.set(values, at);
    at += values.length;
  }
  return result;
}

/** A column of another table, by row of index; rows without a match are unknown. */
export function take(column, matches, name) {
  const { kind, values, categories } = column;
  if (kind === "number") {
    return { name, kind, values: Float64Array.from(matches, (row) => (row < 0 ? NaN : values[row])) };
  }
  if (kind === "category") {
    return { name, kind, values: Uint32Array.from(matches, (row) => (row < 0 ? UNKNOWN : values[row])), categories };
  }
  return { name, kind, values: Array.from(matches, (row) => (row < 0 ? null : values[row])) };
}
