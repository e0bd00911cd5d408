// A fold with a table: sorted and filtered over all rows, of which a hundred are drawn at a time.

const ROWS_DRAWN = 100;

const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

const count = (number, noun) => `${wholeNumber.format(number)} ${noun}${number === 1 ? "" : "s"}`;

class TableFold {
  constructor(fold) {
    this.fold = fold;
    this.name = fold.id.replace("table-", "");
    this.element = fold.querySelector("table");
    this.box = fold.querySelector(".scroll");
    this.heads = [...this.element.tHead.rows[0].cells];
    this.headTexts = this.heads.map(head => head.textContent);
    this.view = { filter: "", sort: "", first: 0 };
    this.loaded = null;
  }

  // Load the rows when they are first needed. What is in the page suffices where the page has all rows.
  load() {
    this.loaded ??= this.loadRows();
    return this.loaded;
  }

  async loadRows() {
    this.addControls();
    if (this.fold.dataset.script) {
      this.status.value = "Loading all rows …";
      try {
        this.table = tableOfScript(await loadTable(this.name));
      } catch (error) {
        this.problem = `These are the rows of the page itself, as the file tables/${this.name}.js ${error.message}.`;
      }
    }
    this.table ??= tableOfPage(this.element);
    const note = this.fold.querySelector(".rows");
    if (this.problem) note.before(`${this.problem} `);
    else if (note?.dataset.all) note.textContent = note.dataset.all;
    this.addSorting();
    this.filter.hidden = this.table.size < 10;
    this.draw();
  }

  addControls() {
    const input = element("input", { type: "search", spellcheck: false, autocomplete: "off" });
    const numeric = this.heads.find(head => head.classList.contains("number"));
    input.placeholder = numeric ? `words, ${numeric.title}>0` : "words";
    input.addEventListener("input", () => this.change({ filter: input.value, first: 0 }));
    input.addEventListener("change", () => this.keepAddress()); // when it is left, not with every letter
    this.input = input;
    this.status = element("output");
    this.filter = element("label", { className: "filter", hidden: true }, "Filter rows ", input);
    this.box.before(element("div", { className: "controls" }, this.filter, this.status));
    this.range = element("span");
    this.previous = this.pageButton("Previous", -ROWS_DRAWN);
    this.next = this.pageButton("Next", ROWS_DRAWN);
    this.pager = element("div", { className: "pager", hidden: true }, this.previous, this.range, this.next);
    this.box.after(this.pager);
  }

  pageButton(text, step) {
    const button = element("button", { type: "button", textContent: text });
    button.addEventListener("click", () => {
      this.change({ first: this.view.first + step });
      this.box.scrollTo(0, 0);
    });
    return button;
  }

  addSorting() {
    this.heads.forEach((head, position) => {
      const button = element("button", { type: "button" }, ...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const { name } = this.table.shown[position];
        const next = { [name]: `-${name}`, [`-${name}`]: "" }[this.view.sort] ?? name;
        this.change({ sort: next, first: 0 });
        this.keepAddress();
      });
    });
  }

  change(view) {
    Object.assign(this.view, view);
    this.draw();
  }

  // Put the view into the address of the page.
  keepAddress() {
    const words = [["filter", this.view.filter], ["sort", this.view.sort]].filter(([, text]) => text !== "");
    history.replaceState(null, "", `#${this.fold.id}${words.length ? `?${new URLSearchParams(words)}` : ""}`);
  }

  // Show the rows that an address asks for.
  async show(filter, sort) {
    await this.load();
    this.change({ filter, sort, first: 0 });
    this.fold.scrollIntoView({ block: "start" });
  }

  // Show one row, by its number from 1.
  async showRow(number) {
    await this.load();
    this.marked = number;
    const row = this.rowOfNumber(number);
    this.change({ filter: "", sort: "", first: row < 0 ? 0 : row - (row % ROWS_DRAWN) });
    if (row < 0) this.status.value = `Row ${wholeNumber.format(number)} is in the Parquet file alone`;
    document.getElementById(`row-${this.name}-${number}`)?.scrollIntoView({ block: "center" });
  }

  // The position of a row, by its number from 1; -1 where the page does not have it.
  rowOfNumber(number) {
    for (let row = 0; row < this.table.size; row++) if (this.table.number(row) === number - 1) return row;
    return -1;
  }

  // The rows of the view, computed again only if the filter or the order changed.
  rows() {
    const { filter, sort } = this.view;
    const key = JSON.stringify([filter, sort]);
    if (this.rowsKey !== key) {
      const name = sort.replace(/^-/, "");
      const column = this.table.shown.find(other => other.name === name);
      const found = filteredRows(filter, this.table, this.headTexts);
      this.ordered = column ? sortedRows(found, column, sort.startsWith("-")) : found;
      this.rowsKey = key;
    }
    return this.ordered;
  }

  draw() {
    const rows = this.rows();
    const { filter, sort, first } = this.view;
    const shown = rows.slice(first, first + ROWS_DRAWN);
    this.element.tBodies[0].replaceChildren(...shown.map(row => this.drawnRow(row)));
    if (this.input.value !== filter) this.input.value = filter;
    for (const head of this.heads) {
      const order = { [head.title]: "ascending", [`-${head.title}`]: "descending" }[sort];
      if (order) head.setAttribute("aria-sort", order);
      else head.removeAttribute("aria-sort");
    }
    const total = count(this.table.size, "row");
    this.status.value = filter.trim() ? `${wholeNumber.format(rows.length)} of ${total}` : total;
    this.pager.hidden = rows.length <= ROWS_DRAWN;
    this.range.textContent = `Rows ${wholeNumber.format(first + 1)} to ${wholeNumber.format(first + shown.length)}`;
    this.previous.disabled = first === 0;
    this.next.disabled = first + ROWS_DRAWN >= rows.length;
  }

  drawnRow(row) {
    const drawn = element("tr", { title: this.table.title(row) });
    const number = this.table.number(row) + 1;
    drawn.id = `row-${this.name}-${number}`;
    if (number === this.marked) drawn.className = "marked";
    for (const column of this.table.shown) {
      const text = column.text(row);
      const cell = column.numeric ? element("td", { className: "number" }, text) : element("td", {}, element("bdi", {}, text));
      drawn.append(cell);
    }
    const copied = this.table.copied(row);
    if (copied) drawn.cells[0].append(" ", copyButton(copied));
    return drawn;
  }
}

const copyButton = text => {
  const button = element("button", { type: "button", className: "copy", textContent: "copy id", title: text });
  button.addEventListener("click", async () => {
    await copy(text);
    button.textContent = "copied";
    setTimeout(() => (button.textContent = "copy id"), 1500);
  });
  return button;
};

const copy = async text => {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = element("textarea", { value: text });
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
};
