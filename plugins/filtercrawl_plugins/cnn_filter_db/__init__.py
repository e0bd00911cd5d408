"""Published files of CNN Filter DB (arXiv 2203.15331): a source of their models, and the reader of one model."""

from __future__ import annotations

from collections.abc import Iterator

from filtercrawl.api.hookspecs import hookimpl
from filtercrawl.api.source import Reader, Source
from filtercrawl_plugins.cnn_filter_db.reader import CnnFilterDbReader
from filtercrawl_plugins.cnn_filter_db.source import CnnFilterDbSource


@hookimpl
def filtercrawl_sources() -> Iterator[Source]:
    yield CnnFilterDbSource()


@hookimpl
def filtercrawl_readers() -> Iterator[Reader]:
    yield CnnFilterDbReader()
