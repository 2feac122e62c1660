"""What docs/broken-files.md says of every kind of broken or hostile file, at the splitter."""

from __future__ import annotations

import json
import re
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import zstandard

from leadstream.errors import BadRecordError
from producer.header import MAX_COLUMNS, MAX_HEADER_BYTES
from producer.splitter import Damaged, FormatOptions, Splitter
from tests.system import ROOT
from tests.unit.splitting import SMALL, SMALL_ROWS, code_of, compressed, damage_of, names_of, rows_of, split, zipped

MEMORY_BYTES = 120 * 1024 * 1024
"""What a process may grow by while it splits any file; the splitter takes far less, Python keeps some more."""
GIGABYTE = 1024
"""In megabytes."""
PAGE = ROOT / "docs" / "broken-files.md"


def streamed(name: str, size: int | Path) -> dict[str, Any]:
    """What came of an endless file (``size`` in megabytes) or of an archive in a process of its own."""
    command = [sys.executable, "-m", "tests.unit.hostile_streams", name, str(size)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    assert result.pop("grown_bytes") < MEMORY_BYTES, done.stdout
    return result


# --- memory ---------------------------------------------------------------------------------------------------------


def test_a_gigabyte_without_a_line_end_is_one_damaged_row() -> None:
    """The rows after it are read, and memory stays flat."""
    assert streamed("endless_line", GIGABYTE) == {"code": "", "rows": 2, "damaged": 1}


def test_a_quote_that_stays_open_for_megabytes_costs_lines_and_no_memory() -> None:
    """Each line inside is damage of its own, and the rows after them are read."""
    result = streamed("endless_quoted_cell", 24)
    assert (result["code"], result["rows"]) == ("", 2)
    assert result["damaged"] == 24 * 256


@pytest.mark.long
def test_a_quote_that_stays_open_for_a_gigabyte_costs_lines_and_no_memory() -> None:
    """As above, with a gigabyte."""
    assert streamed("endless_quoted_cell", GIGABYTE) == {"code": "", "rows": 2, "damaged": GIGABYTE * 256}


@pytest.mark.parametrize("name", ["endless_header", "nul_bytes"])
def test_a_gigabyte_that_is_no_table_is_refused_at_its_beginning(name: str) -> None:
    """No more of it is read than a row may be long."""
    assert streamed(name, GIGABYTE)["code"] in ("no_table", "binary")


def test_a_header_with_an_open_quote_is_what_its_own_line_says() -> None:
    """The rows under it have another width: damage, no memory."""
    result = streamed("open_header", 2)
    assert (result["code"], result["rows"]) in (("", 0), ("no_table", 0))


def test_megabytes_of_blank_lines_before_a_table_are_passed_over() -> None:
    """In time that grows with them."""
    assert streamed("blank_lines", 16) == {"code": "", "rows": 2, "damaged": 0}


def test_a_file_of_damage_alone_takes_no_memory() -> None:
    """Half a million damaged rows, each an event of its own."""
    assert streamed("damaged_lines", 1) == {"code": "", "rows": 102, "damaged": 512 * 1024}


def test_runaway_quotes_in_a_wide_table_cost_a_bounded_time() -> None:
    """Each line could be the first of a row of 4,000 lines: at some point every line is taken for itself."""
    result = streamed("runaway_quotes", 1)
    assert (result["code"], result["rows"]) == ("", 0)
    assert result["damaged"] == 1024 * 1024 // 5


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "zstd", "zip", "hidden in zip"])
def test_a_bomb_is_stopped_before_it_takes_memory(compression: str, tmp_path: Path) -> None:
    """In every compression, and hidden beside the file in a zip archive: 80 MB of line ends."""
    bomb = SMALL + b"\n" * 80_000_000
    members = {"__MACOSX/._a.csv": bomb, "a.csv": SMALL}
    archive = zipped(members) if compression == "hidden in zip" else compressed(bomb, compression)
    (tmp_path / "bomb").write_bytes(archive)
    assert streamed("archive", tmp_path / "bomb")["code"] == "archive_bomb"


def test_a_zstandard_frame_that_asks_for_much_memory_is_refused() -> None:
    """A decoder has to keep as much as the frame says, here 128 MiB."""
    wide = zstandard.ZstdCompressionParameters.from_level(1, window_log=27)
    compressor = zstandard.ZstdCompressor(compression_params=wide).compressobj()
    assert code_of(compressor.compress(SMALL) + compressor.flush()) == "corrupt_archive"


# --- headers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["c", "a very long name "])
def test_a_header_of_too_many_columns_is_refused(name: str) -> None:
    """A million of them: no schema could be registered for it. The names are never made unique."""
    for count in (MAX_COLUMNS + 1, 40_000, 1_000_000):
        data = b",".join([name.encode()] * count) + b"\n" + b"1," * (count - 1) + b"1\n"
        assert code_of(data) == "no_table"


def test_a_header_of_the_most_columns_is_read() -> None:
    """4,096 columns of one name: each gets a name of its own, in time that grows with them."""
    header = b",".join([b"Name"] * MAX_COLUMNS)
    events, _ = split(header + b"\n" + b"1," * (MAX_COLUMNS - 1) + b"2\n")
    names = names_of(events)
    assert (len(set(names)), names[0], names[1], names[-1]) == (MAX_COLUMNS, "Name", "Name_2", f"Name_{MAX_COLUMNS}")
    assert len(rows_of(events)) == 1


def test_a_header_of_too_many_bytes_is_refused() -> None:
    """Its schema would be several times as large."""
    assert code_of(b"a," + b"b" * MAX_HEADER_BYTES + b"\n1,2\n") == "no_table"


