// The grid of kernels: a card a layer, only those on the screen are there.

import { isPlain, selectionOf } from "./data/selection.js";
import { clickedKernel, drawKernels } from "./draw.js";
import { format, h, layerTitle } from "./dom.js";

export const label = "Kernels";

const KERNELS = 16;
const GAP = 12;
const CARD = 164;
// Lines of text below a picture, with a measure where the layers are sorted by one.
const TEXT = { plain: 64, measure: 84 };
// Rows of cards above and below the screen.
const MARGIN = 1;
const CACHED = 3000;
const FACTS = ["layer", "model_id", "kernel", "op", "out_channels", "in_channels", "n_kernels"];

/** Mount the grid of the selected layers. */
export function mount(root, { store, state }) {
  const grid = new Grid(root, store, state);
  store.addEventListener("rows", () => grid.restart());
  state.addEventListener("change", ({ detail }) => detail.includes("view") && grid.schedule());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => grid.redraw());
  addEventListener("scroll", () => grid.schedule(), { passive: true });
  new ResizeObserver(() => grid.schedule()).observe(root);
  if (store.rows.length) grid.restart();
  else if (isPlain(selectionOf(state))) grid.preview().catch(() => {}); // the store tells of what went wrong
}

/** Pictures of kernels about as wide as high. */
export function columnsFor(count, [height, width]) {
  return Math.min(Math.max(Math.round(Math.sqrt((count * (height + 1)) / (width + 1))), 1), Math.max(count, 1));
}

/** The channels of a layer; input channels are unknown where the file does not tell the groups. */
function channels(inputs, outputs) {
  return Number.isNaN(inputs) ? `${format(outputs)} filters` : `${format(inputs)} → ${format(outputs)}`;
}

class Grid {
  #store;
  #state;
  #list;
  #empty;
  #cards = new Map();
  #samples = new Map();
  #rows = new Uint32Array(0);
  #facts = null;
  #sort = null;
  #pending = 0;
  #focused = 0;

