// Columns of a table in memory; a row is a position from 0, and its number the position in the files. Every column has `name`, `numeric`, `text(row)` and `isKnown(row)`; a numeric one has
// `values`, a column of text its distinct `words` and the `codes` of the rows in them, -1 for an unknown value.

const numberColumn = (name, values, format) => ({
  name,
  numeric: true,
  values,
  isKnown: row => values[row] !== null && !Number.isNaN(values[row]),
  text: row => (values[row] === null ? "" : format(values[row])),
});

const textColumn = (name, words, codes) => ({
  name,
  numeric: false,
  words,
  codes,
  isKnown: row => codes[row] >= 0 && words[codes[row]] !== "",
  text: row => words[codes[row]] ?? "",
});

// A column whose values begin with those of another column, which are not repeated in its words.
const prefixedColumn = (name, words, codes, prefixOf) => ({
  ...textColumn(name, words, codes),
  full: row => (codes[row] < 0 ? "" : `${prefixOf(row)}#${words[codes[row]]}`),
});

const fullText = (column, row) => (column.full ?? column.text)(row);

// The table of a script file beside the page.
const tableOfScript = data => {
  const byName = new Map();
  for (const { name, kind, values, words, codes, prefix } of data.columns) {
    if (kind !== "text") byName.set(name, numberColumn(name, values, kind === "float" ? formatFloat : formatInteger));
    else if (prefix) byName.set(name, prefixedColumn(name, words, codes, row => byName.get(prefix).text(row)));
    else byName.set(name, textColumn(name, words, codes));
  }
  const hidden = new Set(data.hidden);
  const shown = [...byName.values()].filter(column => !hidden.has(column.name));
  const ids = data.ids.map(name => byName.get(name));
  const copied = byName.get(data.copied);
  return {
    size: data.rows,
    shown,
    all: [...byName.values()],
    title: row => ids.filter(id => id.isKnown(row)).map(id => `${id.name} ${fullText(id, row)}`).join("; "),
    copied: row => (copied ? fullText(copied, row) : ""),
    number: row => row,
  };
};

// The table of the rows that the page has.
const tableOfPage = table => {
  const rows = [];
  const numbers = [];
  let next = 0;
  for (const row of table.tBodies[0].rows) {
    if (row.classList.contains("skipped")) next += Number(row.dataset.rows);
    else {
      rows.push(row);
      numbers.push(next++);
    }
  }
  const titles = rows.map(row => row.title);
  const copied = rows.map(row => row.dataset.copy ?? "");
  const shown = [...table.tHead.rows[0].cells].map((head, position) => {
    const texts = rows.map(row => row.cells[position].textContent);
    if (!head.classList.contains("number")) {
      const column = textColumn(head.title, texts, [...texts.keys()]);
      return head.title === "layer_id" ? { ...column, full: row => copied[row] } : column; // the cell lacks the model
    }
    const values = texts.map(text => (text === "" ? null : Number(text.replaceAll(",", "").replace("inf", "Infinity"))));
    return { ...numberColumn(head.title, values, String), text: row => texts[row] };
  });
  return {
    size: rows.length,
    shown,
    all: [...shown, textColumn("title", titles, [...titles.keys()])],
    title: row => titles[row],
    copied: row => copied[row],
    number: row => numbers[row],
  };
};
