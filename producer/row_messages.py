"""Rows become the messages of their source's raw topic, many at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from leadstream.partitioning import lane_of, lanes_of, lead_key
from producer.raw_output import encode_row, row_encoder
from producer.splitter import Row, Rows
from schemas.headers import Headers

KeyOf = Callable[[Sequence[str]], str | None]


class RowMessages:
    """Messages of the rows under one header: ``columns`` of them, values framed by ``prefix``, ``constant`` headers."""

    def __init__(self, source: str, lanes: int, key_of: KeyOf, prefix: bytes, columns: int, constant: Headers) -> None:
        self.key_of = key_of
        self.columns = columns
        self._source = source
        self._lanes = lanes
        self._prefix = prefix
        self._encode = row_encoder(prefix, columns, constant)

    def of(self, rows: Rows) -> tuple[list[list[bytes]], list[Row]]:
        """The record bodies for each lane, in the order of the rows; and the rows whose key cannot be made."""
        keys = list(map(self.key_of, rows.cells))
        data = [b"" if key is None else key.encode() for key in keys]
        texts = [str(key, "latin-1") for key in data]
        before_key = lead_key(self._source, "").encode()
        lanes = lanes_of([before_key + key for key in data], self._lanes)
        by_lane: list[list[bytes]] = [[] for _ in range(self._lanes)]
        encode, add = self._encode, [bodies.append for bodies in by_lane]
        unkeyed = []
        numbers = range(rows.first_row, rows.first_row + len(keys))
        for cells, row_number, line_number, key, lane in zip(
            rows.cells, map(str, numbers), map(str, rows.line_numbers), texts, lanes, strict=True
        ):
            if key:
                add[lane](encode(cells, key, row_number, line_number))
            else:
                unkeyed.append(Row(cells, int(row_number), int(line_number)))
        return by_lane, unkeyed

    def value_of(self, row: Row) -> bytes:
        """The value of a row's message."""
        return encode_row(self._prefix, row.cells)

    def lane_of(self, key: str) -> int:
        """Where the messages of one key are."""
        return lane_of(lead_key(self._source, key), self._lanes)
