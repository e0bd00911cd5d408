// Which layers are shown, and in which order.

import { UNKNOWN } from "./columns.js";

/** What a filter of the address has as value where the column is unknown. */
export const UNKNOWN_VALUE = "";
const RANGE = /^(-?[\d.]*(?:e[+-]?\d+)?)\.\.(-?[\d.]*(?:e[+-]?\d+)?)$/i;

/**
 * What an address asks for.
 *
 * @param {import("../state.js").State} state
 * @returns {{q: string, sort: string|null, all: boolean, filters: Object<string, string[]>, x: ?string, y: ?string,
 *   brush: number[]|null, problems: string[]}} filters by column: values of which one holds, `a..b` for numbers, "" for unknown
 */
export function selectionOf(state) {
  const filters = {};
  for (const key of state.keys()) {
    if (key.startsWith("f.")) filters[key.slice(2)] = state.getAll(key);
  }
  const text = state.get("brush");
  const bounds = text?.split(",").map(Number);
  const brush = bounds?.length === 4 && bounds.every(Number.isFinite) ? bounds : null;
  const isWrong = text !== null && (!brush || brush[0] > brush[1] || brush[2] > brush[3]);
  return {
    q: (state.get("q") ?? "").trim().toLowerCase(),
    sort: state.get("sort"),
    all: state.get("all") === "1",
    filters,
    x: state.get("x"),
    y: state.get("y"),
    brush,
    problems: isWrong ? [`brush=${text} is not X0,X1,Y0,Y1, each pair from the lower to the higher.`] : [],
  };
}

/** Whether all layers are selected, in the order of the dataset. */
export function isPlain({ q, sort, all, filters, brush }) {
  return !q && !sort && !all && !brush && !Object.keys(filters).length;
}

/** Names of the columns that a selection reads. */
export function columnsOf(selection) {
  const names = new Set(Object.keys(selection.filters));
  if (!selection.all) names.add("row_group");
  if (selection.sort) names.add(selection.sort.replace(/^-/, ""));
  if (selection.q) names.add("layer_id");
  if (selection.brush && selection.x && selection.y) names.add(selection.x).add(selection.y);
  return [...names];
}

/** The same selection without what rests on some columns. */
export function withoutColumns(selection, names) {
  const filters = Object.fromEntries(Object.entries(selection.filters).filter(([name]) => !names.includes(name)));
  const sort = names.includes(selection.sort?.replace(/^-/, "")) ? null : selection.sort;
  const brush = names.includes(selection.x) || names.includes(selection.y) ? null : selection.brush;
  return { ...selection, filters, sort, brush };
}

/**
 * @param {object} selection as `selectionOf` returns it
 * @param {Map<string, object>} columns those that `columnsOf` names
 * @param {number} n layers
 * @returns {{rows: Uint32Array, candidates: Uint32Array}} the rows in order; candidates are those without the brush
 */
export function select(selection, columns, n) {
  const tests = Object.entries(selection.filters).map(([name, values]) => testOf(columns.get(name), values));
  if (!selection.all) tests.push(isStored(columns.get("row_group")));
  if (selection.q) tests.push(matches(columns.get("layer_id"), selection.q));
  let candidates = passing(tests, n);
  if (selection.sort) candidates = sorted(candidates, selection.sort, columns);
  const { brush, x, y } = selection;
  if (!brush || !x || !y) return { rows: candidates, candidates };
  const within = [between(columns.get(x), brush[0], brush[1]), between(columns.get(y), brush[2], brush[3])];
  return { rows: candidates.filter((row) => within[0](row) && within[1](row)), candidates };
}

function passing(tests, n) {
  const rows = new Uint32Array(n);
  let count = 0;
  for (let row = 0; row < n; row++) {
    if (tests.every((test) => test(row))) rows[count++] = row;
  }
  return rows.slice(0, count);
}

function testOf(column, values) {
  if (column.kind === "category") {
    const wanted = new Set(values.map((value) => (value === UNKNOWN_VALUE ? UNKNOWN : column.categories.indexOf(value))));
    return (row) => wanted.has(column.values[row]);
  }
  if (column.kind === "number") {
    const tests = values.map((value) => {
      if (value === UNKNOWN_VALUE) return (row) => Number.isNaN(column.values[row]);
      return between(column, ...boundsOf(value));
    });
    return (row) => tests.some((test) => test(row));
  }
  const wanted = new Set(values);
  return (row) => {
    const found = [column.values[row] ?? []].flat();
    return found.length ? found.some((value) => wanted.has(String(value))) : wanted.has(UNKNOWN_VALUE);
  };
}

/** The bounds of `a..b`, either of which may be left out, or of a number; NaN where they cannot be read. */
function boundsOf(value) {
  const range = RANGE.exec(value) ?? [value, value, value];
  return [range[1] === "" ? -Infinity : Number(range[1]), range[2] === "" ? Infinity : Number(range[2])];
}

/**
 * What is wrong with the bounds that an address asks for.
 *
 * @param {object} selection as `selectionOf` returns it
 * @param {Map<string, object>} columns those that `columnsOf` names
 * @returns {string[]} sentences
 */
export function problemsOf({ filters, problems }, columns) {
  const wrong = Object.entries(filters).flatMap(([name, values]) => {
    if (columns.get(name)?.kind !== "number") return [];
    return values.filter((value) => value !== UNKNOWN_VALUE).flatMap((value) => {
      const [low, high] = boundsOf(value);
      if (low <= high) return [];
      const why = low > high ? "has its lower bound above its upper one" : "is neither a number nor a range LOW..HIGH";
      return [`f.${name}=${value} ${why}.`];
    });
  });
  return [...problems, ...wrong];
}

function between(column, low, high) {
  return (row) => column.values[row] >= low && column.values[row] <= high;
}

function isStored(rowGroup) {
  return (row) => !Number.isNaN(rowGroup.values[row]);
}

/** Every word of the search is somewhere in the id of the layer. */
function matches(column, text) {
  const words = text.split(/\s+/);
  return (row) => {
    const id = column.values[row].toLowerCase();
    return words.every((word) => id.includes(word));
  };
}

/** Unknown values come last, whichever the direction. */
function sorted(rows, sort, columns) {
  const sign = sort.startsWith("-") ? -1 : 1;
  const column = columns.get(sort.replace(/^-/, ""));
  const keys = new Float64Array(column.values.length);
  if (column.kind === "number") {
    keys.set(column.values);
  } else {
    const texts = column.categories ?? [...new Set(column.values)];
    const ranks = new Map(texts.filter((text) => text !== null).sort().map((text, rank) => [text, rank]));
    const rankOf = (value) => ranks.get(column.categories ? texts[value] : value) ?? NaN;
    column.values.forEach((value, row) => (keys[row] = rankOf(value)));
  }
  // Rows in the order of their keys by one native sort of pairs would need objects; a comparator on numbers is enough.
  return rows.slice().sort((a, b) => {
    const [left, right] = [keys[a], keys[b]];
    if (Number.isNaN(left) || Number.isNaN(right)) return Number.isNaN(left) - Number.isNaN(right) || a - b;
    return sign * (left - right) || a - b;
  });
}

/** Numbers of what is selected. */
export function countsOf(rows, kernels, models) {
  const distinct = new Set();
  let total = 0;
  for (const row of rows) {
    total += kernels.values[row];
    distinct.add(models.values[row]);
  }
  return { layers: rows.length, kernels: total, models: distinct.size };
}