  constructor(root, store, state) {
    this.#store = store;
    this.#state = state;
    this.#list = h("ul", { class: "grid", "aria-label": "Layers", onkeydown: (event) => this.#move(event) });
    this.#empty = h("p", { class: "empty", hidden: true }, "No layer passes all filters.");
    root.append(this.#list, this.#empty);
  }

  /** Show the first layers while the columns of all are read. */
  async preview() {
    const { rows, columns } = await this.#store.head(FACTS);
    if (!this.#facts && rows.length) this.#show(rows, FACTS, columns);
  }

  /** Show other rows, from the first one on. */
  async restart() {
    const { rows } = this.#store;
    const sort = this.#store.selection?.sort?.replace(/^-/, "");
    const names = sort && !FACTS.includes(sort) ? [...FACTS, sort] : FACTS;
    const columns = await Promise.all(names.map((name) => this.#store.column(name)));
    if (rows !== this.#store.rows) return;
    if (this.#list.getBoundingClientRect().top < 0) this.#list.scrollIntoView();
    this.#show(rows, names, columns, sort);
  }

  #show(rows, names, columns, sort = null) {
    for (const [position, card] of this.#cards) {
      if (card.row === rows[position] && sort === this.#sort) {
        card.node.setAttribute("aria-setsize", rows.length);
        continue;
      }
      card.node.remove();
      this.#cards.delete(position);
    }
    this.#rows = rows;
    this.#sort = sort;
    this.#facts = new Map(names.map((name, i) => [name, columns[i]]));
    this.#focused = 0;
    this.#empty.hidden = rows.length > 0;
    this.#render();
  }

  /** Draw the pictures again, in the colors of another theme. */
  redraw() {
    for (const { row, canvas, node } of this.#cards.values()) if (canvas.isConnected) this.#draw(row, canvas, node);
  }

  schedule() {
    this.#pending ||= requestAnimationFrame(() => this.#render());
  }

  #render() {
    this.#pending = 0;
    const rows = this.#rows;
    const width = this.#list.clientWidth;
    if (!this.#facts || !width) return;
    const across = Math.max(Math.floor((width + GAP) / (CARD + GAP)), 2);
    const size = (width - GAP * (across - 1)) / across;
    const step = size + (this.#sort ? TEXT.measure : TEXT.plain) + GAP;
    const lines = Math.ceil(rows.length / across);
    this.#list.style.height = `${Math.max(lines * step - GAP, 0)}px`;
    const { top } = this.#list.getBoundingClientRect();
    const first = Math.max(Math.floor(-top / step) - MARGIN, 0) * across;
    const end = Math.min((Math.ceil((innerHeight - top) / step) + MARGIN) * across, rows.length);
    for (const [position, { node }] of this.#cards) {
      if ((position < first || position >= end) && !node.contains(document.activeElement)) {
        node.remove();
        this.#cards.delete(position);
      }
    }
    for (let position = first; position < end; position++) {
      const card = this.#cards.get(position) ?? this.#card(position, rows[position]);
      const { style } = card.node;
      style.width = `${size}px`;
      style.height = `${step - GAP}px`;
      style.transform = `translate(${(position % across) * (size + GAP)}px, ${Math.floor(position / across) * step}px)`;
    }
    this.#across = across;
    this.#step = step;
  }

  #across = 1;
  #step = 1;

  #card(position, row) {
    const fact = (name) => {
      const { kind, values, categories } = this.#facts.get(name);
      return kind === "category" ? categories[values[row]] : values[row];
    };
    const canvas = h("canvas", { "aria-hidden": "true" });
    const sort = this.#sort;
    const measure = sort ? [h("span", { class: "measure" }, `${this.#store.label(sort)}: ${format(fact(sort))}`)] : [];
    const model = fact("model_id");
    const name = layerTitle(fact("layer"));
    const open = h("button", {
      type: "button", class: "picture", tabindex: position === this.#focused ? "0" : "-1",
      "aria-label": `Kernels of ${name} of ${model}`,
      onclick: (event) => this.#open(row, canvas, event),
      onfocus: () => this.#focus(position),
    }, canvas);
    const node = h("li", {
      class: "card", "aria-setsize": this.#rows.length, "aria-posinset": position + 1,
    }, open,
      h("span", { class: "layer", title: fact("layer") }, name),
      h("a", {
        class: "model", title: model, href: this.#state.href({ view: "model", model }), tabindex: "-1",
        onclick: (event) => {
          if (event.ctrlKey || event.metaKey || event.shiftKey) return;
          event.preventDefault();
          this.#state.set({ view: "model", model }, { push: true });
        },
      }, model),
      h("span", { class: "facts" }, `${fact("kernel")} · ${channels(fact("in_channels"), fact("out_channels"))}`),
      ...measure);
    node.style.position = "absolute";
    this.#list.append(node);
    const card = { node, open, row, canvas };
    this.#cards.set(position, card);
    this.#draw(row, canvas, node);
    return card;
  }

  async #draw(row, canvas, node) {
    let samples;
    try {
      samples = await this.#read(row);
    } catch (error) {
      node.classList.add("failed");
      canvas.replaceWith(h("span", {}, "no picture"));
      this.#store.dispatchEvent(new CustomEvent("error", { detail: error }));
      return;
    }
    if (!node.isConnected) return;
    const count = Math.min(samples.ids.length, KERNELS);
    if (!count) {
      const { file } = await this.#store.layer(row, ["file"]);
      canvas.replaceWith(h("span", {}, file ? "weights of another layer" : "weights not stored"));
      return;
    }
    drawKernels(canvas, { ...samples, count, columns: columnsFor(count, samples.size) });
    // Kernels of one long row would be a line: their pixels are higher than wide.
    if (canvas.width > 4 * canvas.height || canvas.height > 4 * canvas.width) canvas.style.objectFit = "fill";
    node.classList.add("drawn");
    if (!this.#first) {
      this.#first = true;
      performance.mark("first-picture");
      this.#store.dispatchEvent(new Event("first-picture"));
    }
  }

  #first = false;

  #read(row) {
    const samples = this.#samples.get(row) ?? this.#store.samples(row);
    this.#samples.delete(row);
    this.#samples.set(row, samples);
    samples.catch(() => this.#samples.delete(row));
    if (this.#samples.size > CACHED) this.#samples.delete(this.#samples.keys().next().value);
    return samples;
  }

  /** Open the kernel that was clicked, the first one by key; the layer where no kernel of it can be shown. */
  async #open(row, canvas, event) {
    const { ids, size } = await this.#read(row).catch(() => ({ ids: [] }));
    if (!ids.length) {
      this.#state.set({ kernel: (await this.#store.layer(row, ["layer_id"])).layer_id }, { push: true });
      return;
    }
    const count = Math.min(ids.length, KERNELS);
    const clicked = clickedKernel(event, canvas, columnsFor(count, size), count);
    this.#state.set({ kernel: ids[clicked] }, { push: true });
  }

  #focus(position) {
    for (const [other, { open }] of this.#cards) open.tabIndex = other === position ? 0 : -1;
    this.#focused = position;
  }

  /** Arrow keys, Page Up and Down, Home and End move from card to card. */
  #move(event) {
    const page = Math.max(Math.floor(innerHeight / this.#step), 1) * this.#across;
    const last = this.#rows.length - 1;
    const by = {
      ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.#across, ArrowUp: -this.#across, PageDown: page, PageUp: -page,
      Home: -last, End: last,
    }[event.key];
    if (by === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const position = Math.min(Math.max(this.#focused + by, 0), last);
    const top = this.#list.getBoundingClientRect().top + Math.floor(position / this.#across) * this.#step;
    if (top < 0 || top + this.#step > innerHeight) scrollBy(0, top - (innerHeight - this.#step) / 2);
    this.#focus(position);
    this.#render();
    this.#cards.get(position)?.open.focus({ preventScroll: true });
  }
}
