"""The ONNX model zoo."""
