// Starts the page: the store, the filters, and the views as tabs.

import { Store } from "./data/store.js";
import { DatasetChanged, isLasting } from "./data/errors.js";
import { isPlain, selectionOf } from "./data/selection.js";
import { h, plural } from "./dom.js";
import { mountFilters } from "./filters.js";
import * as grid from "./grid.js";
import { State } from "./state.js";

// Keys of the address that do not change which layers are selected.
const NOT_SELECTING = new Set(["view", "kernel", "model", "a", "b"]);
// Modules below views/: tabs in their order, and what lies over the page.
const VIEWS = ["scatter", "model", "compare"];
const OVERLAYS = ["kernel"];

// So long the first picture has the line to itself.
const FIRST_PICTURE_MS = 3000;

const state = new State();
const store = new Store(readConfig());
const get = (id) => document.getElementById(id);

async function readConfig() {
  const response = await fetch("config.json");
  if (response.ok) return response.json();
  throw new Error(`config.json cannot be read (the server answers ${response.status}); \`filtercrawl explore --out\` writes it.`);
}

function select() {
  store.select(selectionOf(state));
}

/** All columns are ten times what the first screen needs, and on a slow line would come before it. */
function selectAfterFirstPicture() {
  if (!isPlain(selectionOf(state)) || (state.get("view") ?? "grid") !== "grid") {
    select();
    return;
  }
  const start = () => {
    clearTimeout(timer);
    store.removeEventListener("first-picture", start);
    select();
  };
  const timer = setTimeout(start, FIRST_PICTURE_MS);
  store.addEventListener("first-picture", start);
}

function showCounts() {
  const { layers, kernels, models } = store.counts;
  get("counts").textContent = [plural(layers, "layer"), plural(kernels, "kernel"), plural(models, "model")].join(" · ");
}

let lasting = null;
let latest = null;

/** Show an error, or by null that what was selected last has none; one that holds until a reload stays. */
function showProblem(error) {
  if (error && isLasting(error)) lasting ??= error;
  else latest = error;
  renderProblem();
}

function renderProblem() {
  const shown = lasting ?? latest ?? unknownView();
  const reload = h("button", { type: "button", onclick: () => location.reload() }, "Reload");
  const message = shown ? [shown.message, ...(shown.name === DatasetChanged.name ? [" ", reload] : [])] : [];
  get("problem").replaceChildren(...message);
  get("problem").hidden = !shown;
}

function unknownView() {
  const view = state.get("view") ?? "grid";
  if (["grid", ...VIEWS].includes(view)) return null;
  return new Error(`There is no view “${view}”; there are ${VIEWS.join(", ")}, and the cards without view.`);
}

// What no view has caught, such as a file that cannot be read.
addEventListener("unhandledrejection", ({ reason }) => showProblem(reason instanceof Error ? reason : new Error(reason)));

/** Tabs after the pattern of WAI-ARIA: arrow keys choose, only the chosen one is in the order of Tab. */
class Tabs {
  #panels = new Map();

  add(name, view) {
    const panel = h("section", { id: `panel-${name}`, role: "tabpanel", "aria-labelledby": `tab-${name}`, hidden: true });
    const tab = h("button", {
      id: `tab-${name}`, role: "tab", type: "button", "aria-controls": panel.id, "aria-selected": "false", tabindex: "-1",
      onclick: () => state.set({ view: name === "grid" ? null : name }, { push: true }),
      onkeydown: (event) => this.#move(event),
    }, view.label);
    get("tabs").append(tab);
    get("panels").append(panel);
    this.#panels.set(name, { tab, panel, view, mounted: false });
    this.show();
  }

  /** Show the view of the address; a view is mounted when it is first shown. */
  show() {
    const wanted = state.get("view") ?? "grid";
    const shown = this.#panels.has(wanted) ? wanted : "grid";
    for (const [name, entry] of this.#panels) {
      const chosen = name === shown;
      entry.panel.hidden = !chosen;
      entry.tab.setAttribute("aria-selected", String(chosen));
      entry.tab.tabIndex = chosen ? 0 : -1;
      if (chosen && !entry.mounted) {
        entry.mounted = true;
        entry.view.mount(entry.panel, { store, state });
      }
    }
  }

  #move(event) {
    const tabs = [...this.#panels.values()].map(({ tab }) => tab);
    const at = tabs.indexOf(event.currentTarget);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const next = tabs.at(to % tabs.length);
    next.focus();
    next.click();
  }
}

async function addViews(tabs) {
  const load = (name) => import(`./views/${name}.js`);
  for (const name of VIEWS) tabs.add(name, await load(name));
  for (const name of OVERLAYS) (await load(name)).mount(get("overlays"), { store, state });
}

store.addEventListener("rows", showCounts);
store.addEventListener("rows", () => showProblem(null));
store.addEventListener("error", ({ detail }) => showProblem(detail));
store.ready.then(
  () => {
    get("dataset-name").textContent = store.config.name;
    document.title = `${store.config.name} · kernels`;
  },
  showProblem,
);

get("needs-server").remove();
renderProblem();
const tabs = new Tabs();
tabs.add("grid", grid);
mountFilters({ panel: get("filters"), chips: get("chips"), sort: get("sort"), search: get("search") }, { store, state });
state.addEventListener("change", ({ detail }) => {
  tabs.show();
  renderProblem();
  if (detail.some((key) => !NOT_SELECTING.has(key))) select();
});
selectAfterFirstPicture();
store.ready.then(() => addViews(tabs)).catch(showProblem);
