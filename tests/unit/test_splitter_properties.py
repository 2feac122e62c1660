"""What holds for every file: cells come back as written, and neither chunks nor blocks change what comes out."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leadstream.errors import BadRecordError
from producer import dialect
from producer import splitter as splitter_module
from producer.split_events import SingleEvent
from producer.splitter import Damaged, FormatOptions, Row, Summary
from tests.unit.splitting import (
    BLANK,
    COMPRESSIONS,
    assert_every_line_is_in_one_event,
    compressed,
    names_of,
    rows_of,
    split,
)

ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252")
# no NUL (damage of its own) and nothing that Windows-1252 or UTF-16 cannot write
CELL_CHARACTERS = st.sampled_from(list("ab ,;\t|\"'\r\n.-0é’ß€\x0b"))
CELLS = st.text(CELL_CHARACTERS, max_size=8)
NASTY = st.lists(
    st.sampled_from(
        [
            *(b",", b'"', b"\n", b"\r", b"\r\n", b"x", b"yy", b"\xc3\xa9", b"\xc3", b"\x81", b"\x92", b"\0", b'""'),
            *(b'","', b"1,2,3\n", b'4,"5",6\n', b'7,"8\n9",10\n', b'11,"12,13\n', b"long" * 12),
        ]
    ),
    max_size=60,
).map(b"".join)


@st.composite
def pieces(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """``data`` cut at random places."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    return [data[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def outcome(
    data: bytes | list[bytes], options: FormatOptions, max_row_bytes: int
) -> tuple[list[SingleEvent], Summary] | tuple[str, str]:
    """Events and summary, or the code and message of the error."""
    try:
        return split(data, options, max_row_bytes=max_row_bytes)
    except BadRecordError as exc:
        return exc.code, exc.message


@settings(max_examples=250, deadline=None)
@given(
    data=st.data(),
    width=st.integers(1, 5),
    delimiter=st.sampled_from(",;\t|~"),
    quotechar=st.sampled_from("\"'"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(ENCODINGS),
    compression=st.sampled_from(COMPRESSIONS),
)
def test_any_table_comes_back_cell_for_cell(
    data: st.DataObject,
    width: int,
    delimiter: str,
    quotechar: str,
    quoting: int,
    line_end: str,
    encoding: str,
    compression: str,
) -> None:
    """In every dialect, encoding and compression, cut at random places; rows of empty cells are left out."""
    table = data.draw(st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=12))
    header = [f"Column {number}" for number in range(width)]
    if any("\r" in cell or "\n" in cell for row in table for cell in row):
        quoting = csv.QUOTE_ALL  # csv.writer leaves a line break that is not its own bare
    file = io.StringIO(newline="")
    writer = csv.writer(
        file, delimiter=delimiter, quotechar=quotechar, quoting=quoting, lineterminator=line_end  # type: ignore[arg-type]
    )  # fmt: skip
    writer.writerows([header, *table])
    expected = [row for row in table if any(row)]
    archive = compressed(file.getvalue().encode(encoding), compression)
    options = FormatOptions(delimiter, quotechar, encoding if encoding in ("utf-16-le", "cp1252") else None)
    if not expected:
        with pytest.raises(BadRecordError):
            split(archive, options)
        return
    events, summary = split(data.draw(pieces(archive)), options)
    assert names_of(events) == header
    assert rows_of(events) == expected
    assert (summary.rows, summary.damaged, summary.cut_off) == (len(expected), 0, False)
    assert summary.blank_rows <= len(table) - len(expected)


