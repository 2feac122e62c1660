"""The one file inside a zip archive, as a push parser: blocks in, the member's bytes out, flat memory.

Format: PKWARE APPNOTE 6.3.10, sections 4.3.7 (local file header), 4.3.9 (data descriptor), 4.5.3 (zip64 extra field).
The central directory stands at the end of an archive and a stream cannot wait for it: the local headers are followed
instead, so that a second member is noticed only after the first was handed out.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Generator, Iterator

from leadstream.errors import BadRecordError

PIECE_BYTES = 262_144
MAX_PASSED_OVER_BYTES = 64 * 1024 * 1024

LOCAL_HEADER = b"PK\x03\x04"
CENTRAL_HEADER = b"PK\x01\x02"
END_RECORD = b"PK\x05\x06"
DESCRIPTOR = b"PK\x07\x08"
MAGICS = (LOCAL_HEADER, END_RECORD)

_LOCAL = struct.Struct("<2xHHHHIIIHH")
_ENCRYPTED = 0x01
_SIZES_FOLLOW = 0x08
_STORED, _DEFLATED = 0, 8
_ZIP64_EXTRA = 0x0001
_ZIP64_SIZE = 0xFFFFFFFF
_OFFICE_NAMES = ("[Content_Types].xml", "_rels/", "docProps/", "xl/", "word/", "mimetype")

_Steps = Generator[bytes | None, None, None]
_Wait = Generator[None, None, bytes]


class Unzip:
    """Push parser of a zip archive with exactly one file in it.

    Directories and ``__MACOSX`` entries are passed over. ``complete`` tells whether the central directory was reached:
    an archive that ends before it was cut off.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._buffer = bytearray()
        self._steps = self._run()
        self.complete = False

    def decode(self, block: bytes) -> Iterator[bytes]:
        """Yields what ``block`` adds to the member, in pieces of at most 256 KiB.

        Raises:
            BadRecordError: ``corrupt_archive``, ``archive_members``, ``archive_bomb``, or ``binary`` for an office
                document.
        """
        self._buffer += block
        for piece in self._steps:
            if piece is None:
                return
            yield piece

    def _run(self) -> _Steps:
        """The archive from its first to its last byte; yields a piece of the member, or None to ask for more input."""
        members = passed_over = 0
        while (signature := (yield from self._take(4))) == LOCAL_HEADER:
            flags, method, _time, _date, crc, packed, size, name_length, extra_length = _LOCAL.unpack(
                (yield from self._take(_LOCAL.size))
            )
            member = (yield from self._take(name_length)).decode("utf-8", "replace")
            extra = yield from self._take(extra_length)
            if member.startswith(_OFFICE_NAMES):
                raise BadRecordError(
                    f"{self._name}: looks like an Excel workbook or another office document, not a CSV file",
                    code="binary",
                    hint="ask the vendor for CSV",
                )
            if packed == _ZIP64_SIZE:
                packed = _zip64_packed_size(extra, size)
            wanted = not member.endswith("/") and not member.startswith("__MACOSX/")
            members += wanted
            if members > 1:
                raise self._wrong_members("more than one file")
            if flags & _ENCRYPTED:
                raise self._corrupt("the archive is locked with a password")
            if method == _DEFLATED:
                pieces = self._inflate()
            elif method == _STORED and not flags & _SIZES_FOLLOW:
                pieces = self._copy(packed)
            else:
                raise self._corrupt(f"compression method {method} cannot be read as a stream")
            crc_found = out_bytes = 0
            for piece in pieces:
                if piece is not None:
                    crc_found = zlib.crc32(piece, crc_found)
                    out_bytes += len(piece)
                    passed_over += 0 if wanted else len(piece)
                if passed_over > MAX_PASSED_OVER_BYTES:
                    raise BadRecordError(
                        f"{self._name}: the zip archive holds more than {passed_over:,} bytes beside the file",
                        code="archive_bomb",
                        hint="ask the vendor for the plain file",
                    )
                if piece is None or wanted:
                    yield piece
            if flags & _SIZES_FOLLOW:
                yield from self._check_descriptor(crc_found, out_bytes)
            elif crc != crc_found:
                raise self._corrupt("its checksum does not fit its content")
        if signature not in (CENTRAL_HEADER, END_RECORD):
            raise self._corrupt("what follows the file inside is not zip")
        if not members:
            raise self._wrong_members("no file")
        self.complete = True
        while True:
            self._buffer.clear()
            yield None

    def _take(self, count: int) -> _Wait:
        while len(self._buffer) < count:
            yield None
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def _inflate(self) -> _Steps:
        inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
        while not inflater.eof:
            while not self._buffer:
                yield None
            data = bytes(self._buffer)
            self._buffer.clear()
            while not inflater.eof:
                try:
                    piece = inflater.decompress(data, PIECE_BYTES)
                except zlib.error as exc:
                    raise self._corrupt(str(exc)) from exc
                data = inflater.unconsumed_tail
                if piece:
                    yield piece
                if not data and len(piece) < PIECE_BYTES:
                    break
        self._buffer[:0] = inflater.unused_data

    def _copy(self, count: int) -> _Steps:
        while count:
            while not self._buffer:
                yield None
            piece = bytes(self._buffer[: min(count, PIECE_BYTES)])
            del self._buffer[: len(piece)]
            count -= len(piece)
            yield piece

    def _check_descriptor(self, crc: int, size: int) -> _Steps:
        """Its signature is optional and its sizes have 4 or 8 bytes: what comes next tells which of the four it is."""
        start = yield from self._take(4)
        if start == DESCRIPTOR:
            start = yield from self._take(4)
        if start != struct.pack("<I", crc):
            raise self._corrupt("its checksum does not fit its content")
        sizes = yield from self._take(8)
        after = yield from self._take(4)
        if sizes[4:] == struct.pack("<I", size & 0xFFFFFFFF) and after in (LOCAL_HEADER, CENTRAL_HEADER):
            self._buffer[:0] = after
        elif after + (yield from self._take(4)) != struct.pack("<Q", size):
            raise self._corrupt("its length does not fit its content")

    def _corrupt(self, why: str) -> BadRecordError:
        return BadRecordError(
            f"{self._name}: the zip archive cannot be read: {why}",
            code="corrupt_archive",
            hint="ask the vendor to send the file again",
        )

    def _wrong_members(self, found: str) -> BadRecordError:
        return BadRecordError(
            f"{self._name}: the zip archive holds {found}; exactly one is expected",
            code="archive_members",
            hint="ask the vendor for one CSV file an archive",
        )


def _zip64_packed_size(extra: bytes, size: int) -> int:
    """The compressed size in the zip64 extra field; the uncompressed one stands before it when it, too, is too big."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        place = at + 4 + (8 if size == _ZIP64_SIZE else 0)
        if kind == _ZIP64_EXTRA and place + 8 <= at + 4 + length:
            packed: int = struct.unpack_from("<Q", extra, place)[0]
            return packed
        at += 4 + length
    return _ZIP64_SIZE
