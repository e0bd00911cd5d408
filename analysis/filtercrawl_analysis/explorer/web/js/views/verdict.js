/** Verdicts of the analysis of quality. */

const COLUMN = "layer_quality.verdict";

/** The verdict on the layer in a row; null where it was not judged. */
export async function verdictOf(store, row) {
  if (!(await store.hasColumn(COLUMN))) return null;
  const { values, categories } = await store.column(COLUMN);
  return categories[values[row]] ?? null;
}
