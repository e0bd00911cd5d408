"""Tools for tests of plugins: a fake zoo, a local file server, and the checks of `filtercrawl plugin check`.

`pytest_plugins = ["filtercrawl.testing.pytest_fixtures"]` in a conftest.py provides the fixtures.
"""

from filtercrawl.testing.demo import demo
from filtercrawl.testing.fake_zoo import FakeZoo
from filtercrawl.testing.file_server import FileServer, RecordedRequest
from filtercrawl.testing.finding import Finding
from filtercrawl.testing.reader_sample import ExpectedTensor, ReaderSample
from filtercrawl.testing.sample_weights import sample_weights
from filtercrawl.testing.suite import CHECKS, CheckReport, check

__all__ = [
    "CHECKS",
    "CheckReport",
    "ExpectedTensor",
    "FakeZoo",
    "FileServer",
    "Finding",
    "ReaderSample",
    "RecordedRequest",
    "check",
    "demo",
    "sample_weights",
]
