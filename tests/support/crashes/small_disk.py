"""A dataset folder on a small or read-only disk, in a mount namespace that ends with the process."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

_NEW_MOUNTS: Final = 0x00020000
_NEW_USER: Final = 0x10000000
_READ_ONLY: Final = 1
_REMOUNT: Final = 32
_PRIVATE: Final = (1 << 14) | (1 << 18)
# What fills a disk; it is not there afterwards.
_FILLER: Final = ".filler"


def _call(name: str, *arguments: object) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments):
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def _own_mounts() -> None:
    """Enter a mount namespace, as root or in a user namespace."""
    user, group = os.geteuid(), os.getegid()
    _call("unshare", _NEW_MOUNTS if user == 0 else _NEW_MOUNTS | _NEW_USER)
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _call("mount", b"none", b"/", None, _PRIVATE, None)


def can_mount() -> bool:
    """Tell whether processes may mount here."""
    if (child := os.fork()) == 0:
        try:
            _own_mounts()
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def on_disk(folder: Path, kilobytes: int | None, run: Callable[[], None]) -> int:
    """Run a function in a process for which a folder is on a disk of its own; what it wrote is there afterwards.

    Args:
        folder: The folder.
        kilobytes: Space that is free there; None for a disk that is read only.
        run: What is run; its process ends with it.

    Returns:
        Its exit code.
    """
    folder.mkdir(exist_ok=True)
    before = Path(f"/proc/self/fd/{os.open(folder, os.O_RDONLY | os.O_DIRECTORY)}")
    _own_mounts()
    taken = sum(4 * -(-path.stat().st_size // 4096) + 4 for path in folder.rglob("*"))
    size = 1 << 20 if kilobytes is None else max(4, taken + kilobytes)  # 0 is no limit
    _call("mount", b"tmpfs", os.fsencode(folder), b"tmpfs", 0, f"size={size}k".encode())
    shutil.copytree(before, folder, dirs_exist_ok=True)
    if kilobytes is None:
        _call("mount", b"tmpfs", os.fsencode(folder), None, _REMOUNT | _READ_ONLY, None)
    if (child := os.fork()) == 0:
        run()
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    (folder / _FILLER).unlink(missing_ok=True)
    for path in before.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    shutil.copytree(folder, before, dirs_exist_ok=True)
    return code


def fill(folder: Path) -> None:
    """Leave no room on the disk of a folder."""
    with suppress(OSError), (folder / _FILLER).open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))
