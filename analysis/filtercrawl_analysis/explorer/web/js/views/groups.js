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

/** Ends the name of a column whose value a group does not have. */
const NOT = "!";

/**
 * The conditions of a group, [[column, value]], from `family=resnet&kernel=3x3`.
 *
 * `model_id!=timm/resnet18` leaves a value out. Text without `=` is the id of a model.
 */
export function parseGroup(text) {
  if (text && !text.includes("=")) return [["model_id", text]];
  return [...new URLSearchParams(text ?? "")];
}

/** The column of a condition, and whether its value is left out. */
export function columnOf(name) {
  return name.endsWith(NOT) ? { column: name.slice(0, -NOT.length), excluded: true } : { column: name, excluded: false };
}

/** The conditions on columns that the dataset has, and the names of the other columns. */
export async function splitUnknown(store, conditions) {
  const has = await Promise.all(conditions.map(([name]) => store.hasColumn(columnOf(name).column)));
  return {
    known: conditions.filter((_, i) => has[i]),
    unknown: conditions.filter((_, i) => !has[i]).map(([name]) => columnOf(name).column),
  };
}

/** The text of a group's conditions; null where there are none. */
export function formatGroup(conditions) {
  return new URLSearchParams(conditions).toString() || null;
}

/** The changes of the address that compare a model with the others of a value in a column, such as its family. */
export function compareWith(id, column, value) {
  const others = [
    [column, value],
    [`model_id${NOT}`, id],
  ];
  return { view: "compare", model: null, a: formatGroup([["model_id", id]]), b: formatGroup(others) };
}

/** A name for people: "resnet, tenth of depth 1". `labelOf` names a column where a value alone would not tell it. */
export function groupName(conditions, labelOf) {
  const isClear = (value) => value && !["true", "false"].includes(value) && Number.isNaN(Number(value));
  const words = ([written, value]) => {
    const { column, excluded } = columnOf(written);
    const said = isClear(value) ? value : `${labelOf(column)} ${value || "unknown"}`;
    return excluded ? `without ${said}` : said;
  };
  return conditions.map(words).join(", ");
}

/** The rows of a group among those that pass the filters of the page. */
export async function groupRows(store, conditions) {
  if (!conditions.length) return new Uint32Array(0);
  const [filters, excluded] = [{}, {}];
  for (const [name, value] of conditions) {
    const condition = columnOf(name);
    ((condition.excluded ? excluded : filters)[condition.column] ??= []).push(value);
  }
  const within = await selected(store, filters);
  const without = await Promise.all(Object.entries(excluded).map((filter) => selected(store, Object.fromEntries([filter]))));
  return store.rows.filter((row) => within.has(row) && !without.some((rows) => rows.has(row)));
}

/** The rows that pass filters, without those of the page. */
async function selected(store, filters) {
  const selection = { q: "", sort: null, all: true, filters, x: null, y: null, brush: null };
  const names = columnsOf(selection);
  const columns = new Map(await Promise.all(names.map(async (name) => [name, await store.column(name)])));
  return new Set(select(selection, columns, store.n).rows);
}

/** The column in which two groups differ, and their values there; null where it is not exactly one. */
export function difference(a, b) {
  const differing = a.filter(([column, value]) => !b.some(([other, same]) => other === column && same === value));
  const against = b.filter(([column, value]) => !a.some(([other, same]) => other === column && same === value));
  if (differing.length !== 1 || against.length !== 1 || differing[0][0] !== against[0][0]) return null;
  return { column: differing[0][0], a: differing[0][1], b: against[0][1] };
}
