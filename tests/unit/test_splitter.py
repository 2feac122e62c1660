"""The splitter: headers, encodings and rows as written; every kind of damage costs one row."""

from __future__ import annotations

import codecs
import gzip
import tracemalloc

import pytest

from leadstream.errors import ConfigError
from producer import splitter as splitter_module
from producer.split_events import singly
from producer.splitter import FormatOptions, Header, Row, Rows, Splitter
from tests.system import VENDOR_DATA
from tests.unit.splitting import SMALL, SMALL_ROWS, code_of, compressed, damage_of, many_rows, names_of, rows_of, split

# --- header ---------------------------------------------------------------------------------------------------------


def test_the_header_comes_first_with_cleaned_unique_names() -> None:
    """Empty headers are numbered, repeated ones counted, the vendor's own never taken; fields are Avro-safe."""
    events, _ = split(codecs.BOM_UTF8 + b'" Phone# ",,Phone,Phone,Phone_2,2nd #,Stra\xc3\x9fe,#\n1,2,3,4,5,6,7,8\n')
    header = events[0]
    assert isinstance(header, Header)
    assert [column.name for column in header.columns] == [
        "Phone#", "column_2", "Phone", "Phone_3", "Phone_2", "2nd #", "Straße", "#",
    ]  # fmt: skip
    assert [column.field for column in header.columns] == [
        "Phone", "column_2", "Phone_4", "Phone_3", "Phone_2", "_2nd", "Strae", "column_8",
    ]  # fmt: skip
    assert header.line_number == 1


def test_lines_before_the_header_are_skipped_and_counted() -> None:
    """``skip_lines`` are physical lines; blank lines after them are passed over; line numbers stay the file's."""
    events, summary = split(
        b"A report, of May\r\n\r\n\r\n,,\r\nName,City\r\nBlue,Reno\r\n", FormatOptions(skip_lines=2)
    )
    assert events[0].line_number == 5
    assert events[1] == Row(["Blue", "Reno"], 1, 6)
    assert summary.lines == 6


def test_a_header_cell_may_hold_a_line_break() -> None:
    """A quoted line break in the header is part of the name."""
    events, _ = split(b'Name,"City\nand ZIP"\nBlue,Reno\n')
    assert names_of(events) == ["Name", "City\nand ZIP"]
    assert events[1] == Row(["Blue", "Reno"], 1, 3)


def test_a_quote_never_closed_in_the_header_does_not_swallow_the_rows() -> None:
    """The header is then what stands on its own line."""
    events, _ = split(b'Name,"City\nBlue,Reno\nRed,"Elko"\n')
    assert names_of(events) == ["Name", "City"]
    assert rows_of(events) == [["Blue", "Reno"], ["Red", "Elko"]]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(delimiter: str) -> None:
    """Each of the four delimiters is found, though cells hold the others."""
    lines = [["Name", "City", "Note"], ["Blue", "Reno", "a b"], ["Red", "Elko", '"x, y; z | w"']]
    events, summary = split("\n".join(delimiter.join(line) for line in lines).encode())
    assert summary.delimiter == delimiter
    assert rows_of(events) == [["Blue", "Reno", "a b"], ["Red", "Elko", "x, y; z | w"]]


def test_a_configured_format_is_taken_as_it_is() -> None:
    """Delimiter, quote character and encoding that are configured are not guessed; one column is then legal."""
    options = FormatOptions(delimiter="~", quotechar="'", encoding="cp437")
    events, summary = split("Name\n'Caf\u00e9 ~ 1'\n".encode("cp437"), options)
    assert rows_of(events) == [["Café ~ 1"]]
    assert (summary.delimiter, summary.encoding, summary.fallback_rows) == ("~", "cp437", 0)


@pytest.mark.parametrize(("delimiter", "quotechar"), [("", None), ("||", None), (None, "\n")])
def test_a_format_that_cannot_be_is_a_setting_error(delimiter: str | None, quotechar: str | None) -> None:
    """Delimiter and quote character are one character each."""
    with pytest.raises(ConfigError):
        FormatOptions(delimiter=delimiter, quotechar=quotechar)


def test_an_unknown_encoding_is_a_setting_error() -> None:
    """The message names the encoding."""
    with pytest.raises(ConfigError, match="klingon"):
        split(SMALL, FormatOptions(encoding="klingon"))


