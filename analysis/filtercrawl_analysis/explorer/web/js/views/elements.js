/** Elements that several views have. */

import { h } from "../dom.js";

// Values that a text field offers at once.
const OFFERED = 50;

let labels = 0;

/** A labelled select. `options`: [{name, label}]; `onchange` gets the chosen name. */
export function select(label, options, chosen, onchange) {
  const id = `field-${++labels}`;
  const field = h(
    "select",
    { id, onchange: () => onchange(field.value) },
    options.map((option) => h("option", { value: option.name, selected: option.name === chosen }, option.label)),
  );
  return h("div", { class: "field" }, h("label", { for: id }, label), field);
}

/** A labelled text field that offers the values that contain what was typed. `onchange` gets one of `values`. */
export function combo(label, values, chosen, onchange) {
  const id = `field-${++labels}`;
  const offered = h("datalist", { id: `${id}-values` });
  const offer = () => {
    const typed = field.value.toLowerCase();
    const found = values.filter((value) => value.toLowerCase().includes(typed)).slice(0, OFFERED);
    offered.replaceChildren(...found.map((value) => h("option", { value })));
  };
  const accept = () => {
    if (values.includes(field.value)) onchange(field.value);
    else field.value = chosen;
  };
  const field = h("input", {
    id,
    list: offered.id,
    value: chosen,
    autocomplete: "off",
    oninput: offer,
    onchange: accept,
  });
  field.addEventListener("focus", () => field.select());
  offer();
  return h("div", { class: "field" }, h("label", { for: id }, label), field, offered);
}

/** A labelled check box. `onchange` gets whether it is checked. */
export function checkbox(label, checked, onchange) {
  const box = h("input", { type: "checkbox", checked, onchange: () => onchange(box.checked) });
  return h("label", { class: "check" }, box, label);
}

/**
 * A list of facts; those whose value is null are left out.
 *
 * @param {[string, string|Node|null][]} facts Labels and values.
 * @param {"short"|"long"} kind `long`: one a line.
 */
export function factList(facts, kind = "short") {
  const known = facts.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return h(
    "dl",
    { class: `facts-list ${kind}` },
    known.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );
}

/** A button that copies text and says that it did; null where the browser lets no page copy, as without encryption. */
export function copyButton(text) {
  if (!navigator.clipboard) return null;
  const button = h("button", { type: "button", class: "small", onclick: copy }, "Copy");
  async function copy() {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  }
  return button;
}

/** A table. `columns`: [{label, numeric}]; `rows`: arrays of text or nodes, the first cell of which names the row. */
export function dataTable(caption, columns, rows) {
  const kind = (place) => (columns[place].numeric ? "number" : null);
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    h(
      "table",
      {},
      h("caption", {}, caption),
      h(
        "thead",
        {},
        h(
          "tr",
          {},
          columns.map((column, i) => h("th", { scope: "col", class: kind(i) }, column.label)),
        ),
      ),
      h(
        "tbody",
        {},
        rows.map((row) =>
          h(
            "tr",
            {},
            row.map((cell, i) => (i === 0 ? h("th", { scope: "row" }, cell) : h("td", { class: kind(i) }, cell))),
          ),
        ),
      ),
    ),
  );
}

/** A link to another view, followed without a load of the page. */
export function viewLink(state, changes, text) {
  const follow = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    state.set(changes, { push: true });
  };
  return h("a", { href: state.href(changes), onclick: follow }, text);
}

/** What to run where an analysis was not made. */
export function notMade(analysis, options = "") {
  const command = `filtercrawl analyze --only ${analysis} ${options}`.trim();
  return h("p", { class: "note" }, "Not analyzed yet; run ", h("code", {}, command), ".");
}
