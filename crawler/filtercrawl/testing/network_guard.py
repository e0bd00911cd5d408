"""Refuse and record connections of a plugin that bypass the transport."""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final
from unittest.mock import patch

_INTERNET: Final = (socket.AF_INET, socket.AF_INET6)


@contextmanager
def network_guard(*, loopback_only: bool, transport: bool = True) -> Iterator[list[str]]:
    """Refuse connections that bypass the transport, and yield the list of those that were attempted.

    Args:
        loopback_only: Whether the transport, too, may connect to this machine only.
        transport: False refuses connections of the transport as well.
    """
    tried: list[str] = []
    connect, connect_ex, look_up = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def check(host: str) -> None:
        if not (transport and _in_transport()):
            tried.append(host)
            raise ConnectionRefusedError(f"{host}: a plugin connects through its transport only")
        if loopback_only and not _is_loopback(host):
            tried.append(host)
            raise ConnectionRefusedError(f"{host}: a plugin that is checked may only connect to this machine")

    def checked_connect(self: socket.socket, address: Any) -> None:
        if self.family in _INTERNET:
            check(str(address[0]))
        connect(self, address)

    def checked_connect_ex(self: socket.socket, address: Any) -> int:
        if self.family in _INTERNET:
            check(str(address[0]))
        return connect_ex(self, address)

    def checked_look_up(host: Any, *args: Any, **options: Any) -> Any:
        if host is not None:
            check(host.decode() if isinstance(host, bytes) else str(host))
        return look_up(host, *args, **options)

    with (
        patch.object(socket.socket, "connect", checked_connect),
        patch.object(socket.socket, "connect_ex", checked_connect_ex),
        patch.object(socket, "getaddrinfo", checked_look_up),
    ):
        yield tried


def _in_transport() -> bool:
    """Return whether the transport is among the callers."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the only way to see who calls
    while frame is not None:
        if str(frame.f_globals.get("__name__", "")).startswith("filtercrawl.transport"):
            return True
        frame = frame.f_back
    return False


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
