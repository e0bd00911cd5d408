"""The form of kernels: Gabor and difference-of-Gaussians fits, named forms of depthwise kernels, and first layers."""
