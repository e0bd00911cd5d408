/** What analyses say about pairs of models and of groups. */

import { format, h } from "../dom.js";
import { dataTable, notMade, viewLink } from "./elements.js";

const DRIFT_COLUMNS = [
  { label: "Size" },
  { label: "Drift", numeric: true },
  { label: "95 % interval", numeric: true },
  { label: "q", numeric: true },
  { label: "Verdict" },
];
const RELATION_COLUMNS = [
  { label: "Model" },
  { label: "Relation" },
  { label: "Evidence" },
  { label: "Equal layers" },
  { label: "Correlation", numeric: true },
  { label: "Distance", numeric: true },
];

function section(title, content) {
  return h(
    "section",
    {},
    h("h3", {}, title),
    typeof content === "string" ? h("p", { class: "note" }, content) : content,
  );
}

/** Cells of a row of a drift table. */
function driftCells(row) {
  const interval = row.low === null ? "unknown" : `${format(row.low)} to ${format(row.high)}`;
  return [row.kernel, format(row.estimate), interval, row.q === null ? "unknown" : format(row.q), h("span", {}, verdict(row))];
}

/** The verdict with what limits it: beside an interval far from 0, "no difference found" must not read as "equal". */
function verdict({ verdict, note, detectable }) {
  const limits = [note];
  if (verdict !== "differs" && Number.isFinite(detectable)) limits.push(`a drift below ${format(detectable)} can be missed`);
  const said = limits.filter(Boolean).join("; ");
  return said ? [verdict, h("span", { class: "note" }, ` ${said}`)] : verdict;
}

/** The models that share weights or an origin with one. */
export async function relatedModels({ store, state }, id) {
  const title = "Related models";
  const related = await store.table("related_models");
  if (!related) return section(title, notMade("lineage"));
  const found = related.filter((row) => row.model_a === id || row.model_b === id);
  if (!found.length) return section(title, "None was found.");
  const rows = found.map((row) => {
    const other = row.model_a === id ? row.model_b : row.model_a;
    const role = { [id]: ", made from this one", [other]: ", the origin of this one" }[row.parent] ?? "";
    const equal = `${row.equal_layers} of ${row.common_layers}`;
    const link = viewLink(state, { view: "model", model: other }, other);
    return [link, row.relation + role, row.evidence, equal, format(row.correlation), format(row.distance)];
  });
  return section(title, dataTable("Models that share weights or an origin with this one", RELATION_COLUMNS, rows));
}

/** The drift between a family and others. */
export async function familyDrift(store, family) {
  const title = "Drift of its family";
  if (!family) return section(title, "The family of this model is unknown.");
  const drift = await store.table("drift_family");
  if (!drift) return section(title, notMade("drift"));
  const pairs = drift.filter((row) => row.group_a === family || row.group_b === family);
  if (!pairs.length) return section(title, `${family} was compared with no other family.`);
  const rows = pairs
    .sort((a, b) => (b.estimate ?? -1) - (a.estimate ?? -1))
    .map((row) => [row.group_a === family ? row.group_b : row.group_a, ...driftCells(row)]);
  const caption = `Kernels of ${family} against those of other families`;
  return section(title, dataTable(caption, [{ label: "Against" }, ...DRIFT_COLUMNS], rows));
}

/** The drift between two groups that differ in one column, or null; of models, how they are related. */
export async function pairDrift(store, differ, sizes) {
  if (differ?.column === "model_id") return pairRelation(store, differ);
  const title = "Drift between them";
  if (differ?.column === "kernel") return section(title, "Only kernels of one size are compared.");
  if (!differ) return section(title, "It is stated where the groups differ in one column only.");
  const drift = await store.table(`drift_${differ.column}`);
  if (!drift) return section(title, notMade("drift", `--by ${differ.column}`));
  const pair = [differ.a, differ.b];
  const found = drift.filter(
    (row) => pair.includes(row.group_a) && pair.includes(row.group_b) && (!sizes.length || sizes.includes(row.kernel)),
  );
  if (!found.length) return section(title, "The analysis did not compare these two.");
  const caption = `${differ.a} against ${differ.b}, over the whole dataset`;
  return section(title, dataTable(caption, DRIFT_COLUMNS, found.map(driftCells)));
}

async function pairRelation(store, { a, b }) {
  const title = "How they are related";
  const related = await store.table("related_models");
  if (!related) return section(title, notMade("lineage"));
  const row = related.find((entry) => [a, b].includes(entry.model_a) && [a, b].includes(entry.model_b));
  if (!row) return section(title, "No relation was found between their weights.");
  const origin = row.parent === null ? "" : ` ${row.parent} is the origin.`;
  const equal = `${row.equal_layers} of ${row.common_layers} common layers are equal; distance ${format(row.distance)}.`;
  return section(title, h("p", {}, `${row.relation}: ${row.evidence}.${origin} ${equal}`));
}
