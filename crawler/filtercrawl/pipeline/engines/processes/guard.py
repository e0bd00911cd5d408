"""Refuse what reading a checkpoint never needs: starting processes, writing elsewhere, and the network for local files.

The interpreter reports such actions to audit hooks before it carries them out. The hook sees what Python code does; C
code that is taken over by a file could do the same without it. It is a second wall behind readers that run no code.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from filtercrawl.api.errors import UnsafeFileError

_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_PROCESS_EVENTS: Final = frozenset({
    "os.exec", "os.fork", "os.forkpty", "os.killpg", "os.posix_spawn", "os.spawn", "os.startfile", "os.system",
    "pty.spawn", "subprocess.Popen",
})  # fmt: skip
_NETWORK_EVENTS: Final = frozenset({
    "socket.bind", "socket.connect", "socket.getaddrinfo", "socket.gethostbyaddr", "socket.gethostbyname",
    "socket.sendmsg", "socket.sendto",
})  # fmt: skip
# Events of changes to files, and where among their arguments the paths are, and the folders that those are relative to.
_FILE_EVENTS: Final[Mapping[str, tuple[tuple[int, int | None], ...]]] = {
    "os.chmod": ((0, 2),),
    "os.chown": ((0, 3),),
    "os.link": ((1, 3),),
    "os.mkdir": ((0, 2),),
    "os.remove": ((0, 1),),
    "os.rename": ((0, 2), (1, 3)),
    "os.rmdir": ((0, 1),),
    "os.symlink": ((1, 2),),
    "os.truncate": ((0, None),),
}


class RefusedActionError(UnsafeFileError, PermissionError):
    """Code that read a checkpoint tried what no reader needs.

    It is an OSError, too, so that a library that can do without, such as without a cache of its own, does.
    """


class Guard:
    """An audit hook of a worker process.

    Args:
        writable: Folders in which files may be written.

    Attributes:
        network: Whether connections may be opened.
    """

    def __init__(self, writable: Iterable[Path | str]) -> None:
        self.network = True
        self._writable = tuple(os.path.realpath(folder) for folder in writable)

    def install(self) -> None:
        """Watch this process until it ends; there is no way back."""
        sys.dont_write_bytecode = True  # imports would write beside modules
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Look at one event.

        Raises:
            RefusedActionError: It is not allowed.
        """
        if event == "open":
            path, _, flags = arguments
            if flags & _WRITING:
                self._require_writable(path)
        elif event in _FILE_EVENTS:
            for position, folder in _FILE_EVENTS[event]:
                self._require_writable(arguments[position], -1 if folder is None else arguments[folder])
        elif event in _PROCESS_EVENTS or (event == "os.kill" and arguments[0] != os.getpid()):
            raise RefusedActionError(f"code tried to reach another process ({event}) while the file was read; refused")
        elif event in _NETWORK_EVENTS and not self.network:
            raise RefusedActionError(
                f"code tried to use the network ({event}) while a file of this machine was read; refused"
            )

    def _require_writable(self, path: Any, folder: int = -1) -> None:
        if isinstance(path, int):  # an open file, looked at when it was opened
            return
        text = os.fsdecode(path)
        if folder >= 0 and sys.platform == "linux":
            text = os.path.join(f"/proc/self/fd/{folder}", text)  # noqa: PTH118 - no path object: the hook runs often
        target = os.path.realpath(text)
        if target == os.devnull or any(target == root or target.startswith(root + os.sep) for root in self._writable):
            return
        raise RefusedActionError(f"code tried to write {target} while the file was read; refused")
