"use strict";
// Sorts, filters and copies from tables, and opens the folds that a link leads into. Nothing here is needed for reading.
(() => {
  const numberOf = text => {
    const plain = text.replaceAll(",", "").replace(/\s*%$/, "");
    return plain === "" ? NaN : Number(plain);
  };
  // Text of a cell without that of its button.
  const cellText = (row, column) => row.cells[column].firstChild?.textContent ?? "";

  const sortRows = (table, column, direction) => {
    const body = table.tBodies[0];
    const rows = [...body.rows].filter(row => !row.classList.contains("skipped"));
    const numeric = table.tHead.rows[0].cells[column].classList.contains("number");
    const key = new Map(rows.map(row => [row, numeric ? numberOf(cellText(row, column)) : cellText(row, column)]));
    const empty = row => (numeric ? Number.isNaN(key.get(row)) : key.get(row) === "");
    rows.sort((a, b) => {
      if (empty(a) || empty(b)) return empty(a) - empty(b); // unknown values come last in both directions
      const order = numeric ? key.get(a) - key.get(b) : key.get(a).localeCompare(key.get(b), "en", { numeric: true });
      return direction * order;
    });
    body.replaceChildren(...rows);
  };

  const addSorting = table => {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach(other => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        sortRows(table, column, down ? -1 : 1);
      });
    });
  };

  const addFilter = (table, box) => {
    const rows = [...table.tBodies[0].rows].filter(row => !row.classList.contains("skipped"));
    if (rows.length < 10) return;
    const label = document.createElement("label");
    label.className = "filter";
    const input = document.createElement("input");
    input.type = "search";
    const count = document.createElement("output");
    label.append("Filter rows ", input, " ", count);
    box.before(label);
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const text = Array.from(row.cells, (_, column) => cellText(row, column)).join(" ").toLowerCase();
        row.hidden = !words.every(word => text.includes(word));
        shown += !row.hidden;
      }
      table.querySelectorAll(".skipped").forEach(row => (row.hidden = words.length > 0));
      count.value = words.length ? `${shown} of ${rows.length}` : "";
    });
  };

  const copy = async text => {
    if (navigator.clipboard) return navigator.clipboard.writeText(text);
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  };

  const addCopying = table => {
    for (const row of table.querySelectorAll("tr[data-copy]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.textContent = "copy id";
      button.title = row.dataset.copy;
      button.addEventListener("click", async () => {
        await copy(row.dataset.copy);
        button.textContent = "copied";
        setTimeout(() => (button.textContent = "copy id"), 1500);
      });
      row.cells[0].append(" ", button);
    }
  };

  const prepare = fold => {
    const table = fold.querySelector("table");
    if (!table || fold.dataset.ready) return;
    fold.dataset.ready = "yes";
    addSorting(table);
    addFilter(table, fold.querySelector(".scroll"));
    addCopying(table);
  };
  for (const fold of document.querySelectorAll("details.fold")) {
    fold.addEventListener("toggle", () => fold.open && prepare(fold));
  }

  const openTarget = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target) return;
    for (let fold = target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    target.scrollIntoView({ block: target.matches("tr") ? "center" : "start" });
  };
  addEventListener("hashchange", openTarget);
  addEventListener("beforeprint", () => document.querySelectorAll("details.analysis").forEach(fold => (fold.open = true)));
  openTarget();
})();
