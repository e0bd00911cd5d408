// Filters: words that a text of the row contains, and conditions such as `verdict=ok` and `n_kernels>100`.

const TOKEN = /(?:"(?:[^"]|"")*"|[^\s"]|")+/g;
const CONDITION = /^("(?:[^"]|"")*"|[^\s"<>=:]+)(<=|>=|=|:|<|>)(.*)$/s;

const unquote = text => text.replace(/"((?:[^"]|"")*)"/g, (_, inner) => inner.replaceAll('""', '"'));

const columnName = text => text.trim().toLowerCase().replace(/\s+/g, "_");

// The tests of a filter, all of which a row must pass: functions of the position of a row.
const testsOf = (filter, table, heads) => {
  const byName = new Map(table.shown.map((column, i) => [columnName(heads[i]), column]));
  table.all.forEach(column => byName.set(columnName(column.name), column));
  return (filter.match(TOKEN) ?? []).map(token => {
    const [, name, operator, operand] = token.match(CONDITION) ?? [];
    const column = name === undefined ? undefined : byName.get(columnName(unquote(name)));
    return column ? condition(column, operator, unquote(operand)) : wordTest(table, unquote(token));
  });
};

// The number of a condition, which may have the commas that cells have.
const numberOf = text => (text.trim() === "" ? NaN : Number(text.replaceAll(",", "")));

const condition = (column, operator, operand) => {
  if (operator === "=") return operand === "" ? row => !column.isKnown(row) : equals(column, operand);
  if (operator === ":") return contains(column, operand.toLowerCase());
  const bound = numberOf(operand);
  const compare = { "<": a => a < bound, "<=": a => a <= bound, ">": a => a > bound, ">=": a => a >= bound }[operator];
  return column.numeric && !Number.isNaN(bound) ? row => column.isKnown(row) && compare(column.values[row]) : () => false;
};

const equals = (column, wanted) => {
  const isWord = column.numeric ? null : inWords(column, word => word === wanted);
  if (column.full) return row => isWord(row) || column.full(row) === wanted;
  if (isWord) return isWord;
  const number = numberOf(wanted);
  return row => column.values[row] === number || column.text(row) === wanted;
};

const contains = (column, wanted) => {
  if (column.numeric) return row => column.text(row).includes(wanted);
  return inWords(column, word => word.toLowerCase().includes(wanted));
};

// Whether the word of a row passes a test, which is made once for each distinct word.
const inWords = (column, test) => {
  const passed = Uint8Array.from(column.words, word => test(word));
  return row => passed[column.codes[row]] === 1;
};

const wordTest = (table, text) => {
  const wanted = text.toLowerCase();
  const tests = table.all.filter(column => !column.numeric).map(column => contains(column, wanted));
  const ids = table.all.filter(column => column.full && wanted.includes("#"));
  return row => tests.some(test => test(row)) || ids.some(column => column.full(row).toLowerCase().includes(wanted));
};

const filteredRows = (filter, table, heads) => {
  const tests = testsOf(filter, table, heads);
  const rows = [];
  for (let row = 0; row < table.size; row++) if (tests.every(test => test(row))) rows.push(row);
  return rows;
};

// Text such that numbers in it are in the order of their values.
const sortableText = text => text.toLowerCase().replace(/\d+/g, digits => digits.padStart(12, "0"));

// For each word its place among all words in order; words that differ in leading zeros alone share one.
const ranksOf = words => {
  const keys = words.map(sortableText);
  const order = [...keys.keys()].sort((a, b) => (keys[a] < keys[b] ? -1 : keys[a] > keys[b] ? 1 : 0));
  const ranks = new Float64Array(words.length);
  order.forEach((word, place) => {
    const before = order[place - 1];
    ranks[word] = place > 0 && keys[before] === keys[word] ? ranks[before] : place;
  });
  return ranks;
};

// Rows in the order of a column; unknown values come last in both directions.
const sortedRows = (rows, column, descending) => {
  let keyOf = row => column.values[row];
  if (!column.numeric) {
    column.ranks ??= ranksOf(column.words);
    keyOf = row => column.ranks[column.codes[row]];
  }
  const known = rows.filter(column.isKnown);
  const unknown = rows.filter(row => !column.isKnown(row));
  const sign = descending ? -1 : 1;
  const keys = Float64Array.from(known, keyOf);
  const order = Uint32Array.from(keys.keys()).sort((a, b) => sign * (keys[a] - keys[b]) || a - b);
  return [...Array.from(order, place => known[place]), ...unknown];
};