# --- good rows ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_every_line_end_parts_rows(line_end: str) -> None:
    """LF, CRLF and a lone CR end a line; the last line needs none."""
    events, summary = split(SMALL.rstrip().replace(b"\n", line_end.encode()))
    assert events[1:] == [Row(SMALL_ROWS[0], 1, 2), Row(SMALL_ROWS[1], 2, 3)]
    assert (summary.rows, summary.lines, summary.cut_off) == (2, 3, False)


def test_mixed_line_ends_and_blank_lines_keep_the_line_numbers_right() -> None:
    """Blank lines are no rows but are lines."""
    events, summary = split(b"a,b\r\n1,2\r3,4\n\n\r\n \n5,6\r\r7,8")
    assert [(row.row_number, row.line_number) for row in events if isinstance(row, Row)] == [
        (1, 2),
        (2, 3),
        (3, 7),
        (4, 9),
    ]
    assert (summary.rows, summary.damaged, summary.blank_rows, summary.lines) == (4, 0, 0, 9)


def test_rows_of_empty_cells_are_skipped_and_counted() -> None:
    """Spreadsheets trail rows of delimiters, of any width; they take no row number."""
    events, summary = split(b"a,b,c\n1,2,3\n,,\n,,,,,\n4,5,6\n,,\n")
    assert events[1:] == [Row(["1", "2", "3"], 1, 2), Row(["4", "5", "6"], 2, 5)]
    assert (summary.rows, summary.blank_rows, summary.damaged, summary.cut_off) == (2, 3, 0, False)


def test_quoted_line_breaks_stay_in_their_cells() -> None:
    """The row's line number is where it starts."""
    events, summary = split(b'a,b,c\n1,"x\r\ny",2\n3,"p\n\nq",4\n5,6,7\n')
    assert events[1:] == [
        Row(["1", "x\r\ny", "2"], 1, 2),
        Row(["3", "p\n\nq", "4"], 2, 4),
        Row(["5", "6", "7"], 3, 7),
    ]
    assert summary.lines == 7


def test_stray_quotes_are_read_as_pythons_csv_reads_them() -> None:
    """Doubled, unbalanced inside a cell, and text after a closing quote."""
    events, _ = split(b'a,b\n"K"" Street LLC""",1\n5" pipe,2\n"abc"def,3\n"x"y,"p\nq"\n')
    assert rows_of(events) == [['K" Street LLC"', "1"], ['5" pipe', "2"], ["abcdef", "3"], ["xy", "p\nq"]]


def test_unicode_line_separators_do_not_end_a_line() -> None:
    """Only CR and LF do; U+2028, U+0085, form feeds and the like are text."""
    cell = "a\u2028b\x85c\x0bd\x0ce\x1cf\uffff"
    events, _ = split(f"x,y\n{cell},1\n\uffff,\uffff\n".encode())
    assert rows_of(events) == [[cell, "1"], ["\uffff", "\uffff"]]


# --- encodings ------------------------------------------------------------------------------------------------------


def test_one_windows_byte_costs_the_utf8_rows_nothing() -> None:
    """A 0x92 byte makes its own row Windows-1252; its neighbours stay UTF-8."""
    data = "Name,City\nÉcole,Reno\n".encode() + b"Kid\x92s Place,Elko\n" + "Niño,Ely\n".encode()
    events, summary = split(data)
    assert rows_of(events) == [["École", "Reno"], ["Kid’s Place", "Elko"], ["Niño", "Ely"]]
    assert (summary.encoding, summary.fallback_rows, summary.damaged) == ("utf-8", 1, 0)


def test_bytes_of_no_encoding_damage_one_row() -> None:
    """Bytes that are neither UTF-8 nor defined in Windows-1252."""
    events, summary = split(b"Name,City\nBlue,Reno\nR\x81d,Elko\nGreen,Ely\n")
    (damaged,) = damage_of(events)
    assert (damaged.code, damaged.raw, damaged.row_number, damaged.line_number) == (
        "undecodable",
        b"R\x81d,Elko",
        2,
        3,
    )
    assert damaged.cells == ["R\ufffdd", "Elko"]
    assert (summary.rows, summary.cut_off) == (2, False)


def test_a_configured_encoding_has_no_fallback() -> None:
    """Configured UTF-8 means UTF-8."""
    events, summary = split(b"Name,City\nKid\x92s,Reno\nBlue,Ely\n", FormatOptions(encoding="utf-8"))
    assert [damaged.code for damaged in damage_of(events)] == ["undecodable"]
    assert (summary.rows, summary.fallback_rows) == (1, 0)


