// Runs the page's data modules in node: reads requests as JSON lines, and answers each with a JSON line.
//
// node read_dataset.mjs MODULES URL    the folder of the modules, the address of the page

import { createInterface } from "node:readline";

const [modules, url] = process.argv.slice(2);
const { Dataset } = await import(`${modules}/data/dataset.js`);
const { UNKNOWN } = await import(`${modules}/data/columns.js`);
const { columnsOf, select, selectionOf } = await import(`${modules}/data/selection.js`);
const { similarSamples } = await import(`${modules}/data/similar.js`);
const { State } = await import(`${modules}/state.js`);
const { countValues } = await import(`${modules}/facets.js`);

const config = await (await fetch(`${url}config.json`)).json();
const dataset = new Dataset({ ...config, base: new URL(config.base, url).href });
const opened = await dataset.open();

async function values(name) {
  const column = await dataset.column(name);
  if (column.kind === "number") return Array.from(column.values, (value) => (Number.isNaN(value) ? null : value));
  if (column.kind === "category") return Array.from(column.values, (code) => (code === UNKNOWN ? null : column.categories[code]));
  return column.values;
}

async function selected(search) {
  const selection = selectionOf(new State(search));
  const names = columnsOf(selection);
  const columns = new Map(await Promise.all(names.map(async (name) => [name, await dataset.column(name)])));
  return select(selection, columns, opened.n);
}

const requests = {
  columns: () => opened.columns,
  layerTables: () => dataset.layerTables(),
  values: ([name]) => values(name),
  layers: ([rows, names]) => dataset.layers(rows, names),
  model: ([id]) => dataset.model(id),
  table: ([name]) => dataset.table(name),
  rowOf: ([id]) => dataset.rowOf(id),
  head: async ([names]) => Array.from((await dataset.head(names)).rows),
  samples: async ([row]) => {
    const { size, ids, values: weights } = await dataset.samples(row);
    return { size, ids, values: Array.from(weights) };
  },
  select: async ([search]) => Array.from((await selected(search)).rows),
  counts: async ([name, search]) => countValues(await dataset.column(name), (await selected(search)).rows, []),
  similar: async ([id, options, search]) => {
    const store = {
      rows: (await selected(search)).rows, column: (name) => dataset.column(name), samples: (row) => dataset.samples(row),
      rowOf: (layer) => dataset.rowOf(layer),
    };
    return similarSamples(store, id, options);
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const [method, ...args] = JSON.parse(line);
  try {
    console.log(JSON.stringify({ result: await requests[method](args) }));
  } catch (error) {
    console.log(JSON.stringify({ error: error.message }));
  }
}
