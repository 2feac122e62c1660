"""Rows become the messages of their source's raw topic, many at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from leadstream.partitioning import lane_of, lanes_of, lead_key
from producer.raw_output import row_encoder, row_headers
from producer.splitter import Row, Rows
from schemas.headers import Headers

KeyOf = Callable[[Sequence[str]], str | None]
Message = tuple[bytes, bytes, Headers]
"""Key, value and headers."""


class RowMessages:
    """Messages of the rows under one header: ``columns`` of them, values framed by ``prefix``, ``constant`` headers."""

    def __init__(self, source: str, lanes: int, key_of: KeyOf, prefix: bytes, columns: int, constant: Headers) -> None:
        self.key_of = key_of
        self.columns = columns
        self.encode = row_encoder(prefix, columns)
        self._source = source
        self._lanes = lanes
        self._constant = constant

    def of(self, rows: Rows) -> tuple[list[list[Message]], list[Row]]:
        """The messages for each lane, in the order of the rows; and the rows whose key cannot be made."""
        keys = list(map(self.key_of, rows.cells))
        data = [b"" if key is None else key.encode() for key in keys]
        before_key = lead_key(self._source, "").encode()
        lanes = lanes_of([before_key + key for key in data], self._lanes)
        by_lane: list[list[Message]] = [[] for _ in range(self._lanes)]
        unkeyed = []
        numbers = range(rows.first_row, rows.first_row + len(keys))
        for cells, row_number, line_number, key, key_data, lane in zip(
            rows.cells, numbers, rows.line_numbers, keys, data, lanes, strict=True
        ):
            if key is None:
                unkeyed.append(Row(cells, row_number, line_number))
            else:
                headers = row_headers(self._constant, row_number, line_number)
                by_lane[lane].append((key_data, self.encode(cells), headers))
        return by_lane, unkeyed

    def lane_of(self, key: str) -> int:
        """Where the messages of one key are."""
        return lane_of(lead_key(self._source, key), self._lanes)