@pytest.mark.parametrize("header", [b"Na\0me,City", b"N\x01ame,City"])
def test_a_header_with_control_characters_is_no_text(header: bytes) -> None:
    """Such as the first "line" of a binary file."""
    assert code_of(header + b"\nBlue,Reno\n") == "binary"


def test_a_header_that_is_not_utf8_is_windows_text_or_refused() -> None:
    """As a row is; a configured encoding is never left."""
    assert names_of(split(b"Name,Stra\xdfe\nBlue,Elm\n")[0]) == ["Name", "Straße"]
    assert code_of(b"Name,Stra\x81e\nBlue,Elm\n") == "undecodable"
    assert code_of(b"Name,Stra\xdfe\nBlue,Elm\n", FormatOptions(encoding="utf-8")) == "undecodable"


# --- encodings ------------------------------------------------------------------------------------------------------


def test_utf32_is_no_text_unless_it_is_configured() -> None:
    """Its mark begins as that of UTF-16 does."""
    data = "Name,City\nBlue,Reno\n".encode("utf-32")
    assert code_of(data) == "binary"
    assert rows_of(split(data, FormatOptions(encoding="utf-32"))[0]) == [["Blue", "Reno"]]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be"])
def test_a_line_of_utf16_that_is_too_long_is_one_damaged_row(encoding: str) -> None:
    """Its first bytes are kept, wherever in a character they end."""
    for limit in range(24, 32):
        text = "\ufeff" * (encoding != "utf-16") + "a,b\n1," + "日\U0001f600" * 20 + "\n3,4\n"
        events, _ = split(text.encode(encoding), max_row_bytes=limit)
        (damaged,) = damage_of(events)
        assert damaged.code == "row_too_long"
        assert text.encode(encoding).find(damaged.raw) > 0
        assert rows_of(events) == [["3", "4"]]


def test_a_multibyte_encoding_keeps_its_rows_and_damages_one() -> None:
    """Shift JIS, whose second bytes look like letters, bars and backslashes."""
    text = "名前|市\n表ソ|能\n"
    events, _ = split(text.encode("shift_jis") + b"\x81\xff|x\n", FormatOptions(delimiter="|", encoding="shift_jis"))
    assert rows_of(events) == [["表ソ", "能"]]
    assert [damaged.code for damaged in damage_of(events)] == ["undecodable"]


# --- archives -------------------------------------------------------------------------------------------------------


def test_a_path_in_a_zip_archive_goes_nowhere() -> None:
    """Members are read, never written: a path that leaves its folder is a name and nothing else."""
    assert rows_of(split(zipped({"../../etc/passwd": SMALL}))[0]) == SMALL_ROWS
    assert rows_of(split(zipped({"/a/b/c.csv": SMALL}))[0]) == SMALL_ROWS


def test_a_zip_archive_with_a_password_is_refused() -> None:
    """The message says so."""
    archive = bytearray(zipped({"a.csv": SMALL}))
    (flags,) = struct.unpack_from("<H", archive, 6)
    struct.pack_into("<H", archive, 6, flags | 1)
    with pytest.raises(BadRecordError, match="password") as caught:
        split(bytes(archive))
    assert caught.value.code == "corrupt_archive"


def test_a_zip_archive_with_a_second_file_after_a_long_first_is_refused() -> None:
    """Its rows were given out before the second file was seen: the load fails, and no lead is deleted by it."""
    archive = zipped({"a.csv": SMALL * 20_000, "b.csv": SMALL})
    splitter = Splitter(name="a.csv")
    with pytest.raises(BadRecordError) as caught:
        for _event in (*splitter.feed(archive), *splitter.finish()):
            pass
    assert caught.value.code == "archive_members"


def test_every_way_to_cut_a_small_archive_ends_in_rows_or_a_clear_error() -> None:
    """Cut at every byte: no row is invented, what is read is a beginning of what was written."""
    for archive in (zipped({"a.csv": SMALL}), zipped({"a.csv": SMALL}, stream=True, method=zipfile.ZIP_DEFLATED)):
        for at in range(1, len(archive)):
            try:
                events, summary = split(archive[:at])
            except BadRecordError as exc:
                assert exc.code in ("corrupt_archive", "binary", "no_table", "empty", "header_only"), (at, exc)
                continue
            assert rows_of(events) == SMALL_ROWS[: summary.rows]
            assert summary.cut_off or rows_of(events) == SMALL_ROWS


def test_every_flipped_byte_of_an_archive_ends_in_its_rows_or_a_clear_error() -> None:
    """A checksum guards what is inside; where none does (the header of the archive), the rows are right."""
    archive = zipped({"a.csv": SMALL})
    for at in range(len(archive)):
        broken = archive[:at] + bytes([archive[at] ^ 0xFF]) + archive[at + 1 :]
        try:
            events, _ = split(broken)
        except BadRecordError:
            continue
        rows = [event for event in events[1:] if not isinstance(event, Damaged)]
        assert len(rows) <= 2 and all(row in rows_of(events) for row in SMALL_ROWS[: len(rows)])


# --- the page -------------------------------------------------------------------------------------------------------


def test_every_line_of_the_page_names_a_test_that_is_there() -> None:
    """docs/broken-files.md promises nothing that is not tested."""
    tests = "".join(file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("|") and "---" not in line]
    promises = [line for line in rows if not line.startswith("| a file")]
    assert len(promises) > 20
    for line in promises:
        names = re.findall(r"`(test_\w+)`", line)
        assert names, line
        for name in names:
            assert f"def {name}(" in tests, name
