"""Structure of an ONNX model: `parse` builds the records of `types`, the other modules answer questions about them."""
