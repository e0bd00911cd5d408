"""The budget of requests and bytes that all workers of a run share."""

from __future__ import annotations


class Budget:
    """Counts what workers send and receive.

    Args:
        max_requests: Requests that may still be sent; None for no limit.
        max_bytes: Bytes that may still be received; None for no limit.
    """

    def __init__(self, max_requests: int | None, max_bytes: int | None) -> None:
        self._requests_left = max_requests
        self._bytes_left = max_bytes

    def admit(self, n_bytes: int) -> bool:
        """Tell whether one more request may be sent.

        Args:
            n_bytes: Bytes that the process has received since it asked last.
        """
        if self._bytes_left is not None:
            self._bytes_left -= n_bytes
        if self._requests_left == 0 or (self._bytes_left is not None and self._bytes_left <= 0):
            return False
        if self._requests_left is not None:
            self._requests_left -= 1
        return True