def test_an_encoding_with_escapes_is_read_before_it_is_cut_into_lines() -> None:
    """What its bytes seem to say is not what they say: an escape takes in the line end that follows it."""
    escaped = b"\x1b.A1\x1bN\n,b\n"
    assert escaped.decode("iso2022_jp_2") == "1\x8a,b\n"
    events, summary = split(b"Name,City\n" + escaped + b"2,Ely\n", FormatOptions(encoding="iso2022_jp_2"))
    assert rows_of(events) == [["1\x8a", "b"], ["2", "Ely"]]
    assert (summary.rows, summary.lines) == (2, 3)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16-le", "utf-16-be"])
def test_byte_order_marks_tell_the_encoding(encoding: str) -> None:
    """UTF-8 and both UTF-16; the mark is in no name."""
    text = "Näme,City\n日本,Reno\n\U0001f600,Elko\n"
    data = text.encode(encoding) if encoding == "utf-8-sig" else ("\ufeff" + text).encode(encoding)
    events, summary = split(data)
    assert names_of(events) == ["Näme", "City"]
    assert rows_of(events) == [["日本", "Reno"], ["\U0001f600", "Elko"]]
    assert summary.encoding == encoding


def test_damaged_utf16_rows_keep_the_files_own_bytes() -> None:
    """The dead letter holds UTF-16, as the vendor sent it, lone surrogates included."""
    bad = "x,y,z".encode("utf-16-le")
    lone = b"\x00\xd8" + ",1".encode("utf-16-le")
    end = "\n".encode("utf-16-le")
    data = "\ufeffa,b\n1,2\n".encode("utf-16-le") + bad + end + lone + end
    events, _ = split(data)
    assert [(d.code, d.raw) for d in damage_of(events)] == [("too_many_cells", bad), ("undecodable", lone)]


def test_utf16_cut_inside_a_character_looks_cut_off() -> None:
    """An odd byte at the end."""
    _, summary = split("\ufeffa,b\n1,2\n3,4\n".encode("utf-16-le") + b"5")
    assert (summary.rows, summary.cut_off) == (2, True)


def test_utf16_without_a_mark_is_explained() -> None:
    """It is full of zero bytes, but a setting helps."""
    data = "Name,City\nBlue,Reno\n".encode("utf-16-le")
    assert code_of(data) == "binary"
    assert rows_of(split(data, FormatOptions(encoding="utf-16-le"))[0]) == [["Blue", "Reno"]]


# --- damage ---------------------------------------------------------------------------------------------------------


def test_rows_with_the_wrong_number_of_cells_are_damaged_alone() -> None:
    """Too few and too many; the bytes are the row's own."""
    events, summary = split(b"a,b,c\r\n1,2,3\r\n4,5\r\n6,7,8,9\r\n10,11,12\r\n")
    assert [(d.code, d.raw, d.row_number, d.line_number, d.cells) for d in damage_of(events)] == [
        ("too_few_cells", b"4,5", 2, 3, ["4", "5"]),
        ("too_many_cells", b"6,7,8,9", 3, 4, ["6", "7", "8", "9"]),
    ]
    assert (summary.rows, summary.damaged, summary.cut_off) == (2, 2, False)
    assert events[-1] == Row(["10", "11", "12"], 4, 5)


def test_a_wrapped_row_with_the_wrong_number_of_cells_is_one_damaged_row() -> None:
    """Its quotes are sound and no row hides in it: one dead letter, with all its lines."""
    events, _ = split(b'a,b,c\n1,2,3\n4,"x\ny",5,6\n7,8,9\n')
    (damaged,) = damage_of(events)
    assert (damaged.code, damaged.raw) == ("too_many_cells", b'4,"x\ny",5,6')
    assert rows_of(events) == [["1", "2", "3"], ["7", "8", "9"]]


def test_a_nul_byte_damages_its_row() -> None:
    """Databases refuse it in text; the rest of the file goes on."""
    events, _ = split(b"a,b\n1,2\n3,\x004\n5,6\n")
    (damaged,) = damage_of(events)
    assert (damaged.code, damaged.raw, damaged.cells) == ("nul_byte", b"3,\x004", ["3", "\x004"])
    assert rows_of(events) == [["1", "2"], ["5", "6"]]


