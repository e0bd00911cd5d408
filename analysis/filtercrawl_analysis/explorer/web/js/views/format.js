/** Values and ids as text. */

import { format } from "../dom.js";

/** Numbers as text with one power of ten for all, and as many decimals each. */
export function coefficients(values) {
  const largest = values.reduce(
    (most, value) => (Math.abs(value) < Infinity ? Math.max(most, Math.abs(value)) : most),
    0,
  );
  const exponent = largest > 0 ? Math.floor(Math.log10(largest)) : 0;
  const power = exponent < -2 || exponent > 2 ? exponent : 0;
  const decimals = Math.max(0, 2 - (exponent - power));
  const cells = Array.from(values, (value) => {
    if (!Number.isFinite(value)) return String(value);
    const text = (Math.abs(value) / 10 ** power).toFixed(decimals);
    return value < 0 && Number(text) !== 0 ? `−${text}` : text;
  });
  return { power, cells };
}

/** An exponent. */
export function superscript(power) {
  return Array.from(String(power), (digit) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(digit)]).join("");
}

/** "1.2 MB". */
export function bytes(value) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let size = Number(value);
  let unit = 0;
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${unit ? size.toPrecision(3) : size} ${units[unit]}`;
}

/** A value of any column as text; null where it is unknown. */
export function text(value) {
  if (value === null || value === undefined) return null;
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value === "number" || typeof value === "bigint") return format(value);
  if (value instanceof Date) return value.toISOString().slice(0, 10);
  if (Array.isArray(value) || ArrayBuffer.isView(value))
    return value.length ? Array.from(value, String).join(" × ") : null;
  return String(value);
}

/** Names joined by commas; null where there are none. */
export function names(value) {
  return value && value.length ? Array.from(value).join(", ") : null;
}

/** The parts of the id of a kernel, `layer_id:out:in`. */
export function parseKernelId(id) {
  const parts = /^(.*):(\d+):(\d+)$/s.exec(id);
  return parts && { layerId: parts[1], out: Number(parts[2]), in: Number(parts[3]) };
}

/** A number in two significant digits: "0.65". */
export function rounded(value) {
  return value === null ? format(value) : format(Number(value.toPrecision(2)));
}
