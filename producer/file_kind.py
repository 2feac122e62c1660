"""Files that are no text tables, told by their first bytes, each with a word on what to do."""

from __future__ import annotations

import codecs

from leadstream.errors import BadRecordError

_ASK_FOR_CSV = "ask the vendor for CSV"
_MAGICS = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook"),
    (b"%PDF-", "a PDF document"),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"PAR1", "a Parquet file"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"\xfd7zXZ\0", "an xz archive"),
    (b"\x1f\x8b\x08", "an archive inside an archive"),
    (b"PK\x03\x04", "an archive inside an archive"),
    (b"{\\rtf", "an RTF document"),
)
_MARKUP = (b"<!doctype", b"<html", b"<?xml")
_PROBE_BYTES = 512


def refuse_other_kinds(head: bytes, name: str, encoding: str | None) -> None:
    """Raise when a file's first bytes (decompressed) show that it is no text table.

    Raises:
        BadRecordError: ``binary``, or ``no_table`` for web pages and XML.
    """
    for magic, kind in _MAGICS:
        if head.startswith(magic):
            raise BadRecordError(f"{name}: looks like {kind}, not a CSV file", code="binary", hint=_ASK_FOR_CSV)
    start = head[:_PROBE_BYTES].removeprefix(codecs.BOM_UTF8).lstrip().lower()
    if start.startswith(_MARKUP):
        raise BadRecordError(
            f"{name}: looks like a web page or XML, not a CSV file", code="no_table", hint=_ASK_FOR_CSV
        )
    if encoding is None and (endian := _utf16_without_mark(head[:_PROBE_BYTES])):
        raise BadRecordError(
            f"{name}: looks like UTF-16 without a byte-order mark",
            code="binary",
            hint=f"set format.encoding: utf-16-{endian} in the source's YAML",
        )


def refuse_control_characters(header_line: str, name: str, delimiter: str) -> None:
    """Raise when a header holds control characters, as the first "line" of nearly every binary file does.

    Raises:
        BadRecordError: ``binary``.
    """
    if any(character < " " and character not in "\t\r\n\v\f" + delimiter for character in header_line):
        raise BadRecordError(
            f"{name}: its first line holds control characters: not a text file", code="binary", hint=_ASK_FOR_CSV
        )


def _utf16_without_mark(head: bytes) -> str:
    """Text of mostly ASCII in UTF-16 has a zero in every second byte."""
    if len(head) < 8 or head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return ""
    even, odd = head[::2], head[1::2]
    if odd.count(0) > 0.8 * len(odd) and not even.count(0):
        return "le"
    if even.count(0) > 0.8 * len(even) and not odd.count(0):
        return "be"
    return ""