def test_a_quote_that_never_closes_costs_its_own_line() -> None:
    """Nothing after it is quoted: the reader would swallow the rest of the file."""
    events, summary = split(b'a,b,c\n1,2,3\n4,"open,5\n6,7,8\n9,10,11\n')
    (damaged,) = damage_of(events)
    assert (damaged.code, damaged.raw, damaged.cells) == ("unclosed_quote", b'4,"open,5', ["4", "open,5"])
    assert rows_of(events) == [["1", "2", "3"], ["6", "7", "8"], ["9", "10", "11"]]
    assert not summary.cut_off


def test_a_quote_closed_by_a_neighbours_quote_does_not_swallow_it() -> None:
    """The record comes out at the right number of cells by accident, and is still two lines."""
    events, _ = split(b'a,b,c\n1,"open,2\n3,"shut",4\n5,6,7\n')
    (damaged,) = damage_of(events)
    assert (damaged.code, damaged.raw, damaged.line_number) == ("unclosed_quote", b'1,"open,2', 2)
    assert rows_of(events) == [["3", "shut", "4"], ["5", "6", "7"]]


def test_a_properly_quoted_cell_that_looks_like_rows_stays_a_cell() -> None:
    """Sound quotes are believed."""
    events, _ = split(b'a,b,c\n1,"x\n4,5,6\ny",2\n')
    assert rows_of(events) == [["1", "x\n4,5,6\ny", "2"]]


def test_many_runaway_quotes_cost_a_line_each() -> None:
    """Each in its own place, in a file larger than a block."""
    good = "".join(f'{n},"cell {n}",x\n' for n in range(400))
    events, summary = split(("a,b,c\n" + (good + 'bad,"open,x\n') * 60).encode())
    assert (summary.rows, summary.damaged) == (24_000, 60)
    assert {damaged.raw for damaged in damage_of(events)} == {b'bad,"open,x'}


def test_a_record_that_outgrows_the_limit_costs_its_first_line() -> None:
    """The lines after it are split anew."""
    wrapped = b'1,"' + b"x" * 30 + b"\n" + b"y" * 30 + b'",2\n'
    events, _ = split(b"a,b,c\n" + wrapped + b"3,4,5\n", max_row_bytes=50)
    assert [d.code for d in damage_of(events)] == ["unclosed_quote", "too_few_cells"]
    assert rows_of(events) == [["3", "4", "5"]]


