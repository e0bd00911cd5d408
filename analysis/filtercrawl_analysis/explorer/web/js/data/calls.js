// Calls of the worker as promises.

export class WorkerCalls {
  #worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  #pending = new Map();
  #next = 0;
  #failure = null;

  constructor() {
    this.#worker.onmessage = ({ data: { id, result, error } }) => {
      const { resolve, reject } = this.#pending.get(id);
      this.#pending.delete(id);
      if (error === undefined) resolve(result);
      else reject(Object.assign(new Error(error.message), { name: error.name }));
    };
    this.#worker.onerror = (event) => {
      this.#failure = new Error(`The page's worker did not start (${event.message ?? "a module is missing"}); load the page again.`);
      for (const { reject } of this.#pending.values()) reject(this.#failure);
      this.#pending.clear();
    };
  }

  call(method, ...args) {
    if (this.#failure) return Promise.reject(this.#failure);
    return new Promise((resolve, reject) => {
      const id = this.#next++;
      this.#pending.set(id, { resolve, reject });
      this.#worker.postMessage({ id, method, args });
    });
  }
}
