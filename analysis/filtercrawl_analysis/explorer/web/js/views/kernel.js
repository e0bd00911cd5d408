/** Dialog: one kernel, or a layer without stored weights; its layer and model, where it lies, how to load it, and its nearest neighbors. */

import { h, layerTitle } from "../dom.js";
import { drawKernels } from "../draw.js";
import { coefficients, parseKernelId, superscript } from "./format.js";
import { hashes, layerFacts, place } from "./kernel_facts.js";
import { Neighbors } from "./neighbors.js";
import { verdictOf } from "./verdict.js";

export const label = "Kernel";

/** Kernels of at most this many numbers are shown as a table of them, too. */
const TABLE_TAPS = 1024;
const PICTURE = 264;

export function mount(root, app) {
  new KernelDialog(root, app);
}

class KernelDialog {
  constructor(root, { store, state }) {
    this.store = store;
    this.state = state;
    this.turn = 0;
    this.neighbors = new Neighbors({ store, state });
    this.title = h("h2", { id: "kernel-title" });
    this.body = h("div", { class: "kernel-body" });
    this.announced = h("p", { class: "hidden", role: "status" });
    const button = (text, key, onclick) => h("button", { type: "button", "aria-keyshortcuts": key, onclick }, text);
    this.dialog = h(
      "dialog",
      { class: "kernel", "aria-labelledby": "kernel-title" },
      h(
        "header",
        {},
        this.title,
        button("Previous", "ArrowLeft", () => this.step(-1)),
        button("Next", "ArrowRight", () => this.step(1)),
        button("Close", "Escape", () => this.dialog.close()),
      ),
      this.body,
      this.announced,
    );
    root.append(this.dialog);
    this.dialog.addEventListener("close", () => state.get("kernel") && state.set({ kernel: null }, { push: true }));
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
    this.dialog.addEventListener("keydown", (event) => this.key(event));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.update());
    state.addEventListener("change", ({ detail }) => detail.includes("kernel") && this.update());
    this.update();
  }

  key(event) {
    const { target } = event;
    if (event.altKey || event.ctrlKey || event.metaKey || target.closest("select, input, .scroll, pre")) return;
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    this.step(by);
  }

  async update() {
    const id = this.state.get("kernel");
    const turn = ++this.turn;
    if (!id) {
      this.shown = null;
      if (this.dialog.open) this.dialog.close();
      return;
    }
    await this.store.ready;
    const parts = parseKernelId(id);
    const row = parts ? await this.store.rowOf(parts.layerId) : -1;
    let found;
    try {
      found = row < 0 ? await this.layer(id) : await this.content(id, parts, row);
    } catch (error) {
      if (turn === this.turn) this.fail(error);
      throw error; // the page tells of it, too, but not to who is in the dialog
    }
    if (turn !== this.turn) return;
    if (found) {
      this.title.textContent = found.title;
      this.body.replaceChildren(...found.content);
      if (row >= 0) this.neighbors.show(id);
    } else {
      this.title.textContent = "No such kernel";
      this.body.replaceChildren(h("p", {}, `No layer of the dataset has a kernel ${id}.`));
    }
    if (this.dialog.open) this.announced.textContent = this.title.textContent;
    else this.dialog.showModal();
    this.dialog.scrollTop = 0;
  }

  fail(error) {
    this.title.textContent = "This kernel cannot be shown";
    this.body.replaceChildren(h("p", {}, error.message));
    this.announced.textContent = error.message;
  }

  async content(id, parts, row) {
    const [layer, samples] = await Promise.all([this.store.layer(row), this.store.samples(row)]);
    if (parts.out >= layer.shape[0] || parts.in >= layer.shape[1]) return null;
    const [model, verdict] = await Promise.all([this.store.model(layer.model_id), verdictOf(this.store, row)]);
    this.shown = { id, row, samples };
    const content = [
      h("div", { class: "kernel-top" }, picture(id, samples), layerFacts({ layer, model, verdict }, this.state)),
      place(id, parts, layer, this.store.config.location),
      this.neighbors.section,
      hashes(layer, model),
    ];
    return { title: `Kernel ${parts.out}:${parts.in} of ${layerTitle(layer.layer)}`, content };
  }

  /** A layer of which no kernel can be shown; null where the dataset has none of this id. */
  async layer(id) {
    const row = await this.store.rowOf(id);
    if (row < 0) return null;
    const layer = await this.store.layer(row);
    const [model, verdict] = await Promise.all([this.store.model(layer.model_id), verdictOf(this.store, row)]);
    this.shown = { id, row, samples: { ids: [] } };
    const why = whyNoPicture(layer);
    const facts = layerFacts({ layer, model, verdict }, this.state);
    const content = [h("div", { class: "kernel-top" }, h("p", { class: "note" }, why), facts), hashes(layer, model)];
    return { title: `Layer ${layerTitle(layer.layer)}`, content };
  }

  /** Open the kernel before or after this one; past the ends of its layer, that of the next selected layer. */
  async step(by) {
    if (!this.shown) return;
    const { id, row, samples } = this.shown;
    const at = samples.ids.indexOf(id);
    const next = at < 0 ? undefined : samples.ids[at + by];
    if (next) {
      this.state.set({ kernel: next });
      return;
    }
    const { rows } = this.store;
    for (let i = rows.indexOf(row) + by; i >= 0 && i < rows.length; i += by) {
      const { ids } = await this.store.samples(rows[i]);
      if (!ids.length) continue;
      this.state.set({ kernel: ids.at(by > 0 ? 0 : -1) });
      return;
    }
  }
}

function whyNoPicture(layer) {
  if (!layer.file) return "The dataset does not store its weights.";
  if (layer.row_group === null) return "No kernels of this layer are kept for pictures, as another has the same weights.";
  return "The dataset has no kernels for pictures.";
}

/** A large picture of a sampled kernel, and its numbers. */
function picture(id, samples) {
  const at = samples.ids.indexOf(id);
  if (at < 0) {
    const why = "Not among the at most 64 kernels of a layer that the dataset keeps for pictures: load it to see it.";
    return h("p", { class: "note" }, why);
  }
  const [height, width] = samples.size;
  const values = samples.values.subarray(at * height * width, (at + 1) * height * width);
  const canvas = h("canvas", { class: "kernel-picture", "aria-hidden": "true" });
  const cell = Math.max(1, Math.floor(Math.min(PICTURE / width, PICTURE / height)));
  // One long row would be a line.
  canvas.classList.toggle("stretched", width > 6 * height || height > 6 * width);
  canvas.classList.toggle("upright", height > width);
  drawKernels(canvas, { values, size: samples.size, count: 1, columns: 1, scale: "kernel", cell });
  if (values.length > TABLE_TAPS) return h("div", {}, canvas, h("p", { class: "note" }, `${values.length} numbers`));
  const { power, cells } = coefficients(values);
  const lines = Array.from({ length: height }, (_, y) => cells.slice(y * width, (y + 1) * width));
  const caption = power ? `Values, × 10${superscript(power)}` : "Values";
  const table = h(
    "table",
    { class: "values" },
    h("caption", {}, caption),
    h(
      "tbody",
      {},
      lines.map((line) =>
        h(
          "tr",
          {},
          line.map((value) => h("td", { class: "number" }, value)),
        ),
      ),
    ),
  );
  return h(
    "div",
    {},
    canvas,
    h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, table),
  );
}
