"""The rules of public CSV standards and test collections, as expectations; the cases are written for this file.

Sources of the rules: RFC 4180 section 2; the cases of the csv-spectrum collection; "Model for Tabular Data on the Web"
(W3C, section 8, Parsing Tabular Data) and its dialect vocabulary (CSVW); the list "Falsehoods programmers believe about
CSVs". Where a rule leaves a choice, the docstring or the name of the case says which was taken.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from producer.splitter import FormatOptions
from tests.unit.splitting import code_of, damage_of, names_of, rows_of, split


@dataclass(frozen=True)
class Case:
    """A file (``data``) and what must come out: the header's names, the good rows, the codes of the damaged ones."""

    rule: str
    data: bytes
    names: list[str]
    rows: list[list[str]]
    damage: tuple[str, ...] = ()
    options: FormatOptions | None = None


RFC_4180 = [
    Case("2.1 records end with CRLF", b"a,b\r\nc,d\r\n", ["a", "b"], [["c", "d"]]),
    Case("2.2 the last record needs no line end", b"a,b\r\nc,d", ["a", "b"], [["c", "d"]]),
    Case("2.3 the first record is the header", b"x y,z\r\n1,2\r\n", ["x y", "z"], [["1", "2"]]),
    Case("2.4 spaces belong to a cell", b"a,b\r\n c , d\r\n", ["a", "b"], [[" c ", " d"]]),
    Case("2.4 a comma at a line's end makes a cell", b"a,b\r\nc,\r\n", ["a", "b"], [["c", ""]]),
    Case("2.5 a cell may be enclosed", b'"a","b"\r\n"c",d\r\n', ["a", "b"], [["c", "d"]]),
    Case("2.5 a quote inside a bare cell is text", b'a,b\r\nc"c,5"\r\n', ["a", "b"], [['c"c', '5"']]),
    Case("2.6 line ends may be enclosed", b'a,b\r\n"c\r\nc",d\r\n', ["a", "b"], [["c\r\nc", "d"]]),
    Case("2.6 commas may be enclosed", b'a,b\r\n"c,c",d\r\n', ["a", "b"], [["c,c", "d"]]),
    Case("2.7 a quote is doubled", b'a,b\r\n"c""c",""""\r\n', ["a", "b"], [['c"c', '"']]),
]
CSV_SPECTRUM = [
    Case("comma in quotes", b'first,address,zip\nJ,"1 Elm, Unit 2",08\n', ["first", "address", "zip"],
         [["J", "1 Elm, Unit 2", "08"]]),
    Case("empty cells, quoted and bare", b'a,b,c\n1,"",""\n2,3,\n', ["a", "b", "c"], [["1", "", ""], ["2", "3", ""]]),
    Case("empty cells, CRLF", b'a,b,c\r\n1,"",""\r\n2,3,\r\n', ["a", "b", "c"], [["1", "", ""], ["2", "3", ""]]),
    Case("escaped quotes", b'a,b\n1,"ha ""ha"" ha"\n', ["a", "b"], [["1", 'ha "ha" ha']]),
    Case("JSON in a cell", b'key,val\n1,"{""type"": ""Point"", ""at"": [102.0, 0.5]}"\n', ["key", "val"],
         [["1", '{"type": "Point", "at": [102.0, 0.5]}']]),
    Case("coordinates", b'id,where\n1,"40.7,-74.0"\n', ["id", "where"], [["1", "40.7,-74.0"]]),
    Case("line breaks", b'a,b,c\n"Once\nupon",5,6\n', ["a", "b", "c"], [["Once\nupon", "5", "6"]]),
    Case("line breaks, CRLF", b'a,b,c\r\n"Once\r\nupon",5,6\r\n', ["a", "b", "c"], [["Once\r\nupon", "5", "6"]]),
    Case("quotes and line breaks", b'a,b\n1,"ha \n""ha"" \nha"\n', ["a", "b"], [["1", 'ha \n"ha" \nha']]),
    Case("UTF-8", "a,b\n1,ʤ\n".encode(), ["a", "b"], [["1", "ʤ"]]),
]  # fmt: skip
CSVW = [
    Case("encoding: a byte-order mark is no text", b"\xef\xbb\xbfa,b\n1,2\n", ["a", "b"], [["1", "2"]]),
    Case("skipBlankRows: true", b"a,b\n\n1,2\n\r\n \n3,4\n", ["a", "b"], [["1", "2"], ["3", "4"]]),
    Case("skipRows", b"Report\nof May\na,b\n1,2\n", ["a", "b"], [["1", "2"]], (), FormatOptions(skip_lines=2)),
    Case("commentPrefix: none, a # is text", b"a,b\n#1,2\n", ["a", "b"], [["#1", "2"]]),
    Case("trim: cells as they are, titles trimmed", b" a ,b\t\n 1 ,2\n", ["a", "b"], [[" 1 ", "2"]]),
    Case("delimiter", b"a\tb\n1,5\t2\n", ["a", "b"], [["1,5", "2"]]),
    Case("quoteChar", b"a,b\n'1,5',\"2\n", ["a", "b"], [["1,5", '"2']], (), FormatOptions(quotechar="'")),
    Case("doubleQuote: false", b'a,b\n"say \\"hi\\", then",2\n', ["a", "b"], [['say "hi", then', "2"]], (),
         FormatOptions(escapechar="\\")),
    Case("lineTerminators: a lone CR, too", b"a,b\r1,2\r", ["a", "b"], [["1", "2"]]),
    Case("titles over several lines", b'"a\nof b",c\n1,2\n', ["a\nof b", "c"], [["1", "2"]]),
    Case("an untitled column gets a number", b"a,,c\n1,2,3\n", ["a", "column_2", "c"], [["1", "2", "3"]]),
    Case("equal titles get a number", b"a,a,a\n1,2,3\n", ["a", "a_2", "a_3"], [["1", "2", "3"]]),
]  # fmt: skip
FALSEHOODS = [
    Case("the delimiter is a comma", b"a;b\n1,5;2\n", ["a", "b"], [["1,5", "2"]]),
    Case("all rows have as many cells", b"a,b\n1\n1,2,3\n4,5\n", ["a", "b"], [["4", "5"]],
         ("too_few_cells", "too_many_cells")),
    Case("one file has one line end", b"a,b\r\n1,2\n3,4\r5,6", ["a", "b"], [["1", "2"], ["3", "4"], ["5", "6"]]),
    Case("LF CR is a line end: it is a line and a blank one", b"a,b\n\r1,2\n\r", ["a", "b"], [["1", "2"]]),
    Case("everything is UTF-8", b"a,b\nCaf\xe9,1\n", ["a", "b"], [["Café", "1"]]),
    Case("all is in one encoding", b"a,b\nCaf\xe9,1\nCaf\xc3\xa9,2\n", ["a", "b"], [["Café", "1"], ["Café", "2"]]),
    Case("quotes are quotes", "a,b\n“1,5”,2\n".encode(), ["a", "b"], [], ("too_many_cells",)),
    Case("only cells that need it are quoted", b'"a","b"\n"1","2"\n3,4\n', ["a", "b"], [["1", "2"], ["3", "4"]]),
    Case("a quote opens a cell after a space: it is text", b'a,b\n1, "x"\n', ["a", "b"], [["1", ' "x"']]),
    Case("numbers are numbers", b"a,b\n007,1e5\n", ["a", "b"], [["007", "1e5"]]),
    Case("formulas are nothing else than text", b"a,b\n=1+1,@x\n", ["a", "b"], [["=1+1", "@x"]]),
    Case("control characters do not occur", b"a,b\nx\x0by,\x7f\n", ["a", "b"], [["x\x0by", "\x7f"]]),
    Case("text is composed one way", "a,b\ne\u0301,é\n".encode(), ["a", "b"], [["e\u0301", "é"]]),
    Case("a line ends where Unicode says so", "a,b\n1\u2028\x85,2\n".encode(), ["a", "b"], [["1\u2028\x85", "2"]]),
]  # fmt: skip
ALL = [
    pytest.param(case, id=f"{group}: {case.rule}")
    for group, cases in (
        ("RFC 4180", RFC_4180),
        ("csv-spectrum", CSV_SPECTRUM),
        ("CSVW", CSVW),
        ("falsehood", FALSEHOODS),
    )
    for case in cases
]


@pytest.mark.parametrize("case", ALL)
def test_a_rule_of_the_standards_is_kept(case: Case) -> None:
    """Names, cells and damage are what the rule says, and what is not damaged is there cell for cell."""
    events, summary = split(case.data, case.options)
    assert names_of(events) == case.names
    assert rows_of(events) == case.rows
    assert tuple(damaged.code for damaged in damage_of(events)) == case.damage
    assert summary.rows == len(case.rows)


@pytest.mark.parametrize("case", ALL)
def test_where_the_stream_is_cut_changes_nothing(case: Case) -> None:
    """In two parts at every byte, and byte by byte."""
    whole = split(case.data, case.options)
    data = case.data
    for at in range(len(data) + 1):
        assert split([data[:at], data[at:]], case.options) == whole
    assert split([data[at : at + 1] for at in range(len(data))], case.options) == whole


def test_a_spreadsheets_sep_line_is_no_header() -> None:
    """`sep=;` before the header: refused with a word on `skip_lines`, and read when that is set."""
    data = b"sep=;\nName;City;Phone\n" + b"Blue;Reno;1\n" * 8
    assert code_of(data) == "no_table"
    assert names_of(split(data, FormatOptions(skip_lines=1))[0]) == ["Name", "City", "Phone"]
