"""How the graph uses each tensor: convolution, depth, quantization."""