def test_a_ten_megabyte_cell_is_damage_and_not_memory() -> None:
    """The row's first bytes are kept, the message says its true length, the neighbours stay."""
    data = b"a,b,c\n1,2,3\n4," + b"x" * 10_000_000 + b",5\n6,7,8\n"
    events, summary = split([data[at : at + 65_536] for at in range(0, len(data), 65_536)])
    (damaged,) = damage_of(events)
    assert (damaged.code, damaged.row_number, damaged.line_number) == ("row_too_long", 2, 3)
    assert len(damaged.raw) == 1_048_576
    assert damaged.cells is not None
    assert damaged.cells[0] == "4"
    assert "10,000,004" in damaged.message
    assert events[-1] == Row(["6", "7", "8"], 3, 4)
    assert (summary.rows, summary.lines) == (2, 4)


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n", b"\r"])
def test_a_long_line_ends_where_its_line_ends(ending: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """In blocks that end between the CR and the LF, too."""
    data = b"a,b\n1,2\n" + b"y" * 100 + ending + (b"3,4\n" if ending else b"")
    expected = [(2, 3), *([(3, 4)] if ending else [])]
    for block_bytes in range(16, 130):
        monkeypatch.setattr(splitter_module, "BLOCK_BYTES", block_bytes)
        events, _ = split(data, max_row_bytes=40)
        assert [(e.row_number, e.line_number) for e in events[2:] if not isinstance(e, Header)] == expected
        (damaged,) = damage_of(events)
        assert (damaged.code, damaged.raw) == ("row_too_long", b"y" * 40)
        assert "100 bytes" in damaged.message


# --- files that are cut off -----------------------------------------------------------------------------------------


def test_a_last_row_with_too_few_cells_looks_cut_off() -> None:
    """14 of 30 cells: the row is damaged with what it has, and the file looks cut off."""
    row = ",".join(f"c{n}" for n in range(30))
    events, summary = split(f"{row}\n{row}\n{row}\n{','.join(row.split(',')[:14])}\n".encode())
    (damaged,) = damage_of(events)
    assert (damaged.code, damaged.row_number, damaged.cells) == ("too_few_cells", 3, row.split(",")[:14])
    assert (summary.rows, summary.cut_off) == (2, True)
    assert "14 cells" in summary.cut_off_reason


@pytest.mark.parametrize("tail", [b'5,"Blue Door', b'5,"Blue\nDoor and', b'5,6,"', b'5,6,"7\n'])
def test_a_file_cut_inside_a_quote_loses_one_row(tail: bytes) -> None:
    """All earlier rows, and one damaged row with its bytes and cells, on however many lines it stands."""
    events, summary = split(b'a,b,c\n1,2,3\n4,"x\ny",z\n' + tail)
    (damaged,) = damage_of(events)
    assert (damaged.code, damaged.raw) == ("unclosed_quote", tail.rstrip(b"\n"))
    assert damaged.cells is not None
    assert damaged.cells[0] == "5"
    assert (summary.rows, summary.damaged, summary.cut_off) == (2, 1, True)


def test_damage_before_the_last_row_does_not_look_cut_off() -> None:
    """Only the file's end tells."""
    _, summary = split(b'a,b\n1,2\n3\n4,"x\n5,6\n')
    assert (summary.rows, summary.damaged, summary.cut_off, summary.cut_off_reason) == (2, 2, False, "")


@pytest.mark.parametrize("compression", ["gzip", "bzip2", "zstd", "zip"])
def test_a_truncated_archive_yields_the_rows_before_the_cut(compression: str) -> None:
    """What can be read is read; the row at the cut is damaged, and the file looks cut off."""
    data = many_rows(40_000)
    archive = compressed(data, compression)
    events, summary = split(archive[: len(archive) * 2 // 3])
    assert 10_000 < summary.rows < 30_000
    assert summary.damaged <= 1
    assert summary.cut_off
    assert compression in summary.cut_off_reason
    whole, _ = split(data)
    assert rows_of(events) == rows_of(whole)[: summary.rows]


def test_the_last_row_of_a_truncated_archive_is_not_believed() -> None:
    """It has all its cells, but its last one may be half."""
    deflated = gzip.compress(b"a,b\n1,2\n3,4444", compresslevel=0)
    events, summary = split(deflated[:-10])
    (damaged,) = damage_of(events)
    assert (damaged.code, damaged.raw) == ("cut_off", b"3,44")
    assert (summary.rows, summary.cut_off) == (1, True)


@pytest.mark.parametrize("known, left", [(0, [1, 2, 3]), (1, [2, 3]), (3, []), (9, [])])
def test_rows_that_were_committed_before_are_passed_over(known: int, left: list[int]) -> None:
    """A run of rows may have been sent in part; the others keep their numbers and lines."""
    splitter = Splitter(FormatOptions(delimiter=","))
    events = [*splitter.feed(b"a,b\n1,2\n3,4\n\n5,6\n"), *splitter.finish()]
    rows = [row for event in events if isinstance(event, Rows) for row in event.after(known)]
    assert rows == [row for row in singly(events) if isinstance(row, Row) and row.row_number in left]
    assert [row.row_number for row in rows] == left


# --- memory, summary, real files ------------------------------------------------------------------------------------


def test_memory_stays_flat_however_long_the_file() -> None:
    """Events are made as they are asked for: 100,000 rows in one compressed chunk take less than 8 MB."""
    archive = gzip.compress(b"Name,City,Phone\n" + b"Blue Door Child Care,Reno Nevada,702-555-0101\n" * 100_000)
    splitter = Splitter()
    tracemalloc.start()
    try:
        count = sum(1 for _ in singly(splitter.feed(archive))) + sum(1 for _ in singly(splitter.finish()))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 100_001
    assert peak < 8_000_000


def test_the_summary_waits_for_the_end() -> None:
    """Asking before is a mistake in the program."""
    splitter = Splitter()
    list(splitter.feed(SMALL))
    with pytest.raises(RuntimeError):
        _ = splitter.summary


def test_the_real_files_come_out_as_known() -> None:
    """Nevada and Texas whole, Oklahoma with its cut-off last row; where the files are at hand."""
    found = {}
    for file in sorted(VENDOR_DATA.glob("*.csv")) if VENDOR_DATA.is_dir() else ():
        _, summary = split(file.read_bytes())
        found[file.stem.split()[1]] = (summary.rows, summary.damaged, summary.cut_off)
    assert found in ({}, {"Nevada": (100, 0, False), "Oklahoma": (49, 1, True), "Texas": (99, 0, False)})
