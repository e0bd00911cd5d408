/** Small plots of a model's layers by depth. */

import { quartiles } from "./axes.js";
import { format, h, layerTitle, svg } from "../dom.js";

const MEASURES = [
  ["sparsity", "Share of dead kernels"],
  ["variance_entropy_norm", "Entropy, of the largest"],
  ["orthogonality", "Orthogonality"],
  ["rms", "Root mean square of the weights"],
];
const [WIDTH, HEIGHT, PAD] = [260, 96, 6];

/**
 * A plot a measure. Layers are in order of depth where it is known for all, else of the file.
 *
 * @param {object[]} layers Rows of `index`, in that order.
 */
export function depthLines(layers) {
  const deep = layers.length > 0 && layers.every((layer) => layer.conv_depth !== null);
  const plots = MEASURES.map(([name, title]) =>
    plot(
      title,
      layers,
      layers.map((layer) => measure(layer, name)),
      deep,
    ),
  ).filter(Boolean);
  if (!plots.length) return h("p", { class: "note" }, "No layer of it has been measured.");
  const order = deep
    ? "From the input on the left to the output on the right."
    : "In the order of the file, as the depth of some layers is unknown.";
  return h("div", {}, h("p", { class: "note" }, order), h("div", { class: "small-plots dense" }, plots));
}

function measure(layer, name) {
  if (name !== "rms") return layer[name];
  const weights = layer.shape.reduce((product, length) => product * length, 1);
  return layer.norm_l2 === null ? null : layer.norm_l2 / Math.sqrt(weights);
}

function plot(title, layers, values, deep) {
  const known = values.filter((value) => value !== null && Number.isFinite(value));
  if (!known.length) return null;
  const low = Math.min(0, ...known);
  const high = Math.max(...known, low + 1e-12);
  const depths = layers.map((layer, i) => (deep ? layer.conv_depth : i));
  const span = Math.max(...depths) - Math.min(...depths) || 1;
  const x = (i) => PAD + ((depths[i] - Math.min(...depths)) / span) * (WIDTH - 2 * PAD);
  const y = (value) => HEIGHT - PAD - ((value - low) / (high - low)) * (HEIGHT - 2 * PAD);
  const places = values.map((value, i) => (value === null || !Number.isFinite(value) ? null : [x(i), y(value)]));
  const line = places
    .filter(Boolean)
    .map((place, i) => `${i ? "L" : "M"}${place[0].toFixed(1)} ${place[1].toFixed(1)}`)
    .join("");
  const dots = places.map(
    (place, i) =>
      place &&
      svg(
        "circle",
        { cx: place[0], cy: place[1], r: 2.6 },
        svg("title", {}, `${layerTitle(layers[i].layer)}: ${format(values[i])}`),
      ),
  );
  const [, median] = quartiles(Float64Array.from(known).sort());
  const summary = `${title}: median ${format(median)}, from ${format(Math.min(...known))} to ${format(Math.max(...known))}`;
  return h(
    "figure",
    { class: "small-plot" },
    h(
      "figcaption",
      {},
      title,
      " ",
      h("span", { class: "note" }, `${format(Math.min(...known))} to ${format(Math.max(...known))}`),
    ),
    svg(
      "svg",
      { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": summary },
      svg("line", { class: "grid", x1: PAD, x2: WIDTH - PAD, y1: y(low), y2: y(low) }),
      svg("path", { class: "line", d: line }),
      dots,
    ),
  );
}
