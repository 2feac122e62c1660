"""Compressed objects as a stream of plain bytes: gzip, bzip2, Zstandard and zip, told by their first bytes.

Magic numbers: RFC 1952 (gzip), RFC 8878 (Zstandard), the bzip2 manual, PKWARE APPNOTE (zip). A file's name is not
asked.
"""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import zstandard

from leadstream.errors import BadRecordError
from producer import unzip
from producer.blocks import Blocks

INPUT_BLOCK_BYTES = 65_536
PIECE_BYTES = 262_144
ZSTD_STEP_BYTES = 512
"""The Zstandard binding cannot bound its output; 512 bytes of input make at most 16 MiB (RLE blocks of 128 KiB)."""
MAX_ZSTD_WINDOW_BYTES = 32 * 1024 * 1024
"""What a decoder must keep of its output; RFC 8878 recommends to support 8 MiB, `zstd` uses more from level 20 on."""
BOMB_FLOOR_BYTES = 64 * 1024 * 1024
BOMB_RATIO = 200

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_BZIP2 = b"BZh"
_BZIP2_BLOCK = b"\x31\x41\x59\x26\x53\x59"
_GZIP_WBITS = 31


class _Codec(Protocol):
    complete: bool

    def decode(self, block: bytes) -> Iterator[bytes]: ...


class _Frame(Protocol):
    """One gzip member, bzip2 stream or Zstandard frame; ``left`` is None until it has ended."""

    left: bytes | None

    def decode(self, data: bytes) -> Iterator[bytes]: ...


class Decompressor:
    """Push decompressor: ``feed`` the object's chunks, then ``finish``; both yield plain bytes in bounded pieces.

    Every iterator must be used up before the next call. ``compression`` names what was found (empty: none);
    ``truncated`` says, after ``finish``, that the compressed stream stopped before its end. The same object gives the
    same pieces and errors, however it is cut into chunks.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._blocks = Blocks(INPUT_BLOCK_BYTES)
        self._codec: _Codec | None = None
        self.compression = ""
        self.bytes_in = 0
        self.bytes_out = 0
        self.truncated = False

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """Yields what ``chunk`` adds.

        Raises:
            BadRecordError: ``corrupt_archive``, ``archive_bomb``, ``archive_members``, ``binary``.
        """
        for block in self._blocks.add(chunk):
            yield from self._decode(block)

    def finish(self) -> Iterator[bytes]:
        """Yields what is left; raises as :meth:`feed` does."""
        block = self._blocks.rest()
        if block:
            yield from self._decode(block)
        self.truncated = self._codec is not None and not self._codec.complete

    def _decode(self, block: bytes) -> Iterator[bytes]:
        if not self.bytes_in:
            self.compression, self._codec = _codec(block, self._name)
        self.bytes_in += len(block)
        if self._codec is None:
            self.bytes_out += len(block)
            yield block
            return
        try:
            for piece in self._codec.decode(block):
                self.bytes_out += len(piece)
                if self.bytes_out > max(BOMB_FLOOR_BYTES, BOMB_RATIO * self.bytes_in):
                    raise BadRecordError(
                        f"{self._name}: {self.bytes_in:,} compressed bytes make more than {self.bytes_out:,}",
                        code="archive_bomb",
                        hint="ask the vendor for the plain file",
                    )
                yield piece
        # bz2 reports damage as OSError or ValueError, depending on where it stands
        except (zlib.error, zstandard.ZstdError, OSError, ValueError) as exc:
            raise BadRecordError(
                f"{self._name}: the {self.compression} stream is damaged after {self.bytes_out:,} plain bytes: {exc}",
                code="corrupt_archive",
                hint="ask the vendor to send the file again, compressed by plain gzip, zip or zstd",
            ) from exc


class _Frames:
    """Frames that follow one another, as ``cat a.gz b.gz`` makes them; zero padding between them is passed over."""

    def __init__(self, open_frame: Callable[[], _Frame]) -> None:
        self._open_frame = open_frame
        self._frame: _Frame | None = None
        self.complete = False

    def decode(self, block: bytes) -> Iterator[bytes]:
        data: bytes | None = block
        while data:
            if self._frame is None:
                data = data.lstrip(b"\0")
                if not data:
                    return
                self._frame = self._open_frame()
                self.complete = False
            yield from self._frame.decode(data)
            data = self._frame.left
            if data is not None:
                self._frame = None
                self.complete = True


class _GzipFrame:
    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=_GZIP_WBITS)
        self.left: bytes | None = None

    def decode(self, data: bytes) -> Iterator[bytes]:
        while not self._inner.eof:
            piece = self._inner.decompress(data, PIECE_BYTES)
            data = self._inner.unconsumed_tail
            if piece:
                yield piece
            if not data and len(piece) < PIECE_BYTES:
                break
        if self._inner.eof:
            self.left = self._inner.unused_data


class _Bzip2Frame:
    def __init__(self) -> None:
        self._inner = bz2.BZ2Decompressor()
        self.left: bytes | None = None

    def decode(self, data: bytes) -> Iterator[bytes]:
        while not self._inner.eof:
            piece = self._inner.decompress(data, PIECE_BYTES)
            data = b""
            if piece:
                yield piece
            if self._inner.needs_input:
                return
        self.left = self._inner.unused_data


class _ZstdFrame:
    def __init__(self) -> None:
        self._inner = zstandard.ZstdDecompressor(max_window_size=MAX_ZSTD_WINDOW_BYTES).decompressobj()
        self.left: bytes | None = None

    def decode(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), ZSTD_STEP_BYTES):
            stop = start + ZSTD_STEP_BYTES
            piece = self._inner.decompress(data[start:stop])
            if piece:
                yield piece
            if self._inner.eof:
                self.left = self._inner.unused_data + data[stop:]
                return


def _codec(head: bytes, name: str) -> tuple[str, _Codec | None]:
    if head.startswith(_GZIP):
        return "gzip", _Frames(_GzipFrame)
    if head.startswith(_ZSTD):
        return "zstd", _Frames(_ZstdFrame)
    # "BZh" alone could open a text file: the level and the first block's (or the end's) magic must follow
    if head.startswith(_BZIP2) and head[4:10] in (_BZIP2_BLOCK, b"\x17\x72\x45\x38\x50\x90"):
        return "bzip2", _Frames(_Bzip2Frame)
    if head.startswith(unzip.MAGICS):
        return "zip", unzip.Unzip(name)
    return "", None
