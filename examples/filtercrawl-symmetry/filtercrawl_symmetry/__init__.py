"""The analysis symmetry: how much of a 3x3 kernel stays when it is seen in a mirror, by depth."""

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from filtercrawl.api import Analysis, DatasetView, Figure, Result, ResultTable, SampleSize, hookimpl

FILTERCRAWL_API = 1
# Of the energy of a kernel of independent numbers: three of nine stand on the axis, half of the others is even.
BY_CHANCE = 2 / 3
AXES = {"left-right": 2, "up-down": 1}


class Symmetry:
    name = "symmetry"
    title = "Mirror symmetry of 3x3 kernels"

    def run(self, dataset: DatasetView) -> Result:
        index = dataset.index
        wanted = index.filter(pc.equal(index["kernel"], "3x3"))
        if not len(wanted):
            return Result(findings=("There are no 3x3 kernels whose symmetry could be told.",))
        columns = ["layer_sha256", "model_id", "depth_decile"]
        rows = {
            row["layer_sha256"]: (row["model_id"], row["depth_decile"]) for row in wanted.select(columns).to_pylist()
        }
        groups: dict[int | None, list] = defaultdict(list)
        for done, (digest, kernels) in enumerate(dataset.samples(list(rows)), 1):
            groups[rows[digest][1]].append((digest, even_shares(kernels.reshape(-1, 3, 3))))
            dataset.progress(done, len(rows), "mirroring kernels")
        table = tabled(groups)
        basis = SampleSize(
            kernels=sum(table["kernels"].to_pylist()),
            layers=len(rows),
            models=len({model for model, _ in rows.values()}),
        )
        figure = Figure(
            name="mirror_symmetry",
            title=self.title,
            caption="Share of a kernel's energy that is even about the middle; dotted: of independent numbers.",
            basis=basis,
            table="mirror_symmetry",
            draw=lambda canvas: draw(canvas, table),
        )
        means = {axis: float(np.average(table[axis], weights=table["kernels"])) for axis in AXES}
        finding = (
            f"In a mirror {means['left-right']:.0%} of the energy of 3x3 kernels stays, by chance {BY_CHANCE:.0%}."
        )
        result = ResultTable(name="mirror_symmetry", title=self.title, rows=table)
        return Result(tables=(result,), figures=(figure,), findings=(finding,))


def even_shares(kernels: np.ndarray) -> np.ndarray:
    """Return [n, axes]: the even part's share of the energy of each kernel [n, 3, 3]; kernels of zeros are left out."""
    energy = (kernels.astype(np.float64) ** 2).sum((1, 2))
    kernels, energy = kernels[energy > 0].astype(np.float64), energy[energy > 0]
    even = [((kernels + np.flip(kernels, axis)) / 2) ** 2 for axis in AXES.values()]
    return np.stack([part.sum((1, 2)) / energy for part in even], axis=1)


def tabled(groups: dict) -> pa.Table:
    """A row a depth, from the first layers to the last; those whose depth is unknown come at the end."""
    rows = []
    for decile in sorted(groups, key=lambda value: (value is None, value)):
        shares = np.concatenate([shares for _, shares in sorted(groups[decile], key=lambda item: item[0])])
        if len(shares):
            rows.append(
                {
                    "depth_decile": decile,
                    "kernels": len(shares),
                    **dict(zip(AXES, shares.mean(0).tolist(), strict=True)),
                }
            )
    fields = [("depth_decile", pa.int32()), ("kernels", pa.int64()), *((axis, pa.float64()) for axis in AXES)]
    return pa.Table.from_pylist(rows, schema=pa.schema(fields))


def draw(canvas, table: pa.Table) -> None:
    axes = canvas.add_subplot()
    places = range(len(table))
    for axis in AXES:
        axes.plot(places, table[axis].to_pylist(), marker="o", label=axis)
    axes.axhline(BY_CHANCE, linestyle=":")
    axes.set_xticks(
        places, ["unknown" if decile is None else str(decile) for decile in table["depth_decile"].to_pylist()]
    )
    axes.set_xlabel("depth, in tenths of the network")
    axes.set_ylabel("even share of energy")
    axes.legend()


@hookimpl
def filtercrawl_analyses() -> Iterator[Analysis]:
    yield Symmetry()
