"""The structure of a network from its graph: which tensors are kernels, of which convolutions, at which depth."""

from filtercrawl.extraction.architecture.build import structure_of
from filtercrawl.extraction.architecture.facts import Structure, TensorFacts
from filtercrawl.extraction.architecture.match import MatchedTensors, match_tensors
from filtercrawl.extraction.architecture.meta_device import on_meta
from filtercrawl.extraction.architecture.rows import structure_rows
from filtercrawl.extraction.architecture.trace import default_sample, trace
from filtercrawl.extraction.expert_banks import expand_banks

__all__ = [
    "MatchedTensors",
    "Structure",
    "TensorFacts",
    "default_sample",
    "expand_banks",
    "match_tensors",
    "on_meta",
    "structure_of",
    "structure_rows",
    "trace",
]
