"""What authors of plugins test with: a zoo that changes, a server on loopback, and every promise that is checked.

`pytest_plugins = ["filtercrawl.testing.pytest_fixtures"]` in a conftest.py gives the fixtures;
from the command line it is `filtercrawl plugin check MODULE`.
"""

from filtercrawl.testing.demo import demo
from filtercrawl.testing.fake_zoo import FakeZoo
from filtercrawl.testing.file_server import FileServer, RecordedRequest
from filtercrawl.testing.finding import Finding
from filtercrawl.testing.sample_weights import sample_weights
from filtercrawl.testing.suite import CHECKS, CheckReport, check

__all__ = [
    "CHECKS",
    "CheckReport",
    "FakeZoo",
    "FileServer",
    "Finding",
    "RecordedRequest",
    "check",
    "demo",
    "sample_weights",
]
