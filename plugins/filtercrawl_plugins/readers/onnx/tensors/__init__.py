"""Where the numbers of ONNX tensors are stored."""
