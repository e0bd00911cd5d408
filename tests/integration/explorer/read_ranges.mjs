// Reads byte ranges with the page's module in node: reads [start, end] as JSON lines, and answers each with a JSON line.
//
// node read_ranges.mjs MODULES URL    the folder of the modules, the address of the file

import { createInterface } from "node:readline";

const [modules, url] = process.argv.slice(2);
const { RangeFile } = await import(`${modules}/data/ranges.js`);
const file = new RangeFile(url, null, true);

for await (const line of createInterface({ input: process.stdin })) {
  try {
    const [bytes] = await file.read([JSON.parse(line)]);
    console.log(JSON.stringify({ result: Array.from(bytes) }));
  } catch (error) {
    console.log(JSON.stringify({ error: error.message }));
  }
}
