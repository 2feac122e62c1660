"""Many rows at once become messages."""

from __future__ import annotations

from leadstream.partitioning import lane_of
from leadstream.record_batch import encoded_headers, record_body
from producer.raw_output import encode_row, load_headers, row_headers
from producer.row_messages import RowMessages
from producer.splitter import Row, Rows
from schemas.headers import Kind

LANES = 4
CONSTANT = load_headers(Kind.ROW, "load", 1, "landing", "texas/file.csv", "etag")


def _key_of(cells: object) -> str | None:
    assert isinstance(cells, list)
    return cells[0] or None


def test_each_row_is_in_the_lane_of_its_lead_with_its_own_place() -> None:
    """In the order of the file within a lane; a row whose key cannot be made is given back, and no other is touched."""
    cells = [[f"{number}" if number % 7 else "", "é" * number] for number in range(30)]
    lines = range(100, 160, 2)
    by_lane, unkeyed = RowMessages("texas", LANES, _key_of, b"prefix", 2, CONSTANT).of(Rows(cells, 11, lines))
    rows = [Row(row, 11 + at, 100 + 2 * at) for at, row in enumerate(cells)]
    assert unkeyed == [row for row in rows if not row.cells[0]]
    for lane, bodies in enumerate(by_lane):
        assert bodies == [
            record_body(
                row.cells[0].encode(),
                encode_row(b"prefix", row.cells),
                encoded_headers(row_headers(CONSTANT, *row[1:])),
            )
            for row in rows
            if row.cells[0] and lane_of(f"texas:{row.cells[0]}", LANES) == lane
        ]
    assert sum(map(len, by_lane)) + len(unkeyed) == len(rows)
