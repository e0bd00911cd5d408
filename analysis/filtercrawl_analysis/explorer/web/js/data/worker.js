// The worker: answers {id, method, args} with {id, result} or {id, error}; the first call is `start` with the config.

import { Dataset } from "./dataset.js";

let dataset = null;

self.onmessage = async ({ data: { id, method, args } }) => {
  try {
    if (method === "start") dataset = new Dataset(args[0]);
    const result = method === "start" ? await dataset.open() : await dataset[method](...args);
    self.postMessage({ id, result });
  } catch (error) {
    self.postMessage({ id, error: error.message });
  }
};
