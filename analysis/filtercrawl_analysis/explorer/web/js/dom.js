// Elements of the page. Text from the dataset is only ever set as text.

/**
 * Make an HTML element.
 *
 * @param {string} tag
 * @param {Object<string, any>} [attributes] `onEVENT` are listeners; null and false are left out
 * @param {...(Node|string|Array|null|false)} children Arrays of any depth; null and false are left out
 */
export function h(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...present(children));
  return made;
}

/** Make an SVG element; as `h`, but all attributes are set. */
export function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...present(children));
  return made;
}

function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/** A number as people read it: four significant digits, or all of a whole number. */
export function format(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "unknown";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return Math.abs(value) >= 1e-3 ? value.toLocaleString("en", { maximumSignificantDigits: 4 }) : value.toPrecision(3);
}

/** The count of things with their name: "1 layer", "2,000 layers". */
export function plural(count, name) {
  return `${count.toLocaleString("en")} ${name}${count === 1 ? "" : "s"}`;
}

/** The name of a layer from column `layer`, in which converters join the names of what they fused. */
export function layerTitle(layer) {
  const [name, ...more] = new Set(layer.split(";"));
  return more.length ? `${name} and ${format(more.length)} more` : name;
}
