// Folds load their tables when they are opened, and links open the folds that they lead into.

const folds = new Map();
for (const fold of document.querySelectorAll("details.fold:has(table)")) {
  const table = new TableFold(fold);
  folds.set(table.name, table);
  fold.addEventListener("toggle", () => fold.open && table.load());
}

const openFolds = target => {
  for (let fold = target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
};

// An address that somebody changed may have a `%` without digits.
const decoded = text => {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
};

// `#row-NAME-12` is a row of a table, and `#table-NAME?filter=...&sort=-column` its rows.
const openTarget = () => {
  const [, place, query] = location.hash.match(/^#?([^?]*)(?:\?(.*))?$/s);
  const id = decoded(place);
  const [, ofRow, number] = id.match(/^row-(.+)-(\d+)$/) ?? [];
  const table = folds.get(ofRow ?? id.match(/^table-(.+)$/)?.[1]);
  const target = table?.fold ?? document.getElementById(id);
  if (!target) return;
  openFolds(target);
  if (ofRow !== undefined) return table.showRow(Number(number));
  if (table && query !== undefined) {
    const words = new URLSearchParams(query);
    return table.show(words.get("filter") ?? "", words.get("sort") ?? "");
  }
  target.scrollIntoView({ block: "start" });
};
// Links to rows of a table lead to the table where no script runs.
for (const link of document.querySelectorAll("a[data-query]")) {
  link.setAttribute("href", `${link.getAttribute("href")}?${link.dataset.query}`);
}
addEventListener("hashchange", openTarget);
// A link to where the address leads already changes nothing in it, but its fold may have been closed.
addEventListener("click", event => {
  const link = event.target.closest('a[href^="#"]');
  if (link?.hash && link.hash === location.hash) openTarget();
});
addEventListener("beforeprint", () => document.querySelectorAll("details.analysis").forEach(fold => (fold.open = true)));
openTarget();
