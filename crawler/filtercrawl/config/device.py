"""The torch device that processes kernels."""

from __future__ import annotations

import torch

from filtercrawl.api.errors import UsageError


def select_device(name: str = "auto") -> torch.device:
    """Return a device that works on this machine.

    Args:
        name: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`; `auto` prefers CUDA to MPS to the CPU.

    Raises:
        UsageError: The device cannot be used here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"--device {name}: not usable on this machine ({reason}); try --device auto") from error
    return device
