// Calls exported functions of the page's views in node: reads [module, function, arguments] as JSON lines, and answers
// each with a JSON line.
//
// node call_views.mjs VIEWS    the folder of the modules

import { createInterface } from "node:readline";

const [views] = process.argv.slice(2);

for await (const line of createInterface({ input: process.stdin })) {
  const [module, name, ...given] = JSON.parse(line);
  const found = (await import(`${views}/${module}`))[name](...given);
  console.log(JSON.stringify(found ?? null));
}
