"""A pickle interpreter that returns plain data: it imports nothing and calls nothing that a pickle names.

Flow: `unpickle` reads opcodes through a `Cursor`, the `Machine` holds stack and memo, the handlers in `literal_opcodes`
and `object_opcodes` push plain values and the classes of `objects`, and `reduce` decides what a call becomes.
"""

from filtercrawl_plugins.formats.pickle.cursor import Cursor
from filtercrawl_plugins.formats.pickle.unpickle import Unpickled, unpickle

__all__ = ["Cursor", "Unpickled", "unpickle"]
