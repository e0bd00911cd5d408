"""Whole networks of timm: merged and standardized kernels are the library's own."""

from __future__ import annotations

import pytest
import timm

from filtercrawl.extraction.architecture import on_meta, trace
from support.effective_comparison import merged, standardized

MERGING = [
    "efficientvim_m1", "fastvit_t8", "ghostnetv3_050", "iformer_t", "lcnetv2_base", "mobileone_s0", "repghostnet_050",
    "repvgg_a0", "repvit_m0_9", "repvit_m1", "shvit_s1",
]  # fmt: skip
STANDARDIZED = ["test_nfnet", "resnetv2_50x1_bit"]


def some(names):
    return [names[0], *(pytest.param(name, marks=pytest.mark.exhaustive) for name in names[1:])]


def structure_of(name):
    return trace(on_meta(lambda: timm.create_model(name)))


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", some(MERGING))
def test_merged_kernels_are_those_of_the_library(name):
    row = merged(name, structure_of(name))
    assert row["blocks"] > 0
    assert row["kernels"] >= row["blocks"] / 2
    assert max(row["error_built"], row["error_names"]) < 1e-6


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", some(STANDARDIZED))
def test_standardized_kernels_are_those_of_the_library(name):
    row = standardized(name, structure_of(name))
    assert row["kernels"] > 0
    assert row["error"] < 1e-6
