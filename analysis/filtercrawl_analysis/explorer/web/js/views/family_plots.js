/** Plots of a model's distance from its family: among the distances of all its models, and by depth. */

import { extent, Scale } from "./axes.js";
import { format, svg } from "../dom.js";
import { rounded } from "./format.js";

const [WIDTH, HEIGHT, PAD] = [320, 56, 10];
const [DEPTH_HEIGHT, DECILES] = [120, 10];
// An axis spans at least this factor, so that equal distances look equal.
const LEAST_RATIO = 3;
// Half the diagonal of the mark of the model.
const MARK = 6;

/**
 * The distances of the models of a family on a line, with one of them marked.
 *
 * @param {object[]} family Rows of `family_distance` of one kernel size.
 * @param {object} own      That of the model.
 */
export function distanceStrip(family, own) {
  const distances = family.map((row) => row.distance);
  const scale = scaleOf(distances, PAD, WIDTH - PAD);
  if (!scale) return null;
  const middle = HEIGHT / 2 - 9;
  const others = family.filter((row) => row !== own && row.distance > 0);
  const dots = others.map((row) =>
    svg("circle", { cx: scale.pixel(row.distance), cy: middle, r: 4 }, svg("title", {}, title(row))),
  );
  const median = own.others_median > 0 ? scale.pixel(own.others_median) : null;
  const ticks = scale
    .ticks(3)
    .map((value) => svg("text", { x: scale.pixel(value), y: HEIGHT - 4, "text-anchor": "middle" }, format(value)));
  const said = `Distances of ${family.length} models of ${own.family} on a logarithmic axis; this one ${rounded(own.distance)}`;
  return svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": said, class: "family-strip" },
    svg("line", { class: "grid", x1: PAD, x2: WIDTH - PAD, y1: HEIGHT - 18, y2: HEIGHT - 18 }),
    median !== null && svg("line", { class: "median", x1: median, x2: median, y1: middle - 11, y2: middle + 11 }),
    dots,
    own.distance > 0 && diamond(scale.pixel(own.distance), middle, title(own)),
    ticks,
  );
}

/**
 * The distance of a model in each tenth of the depth, with the range and the median of the others; null where fewer than
 * two tenths are known.
 *
 * @param {object[]} rows Rows of `family_distance_depth` of the model and a kernel size.
 */
export function distanceByDepth(rows) {
  const known = rows.filter((row) => row.distance > 0 && row.others_low > 0).sort((a, b) => a.depth_decile - b.depth_decile);
  if (known.length < 2) return null;
  const y = scaleOf(known.flatMap((row) => [row.distance, row.others_low, row.others_high]), DEPTH_HEIGHT - 24, 10);
  const x = (row) => 34 + ((row.depth_decile + 0.5) / DECILES) * (WIDTH - 34 - PAD);
  const line = (name) => path(known.map((row) => [x(row), y.pixel(row[name])]));
  const low = known.toReversed().map((row) => [x(row), y.pixel(row.others_low)]);
  const band = path([...known.map((row) => [x(row), y.pixel(row.others_high)]), ...low]);
  const bars = known.map((row) =>
    svg("line", { class: "range", x1: x(row), x2: x(row), y1: y.pixel(row.others_low), y2: y.pixel(row.others_high) }),
  );
  const marks = known.map((row) => {
    const others = `others ${rounded(row.others_low)} to ${rounded(row.others_high)}, ${row.models} models`;
    return diamond(x(row), y.pixel(row.distance), `tenth ${row.depth_decile}: ${rounded(row.distance)}; ${others}`);
  });
  const said = known.map((row) => `${row.depth_decile}: ${rounded(row.distance)}, others' median ${rounded(row.others_median)}`);
  return svg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${DEPTH_HEIGHT}`, role: "img", "aria-label": `Distance by tenth of the depth. ${said.join("; ")}` },
    y.ticks(3).map((value) => [
      svg("line", { class: "grid", x1: 34, x2: WIDTH - PAD, y1: y.pixel(value), y2: y.pixel(value) }),
      svg("text", { x: 30, y: y.pixel(value) + 4, "text-anchor": "end" }, format(value)),
    ]),
    svg("path", { class: "band", d: `${band}Z` }),
    bars,
    svg("path", { class: "line", d: line("others_median") }),
    svg("path", { class: "own", d: line("distance") }),
    marks,
    known.map((row) => svg("text", { x: x(row), y: DEPTH_HEIGHT - 6, "text-anchor": "middle" }, row.depth_decile)),
  );
}

/** A picture for the key: the mark of the model. */
export function markOfModel() {
  return svg("svg", { viewBox: "-8 -8 16 16", class: "key-mark", "aria-hidden": "true" }, diamond(0, 0));
}

function scaleOf(values, from, to) {
  const found = extent(values, values.keys(), true);
  if (!found) return null;
  const margin = Math.sqrt(Math.max(1, LEAST_RATIO / (found[1] / found[0])));
  return new Scale(found[0] / margin, found[1] * margin, from, to, true);
}

function diamond(x, y, text = null) {
  const corners = [[x, y - MARK], [x + MARK, y], [x, y + MARK], [x - MARK, y]];
  return svg("path", { class: "mark", d: `${path(corners)}Z` }, text !== null && svg("title", {}, text));
}

function path(places) {
  return places.map(([x, y], i) => `${i ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
}

function title(row) {
  return `${row.model_id}: ${rounded(row.distance)}`;
}
