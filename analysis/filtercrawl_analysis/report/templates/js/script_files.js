// Script files of tables, each loaded once. A page that is opened as a file may load scripts, but no other files.

const awaited = new Map();

window.filtercrawlTable = data => awaited.get(data.name)?.(data);

const loadTable = name =>
  new Promise((resolve, reject) => {
    awaited.set(name, resolve);
    const script = document.createElement("script");
    script.src = `tables/${name}.js`;
    script.addEventListener("load", () => reject(new Error("has no table"))); // no effect on one that was delivered
    script.addEventListener("error", () => reject(new Error("is not there")));
    document.head.append(script);
  });
