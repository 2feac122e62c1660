"""Whole files: what is no table is refused with a name, and every compression is read as a stream."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import zipfile
from collections.abc import Callable

import pytest
import zstandard

from leadstream.errors import BadRecordError
from producer.splitter import Splitter
from tests.unit.splitting import COMPRESSIONS, SMALL, SMALL_ROWS, code_of, compressed, many_rows, rows_of, split, zipped

# --- whole files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"\n\r\n \n", codecs.BOM_UTF8, gzip.compress(b""), b",,,\n,,\n"])
def test_a_file_without_content_is_empty(data: bytes) -> None:
    """Zero bytes, blank lines, or rows of empty cells."""
    assert code_of(data) == "empty"


@pytest.mark.parametrize("data", [b"Name,City", b"Name,City\r\n\r\n,\r\n"])
def test_a_header_without_rows_is_refused(data: bytes) -> None:
    """A complete refresh of nothing would delete everything."""
    assert code_of(data) == "header_only"


@pytest.mark.parametrize(
    "data",
    [
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0",
        b"\x7fELF\x02\x01\x01,\0\0\nxx,yy\n",
        zipped({"[Content_Types].xml": b"<Types/>", "xl/workbook.xml": b"<workbook/>"}),
        gzip.compress(gzip.compress(SMALL)),
    ],
)
def test_files_that_are_no_text_are_named(data: bytes) -> None:
    """Pictures, documents, workbooks, programs, archives in archives."""
    assert code_of(data) == "binary"


@pytest.mark.parametrize(
    "data",
    [
        b"Name\nBlue\nRed\n",
        b"<!DOCTYPE html>\n<html><body>Not found, sorry</body></html>",
        b"Providers, as of May\n" + b"1,2,3\n" * 20,
        b"x" * 2_000_000,
    ],
)
def test_text_that_is_no_table_is_refused(data: bytes) -> None:
    """No delimiter, a web page, a title line that no row fits, one endless line."""
    assert code_of(data) == "no_table"


def test_a_header_of_unknown_bytes_asks_for_the_encoding() -> None:
    """The mapping would not know its columns."""
    assert code_of(b"N\x81me,City\nBlue,Reno\n") == "undecodable"


# --- compression ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_compression_is_told_by_the_bytes(compression: str) -> None:
    """The name has no say, and the sizes are both told."""
    archive = compressed(SMALL, compression)
    events, summary = split(archive)
    assert rows_of(events) == SMALL_ROWS
    assert (summary.compression, summary.bytes_in, summary.bytes_out) == (compression, len(archive), len(SMALL))
    assert not summary.cut_off


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, zstandard.compress])
def test_members_that_follow_one_another_are_one_file(compress: Callable[[bytes], bytes]) -> None:
    """As ``cat a.gz b.gz`` makes it, with and without zero padding."""
    events, summary = split(compress(SMALL[:30]) + compress(SMALL[30:]) + b"\0" * 512)
    assert rows_of(events) == SMALL_ROWS
    assert not summary.cut_off


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_zip_archives_of_other_writers_are_read(stream: bool, method: int) -> None:
    """With directories and macOS files beside, sizes before or after the data, stored or deflated."""
    members = {"data/": b"", "__MACOSX/data/._a.csv": b"\0\1", "data/a.csv": SMALL}
    if stream and method == zipfile.ZIP_STORED:
        assert code_of(zipped(members, stream=True, method=method)) == "corrupt_archive"
        return
    events, summary = split(zipped(members, stream=stream, method=method))
    assert rows_of(events) == SMALL_ROWS
    assert not summary.cut_off


def test_zip64_sizes_are_read() -> None:
    """Writers that do not know the size beforehand reserve 8 bytes for it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, archive.open("a.csv", "w", force_zip64=True) as file:
        file.write(SMALL)
    assert rows_of(split(buffer.getvalue())[0]) == SMALL_ROWS


@pytest.mark.parametrize("members", [{}, {"data/": b""}, {"a.csv": SMALL, "b.csv": SMALL}])
def test_a_zip_archive_holds_exactly_one_file(members: dict[str, bytes]) -> None:
    """None or two are refused."""
    assert code_of(zipped(members)) == "archive_members"


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "zstd", "zip"])
def test_a_damaged_archive_is_refused(compression: str) -> None:
    """Flipped bytes in its middle."""
    archive = bytearray(compressed(many_rows(20_000), compression))
    middle = len(archive) // 2
    archive[middle : middle + 200] = bytes(255 - byte for byte in archive[middle : middle + 200])
    assert code_of(bytes(archive)) == "corrupt_archive"


def test_an_archive_that_ends_before_its_first_row_is_refused() -> None:
    """There is nothing to save."""
    assert code_of(bz2.compress(SMALL)[:40]) == "corrupt_archive"


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, zstandard.compress])
def test_an_archive_bomb_is_stopped(compress: Callable[[bytes], bytes]) -> None:
    """More than 200 times its size beyond 64 MiB is no lead list."""
    bomb = compress(b"a,b\n1,2\n" + b" " * 80_000_000)
    splitter = Splitter(name="a.csv")
    with pytest.raises(BadRecordError) as caught:
        for _event in (*splitter.feed(bomb), *splitter.finish()):
            pass
    assert caught.value.code == "archive_bomb"
