"""Parsers of untrusted container formats: pickle streams, protobuf messages and zip archives, read by byte range."""
