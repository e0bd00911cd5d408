/** How far a model is from the other models of its family. */

import { dataTable, notMade, viewLink } from "./elements.js";
import { distanceByDepth, distanceStrip, markOfModel } from "./family_plots.js";
import { compareWith } from "./groups.js";
import { format, h } from "../dom.js";
import { rounded } from "./format.js";

const TITLE = "Distance from its family";
// Models in the list of a family, those that are farthest.
const LISTED = 30;
const COLUMNS = [
  { label: "Model" },
  { label: "Rank", numeric: true },
  { label: "Distance", numeric: true },
  { label: "Verdict" },
];

/** The section on a model, with a plot for each kernel size in which it has a distance; null without a family. */
export async function familyDistance({ store, state }, id, family) {
  if (!family) return null;
  const [distances, depths] = await Promise.all([store.table("family_distance"), store.table("family_distance_depth")]);
  if (!distances) return section(notMade("family"));
  const own = distances.filter((row) => row.model_id === id);
  const placed = own.filter((row) => row.distance !== null);
  if (!own.length) return section(note(`No kernels of it were compared with those of ${family}.`));
  const plots = placed.map((row) => {
    const members = distances.filter(
      (other) => other.family === row.family && other.kernel === row.kernel && other.distance !== null,
    );
    const byDepth = (depths ?? []).filter((other) => other.model_id === id && other.kernel === row.kernel);
    return sizePlot(state, row, members, byDepth);
  });
  const others = own.filter((row) => row.distance === null).map((row) => `${kernelsInWords(row.kernel)}: ${row.note}`);
  return section(
    placed.length > 0 && key(placed[0].family),
    plots.length > 0 && h("div", { class: "small-plots family" }, plots),
    others.length > 0 && note(`Without a distance: ${others.join("; ")}.`),
    h("p", {}, viewLink(state, compareWith(id, "family", family), `Compare its kernels with those of the others of ${family}`)),
  );
}

function section(...content) {
  return h("section", { class: "family-distance" }, h("h3", {}, TITLE), content);
}

function note(text) {
  return h("p", { class: "note" }, text);
}

function key(family) {
  return h(
    "p",
    { class: "note" },
    `Drift D from the mean of the other models of ${family}, all thinned to one number of kernels. `,
    h("span", { class: "key-mark-text" }, markOfModel(), "this model"),
    "; dots are the others, the line is their median.",
  );
}

function sizePlot(state, row, members, byDepth) {
  const depth = distanceByDepth(byDepth);
  return h(
    "figure",
    { class: "small-plot" },
    h("figcaption", {}, `${kernelsInWords(row.kernel)}: ${placeInWords(row)}`),
    distanceStrip(members, row),
    note(othersInWords(row)),
    h("p", { class: row.verdict === "differs" ? "verdict differs" : "verdict" }, verdictInWords(row)),
    depth && [note("By tenth of the depth, with the range and the median of the others:"), depth],
    members.length > 2 && memberList(state, row, members),
  );
}

/** "3x3 kernels", or "1-D kernels of 3 taps", which nobody takes for a count. */
function kernelsInWords(kernel) {
  return kernel.includes("x") ? `${kernel} kernels` : `1-D kernels of ${kernel} taps`;
}

/** "0.4, 3rd farthest of 14 models" */
export function placeInWords({ distance, rank, models }) {
  if (models === 2) return `${rounded(distance)} from the only other model`;
  const place = { 1: "the farthest", [models]: "the nearest" }[rank] ?? `${ordinal(rank)} farthest`;
  return `${rounded(distance)}, ${place} of ${format(models)} models`;
}

export function othersInWords({ distance, models, others_median, others_low, others_high, tested_kernels }) {
  const kernels = `${format(tested_kernels)} kernels a model`;
  if (models === 2) return `${kernels}.`;
  const times = others_median > 0 ? ` This one: ${rounded(distance / others_median)} times their median.` : "";
  return `The others: median ${rounded(others_median)}, from ${rounded(others_low)} to ${rounded(others_high)}; ${kernels}.${times}`;
}

/** What is said of a row's verdict, in a sentence. */
export function verdictInWords({ verdict, q, note: reason }) {
  if (verdict === "differs") return `It differs from its family: farther than the spread of the others explains, q = ${rounded(q)}.`;
  if (verdict === "too little to tell") return `Too little to tell whether it differs${reason ? ` (${reason})` : ""}.`;
  return `No difference from its family was found, q = ${rounded(q)}${reason ? ` (${reason})` : ""}.`;
}

function memberList(state, own, members) {
  const shown = members.toSorted((a, b) => a.rank - b.rank).filter((row, i) => i < LISTED || row === own);
  const rows = shown.map((row) => [
    row === own ? h("strong", {}, `${row.model_id} (this one)`) : viewLink(state, { model: row.model_id }, row.model_id),
    format(row.rank),
    rounded(row.distance),
    row.verdict,
  ]);
  const all = shown.length === members.length ? "all" : "the farthest";
  const caption = `Distances of ${all} models of ${own.family}, ${kernelsInWords(own.kernel)}`;
  const summary = `${shown.length === members.length ? "All" : `The farthest ${LISTED} of`} ${format(members.length)} models`;
  return h("details", {}, h("summary", {}, summary), dataTable(caption, COLUMNS, rows));
}

function ordinal(number) {
  const ending = { one: "st", two: "nd", few: "rd", other: "th" };
  return `${number}${ending[new Intl.PluralRules("en", { type: "ordinal" }).select(number)]}`;
}
