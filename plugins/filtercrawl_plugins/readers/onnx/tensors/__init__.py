"""Numbers of ONNX tensors: their element types and where they are stored."""
