/** What is known of a kernel's layer and model, where its numbers lie, and lines that load them. */

import { format, h, layerTitle } from "../dom.js";
import { copyButton, factList, viewLink } from "./elements.js";
import { bytes, names, text } from "./format.js";
import { loadingLines } from "./loading.js";

/** Facts about the layer, for people. */
export function layerFacts({ layer, model, verdict }, state) {
  const operator = [layer.op, layer.depthwise && "depthwise", !layer.operator_verified && "by its shape"];
  const depth = [
    format(layer.conv_depth),
    layer.conv_depth_norm !== null && `${format(layer.conv_depth_norm)} of the deepest`,
  ];
  return factList([
    ["Model", viewLink(state, { view: "model", model: layer.model_id, kernel: null }, layer.model_id)],
    ["Layer", layerTitle(layer.layer)],
    ["Tensor", layer.tensor],
    ["Operator", operator.filter(Boolean).join(", ")],
    ["Shape", text(layer.shape)],
    ["Groups", text(layer.groups)],
    ["Stride", text(layer.stride)],
    ["Dilation", text(layer.dilation)],
    ["Depth", layer.conv_depth === null ? null : depth.filter(Boolean).join(", ")],
    ["Weights", layer.weight_kind === "learned" ? null : layer.weight_kind],
    ["Family", layer.family],
    ["Task", layer.task],
    ["Training data", names(layer.training_datasets)],
    ["License", layer.license ?? model?.license],
    ["Verdict of quality", verdict],
    ["Dead kernels", layer.n_dead === null ? null : `${format(layer.n_dead)} of ${format(layer.n_kernels)}`],
    ["Entropy", layer.variance_entropy_norm === null ? null : `${format(layer.variance_entropy_norm)} of the largest`],
    ["Orthogonality", text(layer.orthogonality)],
    ["Largest magnitude", text(layer.norm_linf)],
  ]);
}

/** Where the kernel lies in the dataset, and lines that load it. */
export function place(id, kernel, layer, location) {
  const title = h("h3", {}, "Where it lies, and how to load it");
  const code = (value) => h("code", {}, value);
  const ids = [["Id", code(id)]];
  if (!layer.file) {
    return h(
      "section",
      {},
      title,
      factList(ids, "long"),
      h("p", { class: "note" }, "No file of the dataset has its weight."),
    );
  }
  const lines = loadingLines(layer, kernel, location);
  const start = (kernel.out * layer.shape[1] + kernel.in) * layer.taps;
  const where = factList(
    [
      ...ids,
      ["File", code(layer.file)],
      ["Row", layer.row_group === null ? "of another checkpoint with the same weight" : code(layer.row_id)],
      ["Row group", text(layer.row_group)],
      ["Offset", `numbers ${format(start)} to ${format(start + layer.taps - 1)} of the layer's weight`],
    ],
    "long",
  );
  const line = (source) => h("div", { class: "code" }, h("pre", { tabindex: "0" }, code(source)), copyButton(source));
  const pandas = h("details", {}, h("summary", {}, "With pandas alone"), line(lines.pandas));
  return h("section", {}, title, where, line(lines.filtercrawl), pandas);
}

/** What is needed to prove where a weight comes from, folded away. */
export function hashes(layer, model) {
  const code = (value) => value && h("code", {}, value);
  const facts = [
    ["Names of the layer", layer.layer.includes(";") ? layer.layer : null],
    ["SHA-256 of the layer", code(layer.layer_sha256)],
    ["Same weight as", layer.duplicate_of],
    ["File of the checkpoint", model?.file],
    ["Its size", model?.file_bytes && bytes(model.file_bytes)],
    ["Its SHA-256", code(model?.file_sha256)],
    ["Revision", code(model?.revision)],
  ];
  return h("details", {}, h("summary", {}, "Hashes and provenance"), factList(facts, "long"));
}