@settings(max_examples=150, deadline=None)
@given(
    data=st.data(),
    width=st.integers(2, 4),
    delimiter=st.sampled_from(",;\t|~"),
    escapechar=st.sampled_from("\\^"),
    quoting=st.sampled_from([csv.QUOTE_NONE, csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    line_end=st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_a_table_with_escape_characters_comes_back_cell_for_cell(
    data: st.DataObject, width: int, delimiter: str, escapechar: str, quoting: int, line_end: str
) -> None:
    """Quotes that are escaped instead of doubled, and cells without quotes whose special characters are escaped.

    A line break that is not the writer's own is left bare by csv.writer where it quotes nothing: no reader can know
    what it was, so there it is not tried.
    """
    characters = [one for one in ' ab,;\t|~"\\^\r\n.é' if quoting == csv.QUOTE_ALL or one not in "\r\n"]
    cells = st.text(st.sampled_from(characters), max_size=6)
    table = data.draw(st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=8))
    file = io.StringIO(newline="")
    writer = csv.writer(
        file, delimiter=delimiter, escapechar=escapechar, doublequote=False, quoting=quoting, lineterminator=line_end  # type: ignore[arg-type]
    )  # fmt: skip
    writer.writerows([[f"Column {number}" for number in range(width)], *table])
    expected = [row for row in table if any(row)]
    options = FormatOptions(delimiter, escapechar=escapechar)
    content = file.getvalue().encode()
    if not expected:
        with pytest.raises(BadRecordError):
            split(content, options)
        return
    events, summary = split(data.draw(pieces(content)), options)
    assert rows_of(events) == expected
    assert (summary.damaged, summary.cut_off) == (0, False)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_file_cut_in_two_at_any_byte_is_the_same_file(compression: str, encoding: str) -> None:
    """Every kind of row, every compression: each byte of the object may be the last of its chunk."""
    table = 'Näme,City\r\n"a ""b"" c","x\r\ny"\r\n日本,"p\rq"\n1\n2,"open\n3,4,5\n\n,\n6,\U0001f600\n"7"x,8'
    archive = compressed(table.encode(encoding), compression)
    whole = split(archive)
    assert (whole[1].rows, whole[1].damaged) == (4, 3)
    for at in range(len(archive) + 1):
        assert split([archive[:at], archive[at:]]) == whole


@settings(max_examples=100, deadline=None)
@given(
    data=st.data(),
    width=st.integers(2, 5),
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)
def test_plain_tables_need_no_settings(data: st.DataObject, width: int, delimiter: str, encoding: str) -> None:
    """Delimiter and encoding are found when the header's words do not hold other delimiters."""
    cells = st.text(st.sampled_from('abc é\n"'), min_size=1, max_size=6)
    table = data.draw(st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=12))
    file = io.StringIO(newline="")
    csv.writer(file, delimiter=delimiter).writerows([[f"Column {number}" for number in range(width)], *table])
    events, summary = split(file.getvalue().encode(encoding))
    assert rows_of(events) == table
    assert summary.delimiter == delimiter


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), body=NASTY, max_row_bytes=st.sampled_from([24, 60, 1_000_000]))
def test_neither_chunks_nor_blocks_change_what_comes_out(
    monkeypatch: pytest.MonkeyPatch, data: st.DataObject, body: bytes, max_row_bytes: int
) -> None:
    """Bytes of any kind: the same events and summary for any chunks, and for any size of the blocks inside."""
    file = b"a,b,c\n" + body
    options = FormatOptions(delimiter=",")
    monkeypatch.setattr(splitter_module, "BLOCK_BYTES", 262_144)
    # how many rows are sampled depends on the first block; which file is refused for its sample is not asked here
    monkeypatch.setattr(dialect, "MISFIT_MIN_ROWS", len(file))
    whole = outcome(file, options, max_row_bytes)
    assert outcome([file[at : at + 1] for at in range(len(file))], options, max_row_bytes) == whole
    assert outcome(data.draw(pieces(file)), options, max_row_bytes) == whole
    monkeypatch.setattr(splitter_module, "BLOCK_BYTES", data.draw(st.integers(4, 80)))
    assert outcome(file, options, max_row_bytes) == whole


@settings(max_examples=400, deadline=None)
@given(body=NASTY, max_row_bytes=st.sampled_from([24, 1_000_000]))
def test_every_line_that_says_something_is_in_one_event(body: bytes, max_row_bytes: int) -> None:
    """Nothing lost, nothing twice."""
    file = b"a,b,c\n" + body
    try:
        events, summary = split(file, FormatOptions(delimiter=","), max_row_bytes=max_row_bytes)
    except BadRecordError as exc:
        assert exc.code in ("header_only", "no_table")
        return
    assert_every_line_is_in_one_event(file, events, summary, max_row_bytes)
    first = next(event.line_number for event in events if isinstance(event, Row | Damaged))
    assert not b"".join(file.splitlines(keepends=True)[1 : first - 1]).strip(BLANK)


@settings(max_examples=150, deadline=None)
@given(
    damage=st.lists(st.sampled_from([b"x", b"1,2,3,4", b'5,"open,6', b"7,\0,8", b"9,\x81,10"]), max_size=6),
    good=st.integers(1, 40),
)
def test_damage_costs_no_neighbour_its_row(damage: list[bytes], good: int) -> None:
    """Between damaged rows of every kind, all good rows come out, and every damaged one is a dead letter of its own."""
    rows = [f'{n},"cell {n}",end'.encode() for n in range(good)]
    file = [b"a,b,c", *rows]
    for line in damage:
        file += [line, *rows]
    events, summary = split(b"\n".join(file) + b"\n")
    assert summary.rows == good * (len(damage) + 1)
    assert [event.raw for event in events if isinstance(event, Damaged)] == damage
