"""The structure of a network from its graph: which tensors are kernels, of which convolutions, how deep."""

from filtercrawl.structure.build import structure_of
from filtercrawl.structure.facts import Facts, Structure
from filtercrawl.structure.match import Applied, apply, expand_banks
from filtercrawl.structure.rows import structure_rows
from filtercrawl.structure.skeleton import on_meta
from filtercrawl.structure.trace import default_sample, trace

__all__ = [
    "Applied",
    "Facts",
    "Structure",
    "apply",
    "default_sample",
    "expand_banks",
    "on_meta",
    "structure_of",
    "structure_rows",
    "trace",
]
