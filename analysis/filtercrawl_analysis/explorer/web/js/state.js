// The state of the page is its address: every view can be cited, and the back button works.

/**
 * Keys: q, sort, view, x, y, kernel, model, a, b, brush, all, and `f.COLUMN` for filters, which may be repeated.
 *
 * Event: `change`, with the keys that changed as `detail`.
 */
export class State extends EventTarget {
  #params;

  constructor(search = location.search) {
    super();
    this.#params = new URLSearchParams(search);
    if (typeof window !== "undefined") addEventListener("popstate", () => this.#restore(location.search));
  }

  /** The value of a key, or null. */
  get(key) {
    return this.#params.get(key);
  }

  /** All values of a key. */
  getAll(key) {
    return this.#params.getAll(key);
  }

  /** The keys that have a value. */
  keys() {
    return [...new Set(this.#params.keys())];
  }

  /** The address of this page with some keys changed, for links. */
  href(changes) {
    return `?${changed(this.#params, changes)}`;
  }

  /**
   * @param {Object<string, string|string[]|null>} changes null and [] remove a key
   * @param {{push?: boolean}} [options] push: a step of its own for the back button
   */
  set(changes, { push = false } = {}) {
    const next = changed(this.#params, changes);
    if (String(next) === String(this.#params)) return;
    const before = this.#params;
    this.#params = next;
    const address = `${location.pathname}${next.size ? `?${next}` : ""}`;
    if (push) history.pushState(null, "", address);
    else history.replaceState(null, "", address);
    this.#tell(before);
  }

  #restore(search) {
    const before = this.#params;
    this.#params = new URLSearchParams(search);
    this.#tell(before);
  }

  #tell(before) {
    const keys = new Set([...before.keys(), ...this.#params.keys()]);
    const detail = [...keys].filter((key) => String(before.getAll(key)) !== String(this.#params.getAll(key)));
    if (detail.length) this.dispatchEvent(new CustomEvent("change", { detail }));
  }
}

function changed(params, changes) {
  const next = new URLSearchParams(params);
  for (const [key, value] of Object.entries(changes)) {
    next.delete(key);
    for (const item of [value ?? []].flat()) next.append(key, item);
  }
  return next;
}
