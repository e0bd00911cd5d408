/** Dialog: one kernel, its layer and model, where it lies, how to load it, and its nearest neighbors. */

import { drawKernels } from "../draw.js";
import { copyButton, factList, h, select } from "./elements.js";
import { format } from "../dom.js";
import { bytes, coefficients, layerName, names, parseKernelId, superscript, text } from "./format.js";
import { loadingLines } from "./loading.js";
import { verdictOf } from "./verdict.js";

export const label = "Kernel";

/** Kernels of at most this many numbers are shown as a table of them. */
const TABLE_TAPS = 121;
const SIMILARITIES = [
  { name: "raw", label: "as they are: L2 distance", metric: "l2", invariant: [] },
  { name: "scale", label: "up to scale", metric: "cosine", invariant: [] },
  { name: "sign", label: "up to scale and sign", metric: "cosine", invariant: ["sign"] },
  { name: "rotation", label: "up to scale, rotation and flip", metric: "cosine", invariant: ["rotation", "flip"] },
];

export function mount(root, app) {
  new KernelDialog(root, app);
}

class KernelDialog {
  constructor(root, { store, state }) {
    this.store = store;
    this.state = state;
    this.turn = 0;
    this.similarity = "scale";
    this.title = h("h2", { id: "kernel-title" });
    this.body = h("div", { class: "kernel-body" });
    this.step = (by) => this.goto(by);
    this.dialog = h(
      "dialog",
      { class: "kernel", "aria-labelledby": "kernel-title" },
      h(
        "header",
        {},
        this.title,
        h("button", { type: "button", "aria-keyshortcuts": "ArrowLeft", onclick: () => this.step(-1) }, "Previous"),
        h("button", { type: "button", "aria-keyshortcuts": "ArrowRight", onclick: () => this.step(1) }, "Next"),
        h("button", { type: "button", onclick: () => this.dialog.close() }, "Close"),
      ),
      this.body,
    );
    root.append(this.dialog);
    this.dialog.addEventListener(
      "close",
      () => this.state.get("kernel") && this.state.set({ kernel: null }, { push: true }),
    );
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
    this.dialog.addEventListener("keydown", (event) => this.key(event));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.update());
    state.addEventListener("change", () => this.update());
    this.update();
  }

  key(event) {
    if (event.altKey || event.ctrlKey || event.metaKey || /^(SELECT|INPUT|TEXTAREA)$/.test(event.target.tagName))
      return;
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by || event.target.closest(".scroll")) return;
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
    if (turn !== this.turn) return;
    if (row < 0) {
      this.title.textContent = "No such kernel";
      this.body.replaceChildren(h("p", {}, `The dataset has no layer of a kernel ${id}.`));
    } else {
      const [layer, samples] = await Promise.all([this.store.layer(row), this.store.samples(row)]);
      const [model, verdict] = await Promise.all([this.store.model(layer.model_id), verdictOf(this.store, row)]);
      if (turn !== this.turn) return;
      this.shown = { id, row, samples, parts };
      this.title.textContent = `Kernel ${parts.out}:${parts.in} of ${layerName(layer.layer_id)}`;
      this.show({ id, parts, layer, samples, model, verdict });
    }
    if (!this.dialog.open) this.dialog.showModal();
  }

  show({ id, parts, layer, samples, model, verdict }) {
    const neighbors = h("section", { "aria-labelledby": "kernel-neighbors" });
    this.body.replaceChildren(
      h("div", { class: "kernel-top" }, this.picture(id, samples), h("div", {}, this.facts(layer, model, verdict))),
      this.place(id, parts, layer),
      neighbors,
      this.hashes(layer, model),
    );
    this.showNeighbors(neighbors, id);
  }

  picture(id, samples) {
    const place = samples ? samples.ids.indexOf(id) : -1;
    if (place < 0) {
      return h("p", { class: "note" }, "Not among the kernels that the dataset keeps as samples: load it to see it.");
    }
    const [height, width] = samples.size;
    const values = samples.values.subarray(place * height * width, (place + 1) * height * width);
    const canvas = h("canvas", { class: "kernel-picture", "aria-hidden": "true" });
    const cell = Math.max(1, Math.floor(Math.min(264 / width, 264 / height)));
    drawKernels(canvas, { values, size: [height, width], count: 1, columns: 1, scale: "kernel", cell });
    if (values.length > TABLE_TAPS) {
      return h("div", {}, canvas, h("p", { class: "note" }, `${height} × ${width} numbers`));
    }
    const { power, cells } = coefficients(values);
    const lines = Array.from({ length: height }, (_, y) =>
      h(
        "tr",
        {},
        cells.slice(y * width, (y + 1) * width).map((cell) => h("td", { class: "number" }, cell)),
      ),
    );
    return h(
      "div",
      {},
      canvas,
      h(
        "div",
        { class: "scroll", tabindex: "0", role: "region", "aria-label": "Values" },
        h(
          "table",
          { class: "values" },
          h("caption", {}, power ? `Values, × 10${superscript(power)}` : "Values"),
          h("tbody", {}, lines),
        ),
      ),
    );
  }

  facts(layer, model, verdict) {
    const open = (change) => (event) => {
      event.preventDefault();
      this.state.set({ ...change, kernel: null }, { push: true });
    };
    const link = h(
      "a",
      {
        href: this.state.href({ view: "model", model: layer.model_id, kernel: null }),
        onclick: open({ view: "model", model: layer.model_id }),
      },
      layer.model_id,
    );
    const depth =
      layer.conv_depth === null
        ? null
        : `${layer.conv_depth}${layer.conv_depth_norm === null ? "" : `, ${format(layer.conv_depth_norm)} of the depth`}`;
    return [
      factList([
        ["Model", link],
        ["Layer", layer.layer],
        [
          "Operator",
          `${layer.op}${layer.depthwise ? ", depthwise" : ""}${layer.operator_verified ? "" : " (by its shape)"}`,
        ],
        ["Shape", text(layer.shape)],
        ["Groups", text(layer.groups)],
        ["Stride", text(layer.stride)],
        ["Dilation", text(layer.dilation)],
        ["Depth", depth],
        ["Weights", layer.weight_kind === "learned" ? null : layer.weight_kind],
        ["Task", layer.task],
        ["Training data", names(layer.training_datasets)],
        ["License", layer.license],
        ["Verdict", verdict],
        ["Dead kernels", layer.sparsity === null ? null : `${format(layer.n_dead)} of ${format(layer.n_kernels)}`],
        [
          "Entropy",
          layer.variance_entropy_norm === null ? null : `${format(layer.variance_entropy_norm)} of the largest`,
        ],
        ["Orthogonality", text(layer.orthogonality)],
        ["Largest magnitude", text(layer.norm_linf)],
        ["Revision", model?.revision && model.revision.length < 16 ? model.revision : null],
      ]),
    ];
  }

  place(id, parts, layer) {
    const lines = loadingLines(layer, parts, this.store.location ?? "DIR");
    const offset = (parts.out * Number(layer.shape[1]) + parts.in) * Number(layer.taps);
    const where = layer.file
      ? factList([
          ["Id", h("code", {}, id)],
          ["File", h("code", {}, layer.file)],
          ["Row group", layer.row_group === null ? "that of a layer with the same weight" : text(layer.row_group)],
          ["Row", h("code", {}, layer.row_id)],
          ["Offset", `${format(offset)} numbers into the layer's weight, ${layer.taps} numbers long`],
        ])
      : h("p", { class: "note" }, "The dataset does not store the weight of this layer.");
    const line = (code) =>
      h("div", { class: "code" }, h("pre", { tabindex: "0" }, h("code", {}, code)), copyButton(code));
    return h(
      "section",
      {},
      h("h3", {}, "Where it lies, and how to load it"),
      where,
      layer.file && line(lines.filtercrawl),
      lines.pandas && h("details", {}, h("summary", {}, "With pandas alone"), line(lines.pandas)),
    );
  }

  hashes(layer, model) {
    const facts = [
      ["Layer", layer.layer_sha256 && h("code", {}, layer.layer_sha256)],
      ["Same weight as", layer.duplicate_of],
      ["Checkpoint's file", model?.file_sha256 && h("code", {}, model.file_sha256)],
      ["Its size", model?.file_bytes && bytes(model.file_bytes)],
      ["Tensor", h("code", {}, layer.tensor)],
    ];
    return h("details", {}, h("summary", {}, "Hashes and provenance"), factList(facts));
  }

  async showNeighbors(section, id) {
    const list = h("div", { role: "status" }, h("p", { class: "note" }, "Searching …"));
    const choose = (name) => {
      this.similarity = name;
      this.showNeighbors(section, id);
    };
    section.replaceChildren(
      h(
        "div",
        { class: "section-head" },
        h("h3", { id: "kernel-neighbors" }, "Nearest kernels"),
        select("Similar", SIMILARITIES, this.similarity, choose),
      ),
      list,
    );
    const { metric, invariant } = SIMILARITIES.find((similarity) => similarity.name === this.similarity);
    try {
      const { neighbors, searched } = await this.store.similar(id, { k: 13, metric, invariant });
      const others = neighbors.filter((neighbor) => neighbor.id !== id).slice(0, 12);
      const items = await Promise.all(others.map((neighbor) => this.neighbor(neighbor)));
      list.replaceChildren(h("p", { class: "note" }, searched), h("ol", { class: "neighbors" }, items));
    } catch (error) {
      list.replaceChildren(h("p", { class: "note" }, `The search failed: ${error.message}`));
    }
  }

  async neighbor({ id, similarity, image, values }) {
    const canvas = h("canvas", { "aria-hidden": "true" });
    const found = await this.values(id, values);
    if (found) {
      const cell = Math.max(1, Math.floor(52 / Math.max(...found.size)));
      drawKernels(canvas, { ...found, count: 1, columns: 1, scale: "kernel", cell });
    }
    const open = () => this.state.set({ kernel: id }, { push: true });
    const parts = parseKernelId(id);
    const model = parts ? parts.layerId.split("#")[0] : id;
    return h(
      "li",
      {},
      h(
        "button",
        {
          type: "button",
          class: "strip-picture",
          title: id,
          "aria-label": `${id}, ${format(similarity)}${image && image !== "as it is" ? `, ${image}` : ""}`,
          onclick: open,
        },
        found ? canvas : "no picture",
      ),
      h("span", {}, format(similarity)),
      image && image !== "as it is" && h("span", { class: "note" }, image),
      h("span", { class: "note" }, model.split("/").slice(1).join("/") || model),
    );
  }

  async values(id, values) {
    if (values && this.shown?.samples) return { values: Float32Array.from(values), size: this.shown.samples.size };
    const parts = parseKernelId(id);
    const row = parts ? await this.store.rowOf(parts.layerId) : -1;
    const samples = row < 0 ? null : await this.store.samples(row);
    const place = samples ? samples.ids.indexOf(id) : -1;
    if (place < 0) return null;
    const taps = samples.size[0] * samples.size[1];
    return { values: samples.values.subarray(place * taps, (place + 1) * taps), size: samples.size };
  }

  /** Open the kernel before or after this one; past the ends of its layer, that of the next layer of the selection. */
  async goto(by) {
    if (!this.shown) return;
    const { id, row, samples } = this.shown;
    const place = samples ? samples.ids.indexOf(id) : -1;
    const next = place < 0 ? undefined : samples.ids[place + by];
    if (next) {
      this.state.set({ kernel: next }, { push: false });
      return;
    }
    const rows = this.store.rows;
    for (let at = rows.indexOf(row) + by; at >= 0 && at < rows.length; at += by) {
      const beside = await this.store.samples(rows[at]);
      if (!beside?.ids.length) continue;
      this.state.set({ kernel: beside.ids.at(by > 0 ? 0 : -1) }, { push: false });
      return;
    }
  }
}
