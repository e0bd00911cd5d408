"""What authors of plugins test with: a zoo that changes, a server on loopback, and every promise that is checked.

`pytest_plugins = ["filtercrawl.testing.fixtures"]` in a conftest.py gives the fixtures; from the command line it is
`filtercrawl plugin check MODULE`.
"""

from filtercrawl.testing.check import CHECKS, Verdict, check
from filtercrawl.testing.demo import demo
from filtercrawl.testing.finding import Finding
from filtercrawl.testing.server import Asked, FileServer
from filtercrawl.testing.weights import weights
from filtercrawl.testing.zoo import FakeZoo

__all__ = ["CHECKS", "Asked", "FakeZoo", "FileServer", "Finding", "Verdict", "check", "demo", "weights"]
