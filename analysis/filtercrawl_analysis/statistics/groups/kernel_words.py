"""Names of kernel sizes in sentences."""

from __future__ import annotations


def kernel_phrase(kernel: str) -> str:
    """Return kernels of a size in words: `3x3 kernels`; `1-D kernels of 3 taps` for one axis, so no count is read."""
    return f"{kernel} kernels" if "x" in kernel else f"1-D kernels of {kernel} tap{'s' * (kernel != '1')}"


def size_phrase(kernel: str) -> str:
    """Return a kernel size in words: `3x3`; `3 taps (1-D)` for one axis."""
    return kernel if "x" in kernel else f"{kernel} tap{'s' * (kernel != '1')} (1-D)"
