/** Distributions of a measure in two groups, in one plot. */

import { quartiles, Scale } from "./axes.js";
import { format, h, svg } from "../dom.js";

const [WIDTH, HEIGHT, BINS] = [320, 150, 24];
const FLOOR = HEIGHT - 22;

/**
 * Two histograms as outlines: the share of each group's layers by value.
 *
 * @param {string} title       The measure.
 * @param {Float64Array[]} groups Values of the layers of each group; NaN where unknown.
 * @param {string[]} groupNames Their names.
 * @returns {Element|null} Null where a group has no known value.
 */
export function histogram(title, groups, groupNames) {
  const known = groups.map((values) => values.filter(Number.isFinite).sort());
  if (known.some((values) => !values.length)) return null;
  const low = Math.min(...known.map((values) => values[0]));
  const high = Math.max(...known.map((values) => values.at(-1)));
  // Of one value that is 0 the scale is that of a share: no measure is below 0.
  const scale = new Scale(low, low === 0 && high === 0 ? 1 : high, 8, WIDTH - 8);
  const shares = known.map((values) => {
    const bins = new Float64Array(BINS);
    const width = (scale.stop - scale.start) / BINS;
    for (const value of values)
      bins[Math.min(BINS - 1, Math.floor((value - scale.start) / width))] += 1 / values.length;
    return bins;
  });
  const most = Math.max(...shares.flatMap((bins) => Array.from(bins)));
  const x = (bin) => 8 + (bin / BINS) * (WIDTH - 16);
  const y = (share) => FLOOR - (share / most) * (FLOOR - 8);
  const outlines = shares.map((bins, i) => {
    const steps = Array.from(bins, (share, bin) => `V${y(share).toFixed(1)}H${x(bin + 1).toFixed(1)}`).join("");
    return svg("path", { class: `outline side-${"ab"[i]}`, d: `M${x(0)} ${FLOOR}${steps}V${FLOOR}Z` });
  });
  const middles = known.map((values, i) => {
    const place = scale.pixel(quartiles(values)[1]);
    return svg("line", { class: `median side-${"ab"[i]}`, x1: place, x2: place, y1: 4, y2: FLOOR });
  });
  const ticks = scale
    .ticks(4)
    .map((value) => svg("text", { x: scale.pixel(value), y: HEIGHT - 6, "text-anchor": "middle" }, format(value)));
  const spread = known.map((values) => quartiles(values));
  const said = spread.map(
    (q, i) => `${groupNames[i]}: median ${format(q[1])}, quartiles ${format(q[0])} and ${format(q[2])}`,
  );
  return h(
    "figure",
    { class: "small-plot" },
    h("figcaption", {}, title),
    svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `${title}. ${said.join("; ")}` },
      svg("line", { class: "grid", x1: 8, x2: WIDTH - 8, y1: FLOOR, y2: FLOOR }),
      outlines,
      middles,
      ticks,
    ),
    h(
      "p",
      { class: "note" },
      spread.map((q, i) => h("span", { class: `key side-${"ab"[i]}` }, `median ${format(q[1])}`)),
    ),
  );
}
