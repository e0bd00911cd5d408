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
 * @param {string} kind
 * @param {ArrayLike<any>[]} chunks values by row group
 * @param {number} n rows
 */
export function pack(name, kind, chunks, n) {
  if (kind === "number") return { name, kind, values: packNumbers(chunks, n) };
  if (kind === "category") return { name, kind, ...packCategories(chunks, n) };
  return { name, kind, values: chunks.flatMap((chunk) => Array.from(chunk)) };
}

function packNumbers(chunks, n) {
  const values = new Float64Array(n);
  let row = 0;
  for (const chunk of chunks) {
    for (const value of chunk) values[row++] = value === null || value === undefined ? NaN : Number(value);
  }
  return values;
}

function packCategories(chunks, n) {
  const values = new Uint32Array(n);
  const codes = new Map();
  let row = 0;
  for (const chunk of chunks) {
    for (const value of chunk) {
      if (value === null || value === undefined) {
        values[row++] = UNKNOWN;
        continue;
      }
      let code = codes.get(value);
      if (code === undefined) codes.set(value, (code = codes.size));
      values[row++] = code;
    }
  }
  return { values, categories: [...codes.keys()].map(String) };
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
