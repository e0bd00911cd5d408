/** Scales and axes of plots. */

/**
 * Scale from values to pixels.
 *
 * @param {number} low  The least value.
 * @param {number} high The greatest value.
 * @param {boolean} log Whether the logarithm is drawn; values at or below 0 then have no place.
 */
export class Scale {
  constructor(low, high, from, to, log = false) {
    this.log = log;
    this.place = log ? Math.log10 : (value) => value;
    let start = this.place(low);
    let stop = this.place(high);
    if (!(stop > start)) {
      const margin = log ? 0.5 : Math.abs(start) * 0.5 || 0.5;
      start -= margin;
      stop += margin;
    }
    this.start = start;
    this.from = from;
    this.rate = (to - from) / (stop - start);
    this.stop = stop;
  }

  /** The pixel of a value. */
  pixel(value) {
    return this.from + (this.place(value) - this.start) * this.rate;
  }

  /** The value at a pixel. */
  value(pixel) {
    const place = this.start + (pixel - this.from) / this.rate;
    return this.log ? 10 ** place : place;
  }

  /** Values to label, about `n` of them. */
  ticks(n) {
    if (this.log && this.stop - this.start >= 2) {
      const step = Math.max(1, Math.round((this.stop - this.start) / n));
      return range(Math.ceil(this.start), Math.floor(this.stop), step).map((power) => 10 ** power);
    }
    const [low, high] = this.log ? [10 ** this.start, 10 ** this.stop] : [this.start, this.stop];
    const rough = (high - low) / n;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough) ?? 10);
    const first = Math.ceil(low / step - 1e-9);
    const last = Math.floor(high / step + 1e-9);
    return range(first, last, 1).map((i) => Number((i * step).toPrecision(12)));
  }
}

function range(first, last, step) {
  const found = [];
  for (let i = first; i <= last; i += step) found.push(i);
  return found;
}

/** The least and greatest finite value (above 0 for a logarithm) of some rows; null where there are none. */
export function extent(values, rows, log = false) {
  let low = Infinity;
  let high = -Infinity;
  for (const row of rows) {
    const value = values[row];
    if (!Number.isFinite(value) || (log && value <= 0)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : null;
}

/** Quartiles of an array of numbers without NaN, by linear interpolation; null where it is empty. */
export function quartiles(sorted) {
  if (!sorted.length) return null;
  return [0.25, 0.5, 0.75].map((share) => {
    const place = share * (sorted.length - 1);
    const below = Math.floor(place);
    const above = Math.min(below + 1, sorted.length - 1);
    return sorted[below] + (sorted[above] - sorted[below]) * (place - below);
  });
}

/** A color of the style sheet, for canvases. */
export function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** The colors of groups, in order; the last is that of all others. */
export function groupColors() {
  return [0, 1, 2, 3, 4, 5, 6].map((i) => color(`group-${i}`)).concat(color("group-other"));
}
