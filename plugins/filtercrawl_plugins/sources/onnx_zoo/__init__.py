"""The source `onnx`: the ONNX model zoo, by its manifest and its exports of other zoos."""
