/** Groups of layers that are compared: filters of their own, as text for the URL. */

import { columnsOf, select } from "../data/selection.js";

/** Columns by which a group can be chosen, those of which the dataset knows more than one value first. */
export const GROUP_COLUMNS = [
  "model_id",
  "family",
  "architecture",
  "task",
  "training_dataset",
  "visual_category",
  "source",
  "license",
  "kernel",
  "op",
  "depthwise",
  "depth_decile",
  "stored_dtype",
  "weight_kind",
  "layer_quality.verdict",
];

/** The conditions of a group, [[column, value]], from `family=resnet&kernel=3x3`. */
export function parseGroup(text) {
  return [...new URLSearchParams(text ?? "")];
}

/** The conditions on columns that the dataset has, and the names of the other columns. */
export async function splitUnknown(store, conditions) {
  const has = await Promise.all(conditions.map(([column]) => store.hasColumn(column)));
  return {
    known: conditions.filter((_, i) => has[i]),
    unknown: conditions.filter((_, i) => !has[i]).map(([column]) => column),
  };
}

/** The text of a group's conditions; null where there are none. */
export function formatGroup(conditions) {
  return new URLSearchParams(conditions).toString() || null;
}

/** The changes of the address that compare a model with all layers of a value in a column, such as its family. */
export function compareWith(id, column, value) {
  return { view: "compare", model: null, a: formatGroup([["model_id", id]]), b: formatGroup([[column, value]]) };
}

/** A name for people: "resnet, tenth of depth 1". `labelOf` names a column where a value alone would not tell it. */
export function groupName(conditions, labelOf) {
  const isClear = (value) => value && !["true", "false"].includes(value) && Number.isNaN(Number(value));
  const name = ([column, value]) => (isClear(value) ? value : `${labelOf(column)} ${value || "unknown"}`);
  return conditions.map(name).join(", ");
}

/** The rows of a group among those that pass the filters of the page. */
export async function groupRows(store, conditions) {
  if (!conditions.length) return new Uint32Array(0);
  const filters = {};
  for (const [column, value] of conditions) (filters[column] ??= []).push(value);
  const selection = { q: "", sort: null, all: true, filters, x: null, y: null, brush: null };
  const names = columnsOf(selection);
  const columns = new Map(await Promise.all(names.map(async (name) => [name, await store.column(name)])));
  const within = new Set(select(selection, columns, store.n).rows);
  return store.rows.filter((row) => within.has(row));
}

/** The column in which two groups differ, and their values there; null where it is not exactly one. */
export function difference(a, b) {
  const differing = a.filter(([column, value]) => !b.some(([other, same]) => other === column && same === value));
  const against = b.filter(([column, value]) => !a.some(([other, same]) => other === column && same === value));
  if (differing.length !== 1 || against.length !== 1 || differing[0][0] !== against[0][0]) return null;
  return { column: differing[0][0], a: differing[0][1], b: against[0][1] };
}
