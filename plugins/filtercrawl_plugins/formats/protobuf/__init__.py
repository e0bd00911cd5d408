"""The protobuf wire format: messages walked field by field, long fields skipped without being read.

Specification: https://protobuf.dev/programming-guides/encoding/.
"""

from filtercrawl_plugins.formats.protobuf.varint import count_varints, decode_varints
from filtercrawl_plugins.formats.protobuf.wire import ByteRange, Field, WireReader

__all__ = ["ByteRange", "Field", "WireReader", "count_varints", "decode_varints"]
