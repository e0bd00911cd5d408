/** View: one model, its layers by depth with their quality, its relatives and the drift of its family. */

import { factList, viewLink } from "./elements.js";
import { format, h, layerTitle, plural } from "../dom.js";
import { bytes, names, text } from "./format.js";
import { compareWith } from "./groups.js";
import { depthLines } from "./depth_lines.js";
import { familyDistance } from "./family.js";
import { familyDrift, relatedModels } from "./relatives.js";
import { stripList, Strips } from "./strip.js";
import { verdictOf } from "./verdict.js";

export const label = "Model";

export function mount(root, app) {
  new ModelView(root, app);
}

class ModelView {
  constructor(root, { store, state }) {
    this.root = root;
    this.store = store;
    this.state = state;
    this.strips = new Strips({ store, state });
    this.turn = 0;
    state.addEventListener("change", () => this.update());
    store.addEventListener("rows", () => !this.state.get("model") && this.update());
    this.update();
  }

  async update() {
    if (this.state.get("view") !== "model") return;
    const turn = ++this.turn;
    await this.store.ready;
    const id = this.state.get("model");
    const key = id ?? this.store.rows;
    if (this.key === key) return;
    const content = id ? await this.page(id) : await this.list();
    if (turn !== this.turn) return;
    this.key = key;
    this.root.replaceChildren(...content.filter(Boolean));
  }

  link(id, name = id) {
    return viewLink(this.state, { view: "model", model: id }, name);
  }

  /** The models of the layers that pass the filters, each with a picture of one of them. */
  async list() {
    const [models, kernels] = await Promise.all([this.store.column("model_id"), this.store.column("n_kernels")]);
    const found = new Map();
    for (const row of this.store.rows) {
      const code = models.values[row];
      const entry = found.get(code) ?? found.set(code, { row, layers: 0, kernels: 0 }).get(code);
      entry.layers += 1;
      entry.kernels += kernels.values[row];
    }
    const rows = Array.from(found.values(), ({ row }) => row);
    const describe = (row) => {
      const { layers, kernels: total } = found.get(models.values[row]);
      const id = models.categories[models.values[row]];
      return { name: id, title: this.link(id), notes: [plural(layers, "layer"), plural(total, "kernel")] };
    };
    return [
      h("p", { class: "count", role: "status" }, `${plural(rows.length, "model")} with layers that pass the filters`),
      stripList(this.strips, rows, describe),
    ];
  }

  async page(id) {
    const [model, rows] = await Promise.all([this.store.model(id), this.store.modelRows(id)]);
    const back = h("p", {}, this.link(null, "All models"));
    if (!model && !rows.length) return [back, h("p", { class: "count" }, `The dataset has no model ${id}.`)];
    const compare = { view: "compare", a: new URLSearchParams({ model_id: id }).toString() };
    const open = () => this.state.set(compare, { push: true });
    const layers = await this.store.layers(rows);
    const verdicts = await Promise.all(Array.from(rows, (row) => verdictOf(this.store, row)));
    const stored = layers
      .map((layer, i) => ({ layer, row: rows[i], verdict: verdicts[i] }))
      .filter(({ layer }) => layer.file);
    const describe = ({ layer, verdict }) => ({
      name: layerTitle(layer.layer),
      notes: [
        `${layer.kernel}${layer.depthwise ? " depthwise" : ""}, ${plural(layer.n_kernels, "kernel")}`,
        layer.conv_depth === null ? null : `depth ${layer.conv_depth}`,
        verdict && verdict !== "ok" ? `verdict: ${verdict}` : null,
      ].filter(Boolean),
    });
    const described = new Map(stored.map((entry) => [entry.row, entry]));
    const family = layers[0]?.family ?? model?.family ?? null;
    return [
      back,
      h(
        "div",
        { class: "section-head" },
        h("h2", {}, model?.name ?? id),
        h("button", { type: "button", onclick: open }, "Compare with another"),
        this.groupLink(id, family ? ["family", family] : ["architecture", layers[0]?.architecture ?? null]),
      ),
      this.summary(layers, stored),
      this.facts(model, id),
      h("section", {}, h("h3", {}, "Quality by depth"), depthLines(layers.filter((layer) => layer.file))),
      h(
        "section",
        {},
        h("h3", {}, "Layers"),
        stored.length
          ? stripList(
              this.strips,
              stored.map((entry) => entry.row),
              (row) => describe(described.get(row)),
            )
          : h("p", { class: "note" }, "None of its layers has kernels that are stored."),
      ),
      await relatedModels(this, id),
      await familyDistance(this, id, family),
      await familyDrift(this.store, family),
    ];
  }

  /** A link to the comparison of a model with all layers of its family or architecture; null where that is unknown. */
  groupLink(id, [column, value]) {
    if (value === null) return null;
    return viewLink(this.state, compareWith(id, column, value), `Compare with the others of ${value}`);
  }

  summary(layers, stored) {
    const kernels = stored.reduce((sum, { layer }) => sum + layer.n_kernels, 0);
    const rest = layers.length - stored.length;
    const other = rest ? `; ${plural(rest, "other layer")} without stored kernels, such as those of 1x1` : "";
    return h("p", { class: "count" }, `${plural(stored.length, "layer")} with ${plural(kernels, "kernel")}${other}`);
  }

  facts(model, id) {
    if (!model) return null;
    const address =
      model.url && /^https?:/.test(model.url) ? h("a", { href: model.url, rel: "noreferrer" }, model.url) : model.url;
    const known = factList([
      ["Id", id],
      ["Source", model.source],
      ["Architecture", model.architecture],
      ["Family", model.family],
      ["Task", model.task],
      ["Images", model.visual_category],
      ["Training data", names(model.training_datasets)],
      ["License", model.license],
      ["License by", model.license_evidence],
      ["Library", model.library],
      ["Paper", model.paper],
      ["Released", model.released],
      ["Stated results", statedResults(model.metrics)],
      ["Parameters", text(model.num_params)],
      ["Duplicate of", model.duplicate_of && this.link(model.duplicate_of)],
    ]);
    const file = factList([
      ["Address", address],
      ["File", model.file],
      ["Format", model.format],
      ["Size", model.file_bytes && bytes(model.file_bytes)],
      ["Revision", model.revision],
      ["SHA-256", model.file_sha256 && h("code", {}, model.file_sha256)],
      ["Crawled", text(model.crawled_at)],
      ["First release", model.first_release],
    ]);
    return [known, h("details", {}, h("summary", {}, "Where it comes from"), file)].reduce(
      (section, node) => (section.append(node), section),
      h("section", { "aria-label": "Facts" }),
    );
  }
}

function statedResults(metrics) {
  if (!metrics) return null;
  try {
    const stated = JSON.parse(metrics);
    const entries = Array.isArray(stated) ? stated.map((entry) => Object.values(entry)) : Object.entries(stated);
    return (
      entries
        .map((entry) =>
          entry
            .flat()
            .map((part) => (typeof part === "number" ? format(part) : String(part)))
            .join(" "),
        )
        .join("; ") || null
    );
  } catch {
    return metrics;
  }
}
