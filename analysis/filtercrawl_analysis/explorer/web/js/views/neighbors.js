/** The nearest neighbors of a kernel. */

import { format, h } from "../dom.js";
import { drawKernels } from "../draw.js";
import { select } from "./elements.js";
import { parseKernelId } from "./format.js";

const SHOWN = 12;
const PICTURE = 56;
const SIMILARITIES = [
  { name: "scale", label: "up to scale", metric: "cosine", invariant: [] },
  { name: "sign", label: "up to scale and sign", metric: "cosine", invariant: ["sign"] },
  { name: "rotation", label: "up to scale, rotation and flip", metric: "cosine", invariant: ["rotation", "flip"] },
  { name: "raw", label: "as they are", metric: "l2", invariant: [] },
];

export class Neighbors {
  constructor({ store, state }) {
    this.store = store;
    this.state = state;
    this.similarity = SIMILARITIES[0];
    this.turn = 0;
    this.list = h("div", {});
    this.searched = h("p", { class: "note", role: "status" });
    const choose = (name) => {
      this.similarity = SIMILARITIES.find((similarity) => similarity.name === name);
      this.show(this.id);
    };
    this.section = h(
      "section",
      { "aria-labelledby": "neighbors-title" },
      h(
        "div",
        { class: "section-head" },
        h("h3", { id: "neighbors-title" }, "Nearest kernels"),
        select("Compared", SIMILARITIES, this.similarity.name, choose),
      ),
      this.searched,
      this.list,
    );
  }

  async show(id) {
    const turn = ++this.turn;
    this.id = id;
    const { metric, invariant } = this.similarity;
    this.searched.textContent = "Searching …";
    this.list.replaceChildren();
    try {
      if (metric === "cosine" && (await this.isZero(id))) {
        throw new Error(`A kernel of zeros is similar to none up to scale; choose “${SIMILARITIES.at(-1).label}”.`);
      }
      const { neighbors, searched } = await this.store.similar(id, { k: SHOWN + 1, metric, invariant });
      const size = (await this.store.samples(await this.store.rowOf(parseKernelId(id).layerId))).size;
      if (turn !== this.turn) return;
      const others = neighbors.filter((neighbor) => neighbor.id !== id).slice(0, SHOWN);
      const measure = metric === "l2" ? "distance" : "cosine";
      this.searched.textContent = `${searched}; below each: ${measure}`;
      this.list.replaceChildren(
        h(
          "ol",
          { class: "neighbors" },
          others.map((other) => this.item(other, size, measure)),
        ),
      );
    } catch (error) {
      if (turn === this.turn) this.searched.textContent = error.message;
    }
  }

  /** Whether all numbers of a sampled kernel are 0. */
  async isZero(id) {
    const { ids, size, values } = await this.store.samples(await this.store.rowOf(parseKernelId(id).layerId));
    const at = ids.indexOf(id);
    const taps = size[0] * size[1];
    return at >= 0 && values.subarray(at * taps, (at + 1) * taps).every((value) => value === 0);
  }

  item({ id, similarity, image, values }, size, measure) {
    const canvas = h("canvas", { "aria-hidden": "true" });
    const cell = Math.max(1, Math.floor(PICTURE / Math.max(...size)));
    drawKernels(canvas, { values: Float32Array.from(values), size, count: 1, columns: 1, scale: "kernel", cell });
    const turned = image && image !== "as it is" ? image : null;
    const model = parseKernelId(id)?.layerId.split("#")[0] ?? id;
    const name = `${id}, ${measure} ${format(similarity)}${turned ? `, ${turned}` : ""}`;
    const open = () => this.state.set({ kernel: id }, { push: true });
    return h(
      "li",
      {},
      h("button", { type: "button", class: "strip-picture", title: id, "aria-label": name, onclick: open }, canvas),
      h("span", {}, format(similarity)),
      turned && h("span", { class: "note" }, turned),
      h("span", { class: "note" }, model.slice(model.indexOf("/") + 1)),
    );
  }
}
