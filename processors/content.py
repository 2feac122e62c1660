"""A lead's content as bytes: encoded and read back, hashed, and told by the row that it came from."""

from __future__ import annotations

import functools
import hashlib
import io
from collections.abc import Callable
from typing import Any, cast

from fastavro import schemaless_reader

from schemas import records
from schemas.flat_records import compile_encoder

HASH_BYTES = 8
FINGERPRINT_BYTES = 8

Body = dict[str, Any]


def encode_body(body: Body) -> bytes:
    """The lead's own fields in Avro binary; see :func:`schemas.records.lead_body_schema`."""
    return _body_encoder()(body)


def decode_body(body_bytes: bytes) -> Body:
    """What :func:`encode_body` was given."""
    return cast("Body", schemaless_reader(io.BytesIO(body_bytes), records.lead_body_schema(), None))


def hash_body(body_bytes: bytes) -> bytes:
    """BLAKE2b (RFC 7693) of the encoded body, cut to 8 bytes: what two equal leads share."""
    return hashlib.blake2b(body_bytes, digest_size=HASH_BYTES).digest()


def fingerprint(value: bytes, mapping_version: str, content_hash: bytes) -> bytes:
    """What a raw row and its mapping share with the content they came to: BLAKE2b over all three, cut to 8 bytes."""
    return hashlib.blake2b(content_hash + mapping_version.encode() + value, digest_size=FINGERPRINT_BYTES).digest()


@functools.cache
def _body_encoder() -> Callable[[Body], bytes]:
    return compile_encoder(records.lead_body_schema())
