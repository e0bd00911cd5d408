// Nearest kernels without a server: among samples of the selected layers.

import { plural } from "../dom.js";

const MAX_LAYERS = 1000;

/**
 * @param {import("./store.js").Store} store
 * @param {string} id `layer_id:out:in` of a sampled kernel
 * @param {{k?: number, metric?: string, invariant?: string[]}} options
 */
export async function similarSamples(store, id, { k = 12, metric = "cosine", invariant = [] }) {
  const [, layerId] = /^(.+):\d+:\d+$/s.exec(id);
  const row = await store.rowOf(layerId);
  const own = await store.samples(row);
  const position = own.ids.indexOf(id);
  if (position < 0) throw new Error("Only sampled kernels can be compared on this page; `filtercrawl explore` compares all.");
  const sizes = await store.column("kernel");
  const rows = [row, ...store.rows.filter((other) => other !== row && sizes.values[other] === sizes.values[row])];
  const compared = rows.slice(0, MAX_LAYERS);
  const taps = own.size[0] * own.size[1];
  const query = own.values.subarray(position * taps, (position + 1) * taps);
  if (!query.every(Number.isFinite)) throw new Error("A kernel with numbers that are not finite is similar to none.");
  const images = imagesOf(query, own.size, invariant);
  const measure = measureOf(metric, invariant);
  const found = [];
  let searched = 0;
  for (const { ids, values } of await Promise.all(compared.map((other) => store.samples(other)))) {
    searched += ids.length;
    ids.forEach((other, i) => {
      const kernel = values.subarray(i * taps, (i + 1) * taps);
      let best = { score: -Infinity };
      for (const { name, values: image } of images) {
        const score = measure(image, kernel);
        if (score > best.score) best = { score, name };
      }
      if (best.score > -Infinity) found.push({ id: other, score: best.score, image: best.name, values: Array.from(kernel) });
    });
  }
  found.sort((a, b) => b.score - a.score);
  const neighbors = found.slice(0, k).map(({ score, ...rest }) => ({ ...rest, similarity: metric === "l2" ? -score : score }));
  const more = rows.length > compared.length ? ` of ${rows.length.toLocaleString("en")} selected` : "";
  return { neighbors, searched: `${plural(searched, "sampled kernel")} of ${plural(compared.length, "layer")}${more}` };
}

function measureOf(metric, invariant) {
  const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
  if (metric === "l2" && !invariant.includes("scale")) {
    return (a, b) => -Math.sqrt(a.reduce((sum, value, i) => sum + (value - b[i]) ** 2, 0));
  }
  const cosine = (a, b) => dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
  // Kernels of norm one: their distance follows from the cosine.
  const score = metric === "l2" ? (a, b) => -Math.sqrt(Math.max(2 - 2 * cosine(a, b), 0)) : cosine;
  return (a, b) => {
    const value = score(a, b);
    return Number.isNaN(value) ? -Infinity : value;
  };
}

/** What a kernel becomes by the changes that do not count, with names. */
function imagesOf(values, [height, width], invariant) {
  const kernel = Float64Array.from(values);
  let images = [{ name: "as it is", values: kernel }];
  const at = (place) =>
    Float64Array.from(kernel, (_, i) => kernel[place(Math.floor(i / width), i % width)]);
  if (invariant.includes("rotation")) {
    images.push({ name: "rotated by 180", values: at((y, x) => (height - 1 - y) * width + width - 1 - x) });
    if (height === width) {
      images.push({ name: "rotated by 90", values: at((y, x) => x * width + width - 1 - y) });
      images.push({ name: "rotated by 270", values: at((y, x) => (height - 1 - x) * width + y) });
    }
  }
  if (invariant.includes("flip")) {
    images = images.concat(
      images.map((image) => ({
        name: image.name === "as it is" ? "flipped" : `${image.name}, flipped`,
        values: image.values.map((_, i) => image.values[Math.floor(i / width) * width + width - 1 - (i % width)]),
      })),
    );
  }
  if (invariant.includes("sign")) {
    images = images.concat(
      images.map((image) => ({
        name: image.name === "as it is" ? "negated" : `${image.name}, negated`,
        values: image.values.map((value) => -value),
      })),
    );
  }
  return images;
}
