/** Points of a scatter plot, drawn into the pixels of a canvas: 100,000 of them in a frame. */

/** Shares of opacity by which points are blended: chosen ones, and the others while some are chosen. */
const FADED = 0.22;

/**
 * Draw points.
 *
 * @param {HTMLCanvasElement} canvas Its size in pixels is that of the drawing.
 * @param {object} points `x` and `y`: Float32Array of pixels; `group`: Uint8Array of places in
 *     `colors`; `chosen`: Uint8Array of 1 where a point is chosen, or null where all are.
 * @param {string[]} colors Colors of the groups, `#rrggbb`.
 * @param {string} paper    The background, `#rrggbb`; `line`: the color of the grid.
 * @param {object} lines    Pixels of the grid: `x` and `y`, and the corners of the plot, `inside`.
 * @param {number} ratio    Pixels of the canvas in a pixel of the page.
 */
export function drawPoints(canvas, points, { colors, paper, line, lines, ratio }) {
  const { width, height } = canvas;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const pixels = image.data;
  new Uint32Array(pixels.buffer).fill(new Uint32Array(Uint8Array.of(...rgb(paper), 255).buffer)[0]);
  drawGrid(pixels, width, lines, rgb(line));
  const n = points.x.length;
  const [radius, opacity] = n < 2000 ? [3.2, 0.8] : n < 20000 ? [2.2, 0.6] : [1.4, 0.4];
  const disc = discOf(radius * ratio, opacity);
  const palette = colors.map(rgb);
  const passes = points.chosen ? [0, 1] : [1]; // chosen points lie on top
  const stride = mixingStride(n);
  for (const pass of passes) {
    const share = pass ? 1 : FADED;
    for (let k = 0, i = 0; k < n; k += 1, i = (i + stride) % n) {
      if (points.chosen && points.chosen[i] !== pass) continue;
      const x = Math.round(points.x[i]);
      const y = Math.round(points.y[i]);
      const [red, green, blue] = palette[points.group[i]];
      for (let d = 0; d < disc.length; d += 3) {
        const px = x + disc[d];
        const py = y + disc[d + 1];
        if (px < 0 || py < 0 || px >= width || py >= height) continue;
        const alpha = disc[d + 2] * share;
        const at = (py * width + px) * 4;
        pixels[at] += (red - pixels[at]) * alpha;
        pixels[at + 1] += (green - pixels[at + 1]) * alpha;
        pixels[at + 2] += (blue - pixels[at + 2]) * alpha;
      }
    }
  }
  context.putImageData(image, 0, 0);
}

function drawGrid(pixels, width, { x, y, inside }, tint) {
  const [left, top, right, bottom] = inside.map(Math.round);
  const set = (px, py) => pixels.set(tint, (py * width + px) * 4);
  for (const px of x) for (let py = top; py < bottom; py += 1) set(Math.round(px), py);
  for (const py of y) for (let px = left; px < right; px += 1) set(px, Math.round(py));
}

/** Offsets and opacities of the pixels of a disc with a smooth edge: [dx, dy, alpha, ...]. */
function discOf(radius, opacity) {
  const reach = Math.ceil(radius);
  const disc = [];
  for (let dy = -reach; dy <= reach; dy += 1) {
    for (let dx = -reach; dx <= reach; dx += 1) {
      const covered = Math.min(1, Math.max(0, radius + 0.5 - Math.hypot(dx, dy)));
      if (covered > 0) disc.push(dx, dy, covered * opacity);
    }
  }
  return Float32Array.from(disc);
}

/** A step that visits n points in a mixed order, each once, so that no group hides the others. */
function mixingStride(n) {
  if (n < 3) return 1;
  let stride = Math.floor(n * 0.618) || 1;
  while (gcd(stride, n) !== 1) stride += 1;
  return stride;
}

function gcd(a, b) {
  return b ? gcd(b, a % b) : a;
}

function rgb(color) {
  const value = Number.parseInt(color.slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}
