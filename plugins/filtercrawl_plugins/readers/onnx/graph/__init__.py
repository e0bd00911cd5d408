"""The ONNX graph: parsing, names, scopes, operators."""
