/** Lines of Python that load a kernel. */

/** A string as a literal of Python. */
function literal(text) {
  const escaped = text.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n").replaceAll("\r", "\\r");
  return `"${escaped}"`;
}

/** A string as a literal of SQL. */
function sql(text) {
  return `'${text.replaceAll("'", "''")}'`;
}

/**
 * Lines that load a kernel with filtercrawl and with pandas alone.
 *
 * @param {object} layer    A row of `index`.
 * @param {object} kernel   {out, in}: its channels.
 * @param {string} location A dataset folder, `org/name` or `org/name@version`.
 * @returns {{filtercrawl: string, pandas: string|null}} Without pandas where no file stores the weight.
 */
export function loadingLines(layer, kernel, location) {
  const condition = literal(`layer_id = ${sql(layer.layer_id)}`);
  const load = `filtercrawl.load_layers(${literal(location)}, ${condition})`;
  const filtercrawl = `import filtercrawl; kernel = filtercrawl.to_tensors(${load})[0][${kernel.out}, ${kernel.in}]`;
  return { filtercrawl, pandas: layer.file ? pandasLine(layer, kernel, location) : null };
}

function pandasLine(layer, kernel, location) {
  const remote = /^[\w.-]+\/[\w.-]+@[\w.-]+$/.test(location);
  const file = literal(`${remote ? `hf://datasets/${location}` : location}/${layer.file}`);
  // By its hash: the weight may be stored under the name of another layer. Long layers have several rows.
  const filter = `[("layer_sha256", "==", ${literal(layer.layer_sha256)}), ("kernel", "==", ${literal(layer.kernel)})]`;
  const rows = `pd.read_parquet(${file}, filters=${filter}).sort_values(["layer_id", "part"])`;
  const shape = [-1, layer.shape[1], ...layer.kernel_size].join(", ");
  const weight = `np.concatenate(list(${rows}.weight)).reshape(${shape})`;
  return `import numpy as np, pandas as pd; kernel = ${weight}[${kernel.out}, ${kernel.in}]`;
}
