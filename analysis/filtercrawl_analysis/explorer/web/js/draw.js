// Kernels as pictures: a color for each weight, blue below zero and orange above, as in the report.

const STOPS = {
  light: ["#08406f", "#2f7fb8", "#9cc8e6", "#f4f2ee", "#f3bf8a", "#d9730d", "#7f3a02"],
  dark: ["#b9dcf5", "#56a3dc", "#1d5c8e", "#23262b", "#8f4d0e", "#e08a2c", "#ffd9ad"],
};
// A weight that is not finite.
const OTHER = [255, 0, 255];
const tables = new Map();

/** The theme of the page. */
export function theme() {
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

/** Colors of weights from -1 to 1: [256 * 3] of red, green and blue; both ends are far from zero in lightness. */
function kernelColors(name = theme()) {
  if (!tables.has(name)) tables.set(name, colorTable(STOPS[name]));
  return tables.get(name);
}

function colorTable(stops) {
  const colors = stops.map((stop) => [1, 3, 5].map((i) => parseInt(stop.slice(i, i + 2), 16)));
  const table = new Uint8ClampedArray(256 * 3);
  for (let code = 0; code < 256; code++) {
    const place = (code / 255) * (colors.length - 1);
    const low = Math.min(Math.floor(place), colors.length - 2);
    for (let channel = 0; channel < 3; channel++) {
      const [from, to] = [colors[low][channel], colors[low + 1][channel]];
      table[code * 3 + channel] = from + (to - from) * (place - low);
    }
  }
  return table;
}

/**
 * Draw kernels in rows, a pixel of the canvas for each weight times `cell`, and one empty pixel times `cell` between.
 *
 * @param {HTMLCanvasElement} canvas its size is set
 * @param {{values: Float32Array, size: [number, number], count?: number, columns?: number, cell?: number,
 *   scale?: "kernel"|"layer"}} what scale: whether each kernel has its own scale, or all have one
 */
export function drawKernels(canvas, { values, size: [height, width], count, columns, cell = 1, scale = "kernel" }) {
  const taps = height * width;
  const shown = Math.min(count ?? Infinity, Math.floor(values.length / taps));
  const across = Math.max(Math.min(columns ?? Math.ceil(Math.sqrt(shown)), shown), 1);
  const down = Math.max(Math.ceil(shown / across), 1);
  const w = across * (width + 1) - 1;
  const h = down * (height + 1) - 1;
  const image = new ImageData(w, h);
  const colors = kernelColors();
  const all = scale === "layer" ? peak(values.subarray(0, shown * taps)) : 0;
  for (let kernel = 0; kernel < shown; kernel++) {
    const weights = values.subarray(kernel * taps, (kernel + 1) * taps);
    const limit = (scale === "layer" ? all : peak(weights)) || 1;
    const left = (kernel % across) * (width + 1);
    const top = Math.floor(kernel / across) * (height + 1);
    for (let i = 0; i < taps; i++) {
      const at = ((top + Math.floor(i / width)) * w + left + (i % width)) * 4;
      const code = Math.round((weights[i] / limit + 1) * 127.5);
      const color = Number.isFinite(weights[i]) ? colors.subarray(code * 3, code * 3 + 3) : OTHER;
      image.data.set(color, at);
      image.data[at + 3] = 255;
    }
  }
  canvas.width = w * cell;
  canvas.height = h * cell;
  const context = canvas.getContext("2d");
  if (cell === 1) {
    context.putImageData(image, 0, 0);
    return;
  }
  const small = new OffscreenCanvas(w, h);
  small.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, w * cell, h * cell);
}

/**
 * Which of the drawn kernels lies at a point of the box that a picture is shown in.
 *
 * @param {[number, number]} point from the left and the top of the box
 * @param {[number, number]} box its width and height
 * @param {[number, number]|null} picture width and height of a picture that keeps its ratio in the middle of the box;
 *   null for one that is stretched to it
 * @param {number} columns kernels in a row
 * @param {number} count kernels in all
 */
export function kernelAt(point, box, picture, columns, count) {
  const scale = picture ? Math.min(box[0] / picture[0], box[1] / picture[1]) : 1;
  const shown = picture ? picture.map((side) => side * scale) : box;
  const cell = (axis, cells) => {
    const share = (point[axis] - (box[axis] - shown[axis]) / 2) / shown[axis];
    return Math.min(Math.max(Math.floor(share * cells), 0), cells - 1);
  };
  return Math.min(cell(1, Math.ceil(count / columns)) * columns + cell(0, columns), count - 1);
}

/** Which of the kernels drawn on a canvas was clicked; the first one where a key was pressed. */
export function clickedKernel(event, canvas, columns, count) {
  if (event.detail === 0) return 0;
  const { left, top, width, height } = canvas.getBoundingClientRect();
  const picture = getComputedStyle(canvas).objectFit === "contain" ? [canvas.width, canvas.height] : null;
  return kernelAt([event.clientX - left, event.clientY - top], [width, height], picture, columns, count);
}

function peak(values) {
  let largest = 0;
  for (const value of values) {
    const magnitude = Math.abs(value);
    if (magnitude > largest && magnitude < Infinity) largest = magnitude;
  }
  return largest;
}
