"""Bytes of a file as text lines: byte-order marks, UTF-16, and Windows-1252 as the fallback of single lines.

Lines end with LF, CRLF or a lone CR and nothing else. All byte work happens in an encoding that keeps ASCII as it is;
what does not (UTF-16 and the like) is turned into UTF-8 first, and back for the bytes of a damaged row.
"""

from __future__ import annotations

import codecs
import io
from dataclasses import dataclass

from leadstream.errors import BadRecordError, ConfigError

FALLBACK_ENCODING = "cp1252"

_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_ASCII = bytes(range(128))
_WITH_ESCAPES = ("iso2022", "unicode-escape", "raw-unicode-escape", "idna")
"""Names of codecs in which a line end may stand within what says something else."""


@dataclass(slots=True)
class Lines:
    """Physical lines, with their line ends: bytes and text, and the indexes of those that were not plain sailing."""

    raw: list[bytes]
    text: list[str]
    fallback: set[int]
    undecodable: set[int]


def count_line_ends(data: bytes) -> int | None:
    """How many lines ``data`` has if it holds nothing but line ends; else None."""
    if data.strip(b"\r\n"):
        return None
    return data.count(b"\n") + data.count(b"\r") - data.count(b"\r\n")


class Text:
    """How the bytes of one file become text; ``name`` is the encoding that was found or configured.

    ``head`` is the file's beginning (4 bytes or more, unless the file is shorter) and ``bom_length`` how many bytes
    of it are a byte-order mark, to be left out of what is given to :meth:`to_lines_encoding`.

    Raises:
        ConfigError: Python knows no encoding called ``configured``.
    """

    def __init__(self, head: bytes, configured: str | None, name: str) -> None:
        self._file = name
        mark, marked = next(((mark, found) for mark, found in _BOMS if head.startswith(mark)), (b"", ""))
        if configured is None:
            self.name = marked or "utf-8"
            self.bom_length = len(mark)
        else:
            self.name = _known_codec(configured)
            if self.name in ("utf-16", "utf-32"):
                self.name = marked if marked.startswith(self.name) else f"{self.name}-le"
            same = bool(marked) and self.name in (marked, marked.removesuffix("-sig"))
            self.bom_length = len(mark) if same else 0
        self._may_fall_back = configured is None and self.name in ("utf-8", "utf-8-sig")
        self.expected = f"{self.name} or {FALLBACK_ENCODING}" if self._may_fall_back else self.name
        self._decoder: codecs.IncrementalDecoder | None = None
        self._codec = "utf-8" if self.name == "utf-8-sig" else self.name
        self._errors = "surrogatepass" if self.name.startswith(("utf-16", "utf-32")) else "surrogateescape"
        if not _keeps_ascii(self._codec):
            self._decoder = codecs.getincrementaldecoder(self.name)(self._errors)
            self._codec = "utf-8"

    def to_lines_encoding(self, block: bytes, *, final: bool) -> tuple[bytes, bool]:
        """The next block in an encoding that keeps ASCII, and whether the file ended inside a character.

        Raises:
            BadRecordError: ``undecodable``: the file is not in the encoding at all.
        """
        if self._decoder is None:
            return block, False
        try:
            text = self._decoder.decode(block)
        except UnicodeError as exc:
            raise BadRecordError(
                f"{self._file}: the bytes are not {self.name}: {exc.__class__.__name__}",
                code="undecodable",
                hint="correct or remove the encoding in the source's format",
            ) from exc
        half_character = final and bool(self._decoder.getstate()[0])
        return text.encode("utf-8", "surrogatepass"), half_character

    def own_bytes(self, data: bytes) -> bytes:
        """The file's own bytes of ``data``, which came out of :meth:`to_lines_encoding`.

        A last character that is not whole is left out. Of an encoding that cannot write what it read, the text is given
        in UTF-8.
        """
        if self._decoder is None:
            return data
        try:
            text = data.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as exc:  # the head of a line that is too long ends anywhere
            text = data[: exc.start].decode("utf-8", "surrogatepass")
        try:
            return text.encode(self.name, self._errors)
        except UnicodeError:
            return text.encode("utf-8", "surrogatepass")

    def decode(self, data: bytes) -> Lines:
        """``data`` (whole lines) as text; a line that cannot be decoded gets replacement characters and is named so."""
        raw = data.splitlines(keepends=True)
        try:
            text = data.decode(self._codec)
        except UnicodeDecodeError:
            return self._decode_singly(raw)
        lines = text.splitlines(keepends=True)
        if len(lines) != len(raw):  # a text ends lines at more characters than bytes do, which are no line ends in CSV
            lines = io.StringIO(text, newline="").readlines()
        return Lines(raw, lines, set(), set())

    def _decode_singly(self, raw: list[bytes]) -> Lines:
        lines = Lines(raw, [], set(), set())
        for index, line in enumerate(raw):
            try:
                text = line.decode(self._codec)
            except UnicodeDecodeError:
                text = self._decode_otherwise(line, index, lines)
            lines.text.append(text)
        return lines

    def _decode_otherwise(self, line: bytes, index: int, lines: Lines) -> str:
        if self._may_fall_back:
            try:
                text = line.decode(FALLBACK_ENCODING)
                lines.fallback.add(index)
                return text
            except UnicodeDecodeError:
                lines.undecodable.add(index)
                return line.decode(FALLBACK_ENCODING, "replace")
        lines.undecodable.add(index)
        return line.decode(self._codec, "replace")


def _known_codec(configured: str) -> str:
    try:
        return codecs.lookup(configured).name
    except LookupError as exc:
        raise ConfigError(
            f"format.encoding {configured!r} is not known", hint="use a name such as utf-8 or windows-1252"
        ) from exc


def _keeps_ascii(codec: str) -> bool:
    if codec.startswith(_WITH_ESCAPES):
        return False
    try:
        return _ASCII.decode(codec).encode() == _ASCII
    except UnicodeError:
        return False
