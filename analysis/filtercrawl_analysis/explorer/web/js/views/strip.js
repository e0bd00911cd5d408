/** A strip of a layer's kernels with its name. */

import { format, h } from "../dom.js";
import { clickedKernel, drawKernels } from "../draw.js";

/**
 * Draws strips when they come into view, and again when the theme changes.
 *
 * @param {object} app   The page's {store, state}.
 * @param {number} limit Kernels of a layer that are drawn at most.
 */
export class Strips {
  constructor(app, { limit = 16, pixels = 48 } = {}) {
    this.app = app;
    this.limit = limit;
    this.pixels = pixels;
    this.rows = new WeakMap();
    this.seen = new IntersectionObserver(
      (entries) => {
        for (const entry of entries) {
          if (!entry.isIntersecting) continue;
          this.seen.unobserve(entry.target);
          this.draw(entry.target);
        }
      },
      { rootMargin: "200px" },
    );
    this.drawn = new Set();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.forget();
      for (const figure of this.drawn) this.draw(figure);
    });
  }

  /** A figure of the layer in a row of `index`; a click on it opens the kernel that was clicked. */
  figure(row, { name, title = name, notes = [] }) {
    const canvas = h("canvas", { width: 1, height: 1, "aria-hidden": "true" });
    const button = h("button", { type: "button", class: "strip-picture", "aria-label": `Kernels of ${name}` }, canvas);
    button.disabled = true;
    const figure = h(
      "figure",
      { class: "strip" },
      button,
      h(
        "figcaption",
        {},
        h("span", { class: "strip-name" }, title),
        notes.map((note) => h("span", { class: "note" }, note)),
      ),
    );
    this.rows.set(figure, row);
    this.seen.observe(figure);
    return figure;
  }

  async draw(figure) {
    const samples = await this.app.store.samples(this.rows.get(figure));
    const button = figure.querySelector("button");
    const shown = samples ? Math.min(samples.ids.length, this.limit) : 0;
    if (!shown) {
      button.replaceWith(h("p", { class: "note" }, "weights not stored"));
      return;
    }
    const [height, width] = samples.size;
    const long = Math.max(height, width);
    const cell = Math.max(1, Math.floor(this.pixels / long));
    const columns = Math.max(1, Math.min(shown, Math.floor((this.pixels * 8) / (cell * width))));
    const canvas = figure.querySelector("canvas");
    const layout = { values: samples.values, size: samples.size, count: shown, columns, scale: "layer", cell };
    drawKernels(canvas, layout);
    button.disabled = false;
    button.onclick = (event) => {
      const kernel = samples.ids[clickedKernel(event, canvas, columns, shown)];
      this.app.state.set({ kernel }, { push: true });
    };
    this.forget();
    this.drawn.add(figure);
  }

  /** Keep no figures that the page no longer shows. */
  forget() {
    for (const figure of this.drawn) if (!figure.isConnected) this.drawn.delete(figure);
  }
}

/** A list of strips of which the first `step` are shown, and as many more by a button. */
export function stripList(strips, rows, describe, step = 24) {
  const list = h("div", { class: "strips" });
  const more = h("button", { type: "button", onclick: grow }, "Show more");
  let shown = 0;
  function grow() {
    for (const row of rows.slice(shown, shown + step)) list.append(strips.figure(row, describe(row)));
    shown = Math.min(rows.length, shown + step);
    more.textContent = `Show more (${format(rows.length - shown)} left)`;
    more.hidden = shown === rows.length;
  }
  grow();
  return h("div", {}, list, more);
}
