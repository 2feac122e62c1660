"""Any bytes as a file: an error that is documented, or every line of it in exactly one event, however it is cut."""

from __future__ import annotations

import random

from leadstream.errors import BadRecordError
from producer.split_events import SingleEvent
from producer.splitter import Damaged, FormatOptions, Header, Row, Summary
from tests.unit.splitting import COMPRESSIONS, assert_every_line_is_in_one_event, compressed, split

FILE_ERRORS = {
    *("archive_bomb", "archive_members", "binary", "corrupt_archive", "empty", "header_only", "no_table"),
    "undecodable",
}
"""The codes that `producer.splitter` documents."""
OPTIONS = (
    FormatOptions(),
    FormatOptions(delimiter=","),
    FormatOptions(delimiter=";", quotechar="'"),
    FormatOptions(delimiter=",", escapechar="\\"),
    FormatOptions(delimiter="\t", encoding="utf-16-le"),
    FormatOptions(encoding="cp1252", skip_lines=1),
    FormatOptions(encoding="shift_jis"),
    FormatOptions(encoding="utf-7"),
)
ROW_BYTES = (1_048_576, 1_048_576, 64, 24)
WORDS = (
    *(",", ";", "\t", "|", '"', '""', '","', "'", "\\", "\r\n", "\n", "\r", "\0", "\ufeff", "\uffff", "é", "sep=;\n"),
    *('x","\n', '1,"open\n', "1,2,3\n"),
)
"""What files are made of: the fuzzer puts them together."""

Outcome = tuple[list[SingleEvent], Summary] | str


def check(data: bytes) -> None:
    """Split ``data``: its first byte says how the file is written, its second where it is cut, the rest is the file."""
    how, where, file = data[:1] or b"\0", data[1:2] or b"\0", data[2:]
    options = OPTIONS[how[0] % len(OPTIONS)]
    max_row_bytes = ROW_BYTES[how[0] // len(OPTIONS) % len(ROW_BYTES)]
    whole = _outcome([file], options, max_row_bytes)
    at = where[0] * len(file) // 255
    assert _outcome([file[:at], file[at:]], options, max_row_bytes) == whole, "a cut changed what came out"
    if isinstance(whole, str):
        assert whole in FILE_ERRORS, whole
        return
    events, summary = whole
    assert isinstance(events[0], Header)
    records = events[1:]
    assert [record.row_number for record in records if isinstance(record, Row | Damaged)] == [
        *range(1, len(records) + 1)
    ]
    assert summary.rows + summary.damaged == len(records)
    assert summary.bytes_in == len(file)
    width = len(events[0].columns)
    assert all(len(record.cells) == width for record in records if isinstance(record, Row))
    if options == OPTIONS[1] and not summary.compression and summary.encoding == "utf-8":
        assert_every_line_is_in_one_event(file, events, summary, max_row_bytes)


def seeds() -> list[bytes]:
    """Files of every kind, as :func:`check` takes them; the same at each call."""
    table = 'Näme,City\n"a ""b"" c","x\ny"\nd,e\n'
    texts = [
        table.encode(),
        table.replace(",", ";").replace('"', "'").encode("cp1252"),
        ("\ufeff" + table).encode("utf-16-le"),
        b'a,b,c\n1,"open,2\n3,"shut",4\n5,6,7\n8\n9,\x81,1\n2,\0,3\n',
        b"a,b\r1,2\r\n3,4\n\r\n,,\n",
        b'a,b\n"x\\"y\\\nz",1\n\\,,2\n',
        b"a,b,c\n" + b'x","\n' * 40,
        b'a,b\n1,"' + b"y\n" * 40,
        b"a,b\n" + b"long" * 20 + b"\n1,2\n",
        b"\xef\xbb\xbf",
        b"\n\n\n",
        b"sep=;\na;b\n1;2\n",
        b"PK\x03\x04" + bytes(26),
        b"\x1f\x8b\x08" + bytes(7),
        b"\x28\xb5\x2f\xfd" + bytes(8),
        b"BZh91AY&SY" + bytes(8),
        "a\tb\n日\t本\n".encode("utf-16-le"),
        "a,b\n日,本\n".encode("shift_jis"),
        "a,b\n日,本\n".encode("utf-7"),
    ]
    archives = [compressed(texts[0], kind) for kind in COMPRESSIONS if kind]
    dice = random.Random(7)
    damaged = []
    for archive in archives:
        broken = bytearray(archive)
        broken[dice.randrange(len(broken))] ^= 1 << dice.randrange(8)
        damaged += [bytes(broken), archive[: len(archive) // 2]]
    return [
        bytes([how, (at * 37) % 256]) + file
        for at, file in enumerate([*texts, *archives, *damaged])
        for how in (0, 1, 2, 3, 4, 5, 6, 7, 16 + 1, 24 + 1)
    ]


def _outcome(chunks: list[bytes], options: FormatOptions, max_row_bytes: int) -> Outcome:
    """Events and summary, or the code of the error."""
    try:
        return split(chunks, options, max_row_bytes=max_row_bytes)
    except BadRecordError as exc:
        return exc.code
