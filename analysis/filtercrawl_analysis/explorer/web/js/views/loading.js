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
  const remote = /^[\w.-]+\/[\w.-]+(@[\w.-]+)?$/.test(location);
  const file = literal(`${remote ? `hf://datasets/${location}` : location}/${layer.file}`);
  // The weight of a duplicate is stored under the name of another checkpoint, with the same hash.
  const filter = `[("layer_sha256", "==", ${literal(layer.layer_sha256)}), ("kernel", "==", ${literal(layer.kernel)})]`;
  const size = layer.kernel_size;
  const inputs = layer.shape[1];
  const per = size.reduce((product, length) => product * length, 1);
  const shape = `(-1, ${[inputs, ...size].join(", ")})`;
  const read = `pd.read_parquet(${file}, filters=${filter})`;
  if (layer.n_parts > 1 || inputs * per * layer.shape[0] > 4194304) {
    const place = `.sort_values(["layer_id", "part"]).drop_duplicates("part").weight.explode().to_numpy("float32")`;
    return `import pandas as pd; kernel = ${read}${place}.reshape${shape}[${kernel.out}, ${kernel.in}]`;
  }
  return `import pandas as pd; kernel = ${read}.weight.iloc[0].reshape${shape}[${kernel.out}, ${kernel.in}]`;
}
