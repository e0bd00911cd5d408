"""What the graph uses each tensor for: convolutions with their attributes, depth and quantization, or another role."""
