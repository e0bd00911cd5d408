// A table that consists of several Parquet files, read as one.

/** The parts of a table in the order of its rows; has what ParquetFile has, with row groups numbered through all parts. */
export class ParquetParts {
  #parts = [];

  /** @param {import("./parquet.js").ParquetFile[]} files with the same columns */
  constructor(files) {
    /** Number of the first row of each row group, and the number of rows. */
    this.starts = [0];
    for (const file of files) {
      this.#parts.push({ file, row: this.starts.at(-1), group: this.starts.length - 1 });
      const first = this.starts.at(-1);
      this.starts.push(...file.starts.slice(1).map((start) => first + start));
    }
    this.rows = this.starts.at(-1);
    this.names = files[0].names;
  }

  /** The physical type of a column, see ParquetFile. */
  type(name) {
    return this.#parts[0].file.type(name);
  }

  /** The values of a column by row, see ParquetFile. */
  async values(name, groups) {
    return (await this.#each(groups, (file, own) => file.values(name, own))).flat();
  }

  /** The pages of a column by row group, see ParquetFile. */
  async pages(name, groups) {
    return (await this.#each(groups, (file, own) => file.pages(name, own))).flat();
  }

  /** Rows as objects, in their order, see ParquetFile. */
  async objects(rows, names) {
    const asked = this.#parts.map(() => []);
    rows.forEach((row, place) => asked[this.#parts.findLastIndex((part) => part.row <= row)].push(place));
    const found = new Array(rows.length);
    await Promise.all(asked.map(async (places, i) => {
      if (!places.length) return;
      const { file, row } = this.#parts[i];
      const objects = await file.objects(places.map((place) => rows[place] - row), names);
      places.forEach((place, j) => (found[place] = objects[j]));
    }));
    return found;
  }

  #each(groups, read) {
    const ends = this.#parts.map((_, i) => this.#parts[i + 1]?.group ?? this.starts.length - 1);
    const parts = this.#parts.map(({ file, group }, i) => ({
      file, own: groups?.filter((each) => group <= each && each < ends[i]).map((each) => each - group),
    }));
    return Promise.all(parts.filter(({ own }) => !own || own.length).map(({ file, own }) => read(file, own)));
  }
}
