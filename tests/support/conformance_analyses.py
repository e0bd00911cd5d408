"""Analyses for the conformance kit: a right one, and wrong ones that look right."""

from __future__ import annotations

GOOD_ANALYSIS = """
import pyarrow as pa
import pyarrow.compute as pc
from filtercrawl.api import Figure, Result, ResultTable, SampleSize, hookimpl

class Sizes:
    name = "sizes"
    title = "Sizes of layers"

    def run(self, view):
        sizes = view.index["n_kernels"].to_pylist()
        rows = pa.table({"n": pa.array(sizes, pa.int64())})
        table = ResultTable(name="sizes", title="Sizes", rows=rows)
        if not sizes:
            return Result(tables=(table,), findings=("There are no layers.",))
        basis = SampleSize(kernels=sum(sizes), layers=len(sizes), models=len(set(view.index["model_id"].to_pylist())))

        def draw(canvas):
            canvas.add_subplot().bar(range(len(sizes)), sizes)

        figure = Figure(name="sizes", title="Sizes", caption="Kernels.", basis=basis, table=table.name, draw=draw)
        return Result(tables=(table,), figures=(figure,), findings=(f"{sum(sizes)} kernels.",))

@hookimpl
def filtercrawl_analyses():
    yield Sizes()
"""
_RUN = '        sizes = view.index["n_kernels"].to_pylist()\n'
# What is changed in the right one, and what is said: old text, new text, a part of the finding.
WRONG_ANALYSES = {
    "fails without kernels": ("        if not sizes:\n", "        if not sizes and max(sizes):\n", "without kernels: ValueError"),
    "returns something else": ("            return Result(", "            return dict(", "dict, which is no Result"),
    "random numbers": ("pa.array(sizes", "pa.array([__import__('random').getrandbits(32) for _ in sizes]", "give two results"),
    "no title": ('title = "Sizes of layers"', "title = None", "has no title"),
    "a table name of another analysis": ('"sizes", title="Sizes", rows', '"layer_quality", title="Sizes", rows', "is left out: a second table"),
    "figures of pyplot left open": (
        _RUN, _RUN + "        import matplotlib; matplotlib.use('agg')\n        import matplotlib.pyplot; matplotlib.pyplot.figure()\n",
        "leaves 1 figure of pyplot open",
    ),
    "settings of matplotlib changed": (
        _RUN, _RUN + "        import matplotlib; matplotlib.rcParams['font.size'] = 31\n", "leaves other settings of matplotlib: font.size"
    ),
    "a basis of no kernels": ("kernels=sum(sizes), layers", "kernels=0, layers", "says that it is of 0 kernels"),
    "another drawing each time": (
        "canvas.add_subplot()", "canvas.add_subplot(xlim=(0, __import__('random').uniform(1, 9)))", "give two results: analysis/figures"
    ),
    "files of its own": (_RUN, _RUN + "        open('sizes.txt', 'w').close()\n", "writes 'sizes.txt'"),
}  # fmt: skip
