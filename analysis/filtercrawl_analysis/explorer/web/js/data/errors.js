// Errors about the dataset as a whole: they hold until the page is loaded again.

/** Files were replaced after the page was opened. */
export class DatasetChanged extends Error {
  name = "DatasetChanged";

  constructor() {
    super("The dataset has changed since this page was opened.");
  }
}

/** A file is missing without which nothing can be drawn. */
export class DatasetIncomplete extends Error {
  name = "DatasetIncomplete";
}

/** Whether an error, which may come from the worker, holds until the page is loaded again. */
export function isLasting(error) {
  return ["DatasetChanged", "DatasetIncomplete"].includes(error.name);
}
