// The worker: answers {id, method, args} with {id, result} or {id, error}; the first call is `start` with the config.

import { Dataset } from "./dataset.js";
// What these import in turn, so that all is asked for at once and not one level after the other.
import "./errors.js";
import "./footer.js";
import "./pages.js";
import "./parquet.js";
import "../../vendor/fzstd/fzstd.js";
import "../../vendor/hyparquet/alp.js";
import "../../vendor/hyparquet/assemble.js";
import "../../vendor/hyparquet/column.js";
import "../../vendor/hyparquet/constants.js";
import "../../vendor/hyparquet/convert.js";
import "../../vendor/hyparquet/datapage.js";
import "../../vendor/hyparquet/delta.js";
import "../../vendor/hyparquet/encoding.js";
import "../../vendor/hyparquet/geoparquet.js";
import "../../vendor/hyparquet/metadata.js";
import "../../vendor/hyparquet/plain.js";
import "../../vendor/hyparquet/schema.js";
import "../../vendor/hyparquet/snappy.js";
import "../../vendor/hyparquet/thrift.js";
import "../../vendor/hyparquet/variant.js";
import "../../vendor/hyparquet/wkb.js";

let dataset = null;

self.onmessage = async ({ data: { id, method, args } }) => {
  try {
    if (method === "start") dataset = new Dataset(args[0]);
    const result = method === "start" ? await dataset.open() : await dataset[method](...args);
    self.postMessage({ id, result });
  } catch (error) {
    self.postMessage({ id, error: { name: error.name, message: error.message } });
  }
};
