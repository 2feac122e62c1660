"""The registry client and the codec against the real registry."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
from fastavro import parse_schema

from leadstream.errors import BadRecordError, ConfigError, FatalError, TransientError
from leadstream.settings import RegistrySettings
from leadstream.stack.supervisor import Stack
from schemas.codec import Decoder, Encoder, frame, schema_id_of
from schemas.records import JsonSchema
from schemas.registry import Registry


@pytest.fixture
async def registry(stack: Stack) -> AsyncIterator[Registry]:
    """A client of the running registry."""
    client = Registry(RegistrySettings(url=stack.environment["SCHEMA_REGISTRY_URL"]))
    yield client
    await client.close()


@pytest.fixture
def subject() -> str:
    """A subject of its own for a test."""
    return f"leads.raw.{uuid.uuid4().hex}-value"


def schema(header: str, *more: str) -> JsonSchema:
    """A raw schema of one column, or more."""
    text = {"type": ["null", "string"], "default": None}
    fields = [{"name": "phone", "header": header, **text}, *({"name": name, **text} for name in more)]
    return {"type": "record", "name": "Row", "fields": fields}


async def test_a_header_that_differs_only_in_its_text_is_a_version_of_its_own(registry: Registry, subject: str) -> None:
    """The vendor's own header text is told apart, and comes back as it was."""
    first = await registry.register(subject, schema("Phone#"))
    second = await registry.register(subject, schema("Phöne"))
    assert first != second
    assert await registry.register(subject, schema("Phone#")) == first
    assert await registry.versions(subject) == [1, 2]
    assert await registry.get(second) == schema("Phöne")
    assert await registry.latest(subject) == (second, schema("Phöne"))
    assert subject in await registry.subjects()


async def test_the_latest_version_is_never_an_old_memory(registry: Registry, stack: Stack, subject: str) -> None:
    """What another process registers is seen at once."""
    other = Registry(RegistrySettings(url=stack.environment["SCHEMA_REGISTRY_URL"]))
    assert await registry.latest(subject) is None
    assert await registry.versions(subject) == []
    first = await other.register(subject, schema("A"))
    assert await registry.latest(subject) == (first, schema("A"))
    second = await other.register(subject, schema("B"))
    assert await registry.latest(subject) == (second, schema("B"))
    await other.close()


async def test_with_registration_off_only_known_schemas_pass(registry: Registry, stack: Stack, subject: str) -> None:
    """A known schema gives its id; a new one, or a new subject, says what to do."""
    known = await registry.register(subject, schema("A"))
    strict = Registry(RegistrySettings(url=stack.environment["SCHEMA_REGISTRY_URL"], auto_register=False))
    assert await strict.register(subject, schema("A")) == known
    for name in (subject, f"new-{subject}"):
        with pytest.raises(ConfigError, match="AUTO_REGISTER is off"):
            await strict.register(name, schema("B"))
    await strict.close()


async def test_an_incompatible_schema_is_refused_with_the_reason(registry: Registry, subject: str) -> None:
    """The registry's own words tell what does not fit."""
    await registry.register(subject, schema("A"))
    await registry.set_compatibility(subject, "FULL_TRANSITIVE")
    with pytest.raises(FatalError, match="Incompatible"):
        await registry.register(subject, {"type": "record", "name": "Row", "fields": [{"name": "must", "type": "int"}]})


async def test_a_registry_that_is_away_is_a_transient_error() -> None:
    """Waiting is the right answer."""
    away = Registry(RegistrySettings(url="http://127.0.0.1:1"))
    with pytest.raises(TransientError):
        await away.latest("any")
    await away.close()


async def test_records_go_through_the_wire_format_and_back(registry: Registry, subject: str) -> None:
    """Zero byte, id, Avro; the schema is fetched once and is at hand after."""
    schema_id = await registry.register(subject, schema("A"))
    data = Encoder(schema_id, parse_schema(schema("A"))).encode({"phone": "555-0100"})
    assert data[:5] == frame(schema_id) == b"\x00" + schema_id.to_bytes(4, "big")
    assert schema_id_of(data) == schema_id
    decoder = Decoder(registry)
    assert decoder.decode_cached(data) is None
    assert await decoder.decode(data) == (schema_id, {"phone": "555-0100"})
    assert decoder.decode_cached(data) == (schema_id, {"phone": "555-0100"})


async def test_a_reader_sees_fields_that_the_writer_did_not_know(registry: Registry, subject: str) -> None:
    """Records of an older version have the defaults of the newer."""
    schema_id = await registry.register(subject, schema("A"))
    data = Encoder(schema_id, parse_schema(schema("A"))).encode({"phone": "555-0100"})
    newer = Decoder(registry, parse_schema(schema("A", "email")))
    assert await newer.decode(data) == (schema_id, {"phone": "555-0100", "email": None})


async def test_bytes_that_are_no_record_are_a_bad_record(registry: Registry, subject: str) -> None:
    """Wrong framing, an unknown id, bytes cut off or left over: never another error, never a wrong record."""
    schema_id = await registry.register(subject, schema("A"))
    encoder = Encoder(schema_id, parse_schema(schema("A")))
    data = encoder.encode({"phone": "555-0100"})
    decoder = Decoder(registry)
    for bad in (b"", b"\x01" + data[1:], data[:-1], data + b"!", frame(schema_id) + b"\x09", frame(2**31 - 1) + b"\0"):
        with pytest.raises(BadRecordError) as caught:
            await decoder.decode(bad)
        assert caught.value.code == "undecodable"
    with pytest.raises(BadRecordError, match="does not fit"):
        encoder.encode({"phone": 3})


async def test_workers_that_start_at_once_all_set_the_level_of_a_new_subject(stack: Stack) -> None:
    """The registry refuses whoever comes second in the same moment; to that one it is set all the same."""
    clients = [Registry(RegistrySettings(url=stack.environment["SCHEMA_REGISTRY_URL"])) for _ in range(4)]
    for _ in range(5):
        subject = f"{uuid.uuid4().hex}-value"
        await clients[0].register(subject, schema("A"))
        await asyncio.gather(*(client.set_compatibility(subject, "FULL_TRANSITIVE") for client in clients))
        with pytest.raises(FatalError):
            await clients[0].register(subject, {**schema("A"), "fields": [{"name": "other", "type": "string"}]})
    for client in clients:
        await client.close()
