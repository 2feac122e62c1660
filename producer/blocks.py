"""A byte stream cut anew into blocks of one size, so that nothing downstream depends on how it arrived."""

from __future__ import annotations

from collections.abc import Iterator


class Blocks:
    """Collects chunks of any size and hands out blocks of exactly ``size`` bytes; the last one may be shorter."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._parts: list[bytes] = []
        self._held = 0

    def add(self, chunk: bytes) -> Iterator[bytes]:
        """Take in a chunk; yields the blocks that are full now."""
        self._parts.append(chunk)
        self._held += len(chunk)
        if self._held < self._size:
            return
        data = b"".join(self._parts)
        full = len(data) - len(data) % self._size
        self._parts = [data[full:]]
        self._held = len(data) - full
        for start in range(0, full, self._size):
            yield data[start : start + self._size]

    def rest(self) -> bytes:
        """What is left when the stream has ended."""
        return b"".join(self._parts)
