"""Parsers of untrusted containers: pickle, protobuf, zip."""
