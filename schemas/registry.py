"""The schema registry (Confluent API), with its errors in our words."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any

from confluent_kafka.schema_registry import AsyncSchemaRegistryClient, Schema

# the client uses httpx2 or httpx, whichever is there, and lets its errors through
from confluent_kafka.schema_registry.common._httpx_compat import httpx
from confluent_kafka.schema_registry.error import SchemaRegistryError

from leadstream import tls
from leadstream.errors import BadRecordError, ConfigError, FatalError, TransientError
from leadstream.settings import RegistrySettings
from schemas.records import JsonSchema

REQUEST_TIMEOUT_SECONDS = 10
UNKNOWN_ID_ATTEMPTS = 3
UNKNOWN_ID_WAIT_SECONDS = 0.3

HTTP_NOT_FOUND = 404
HTTP_CONFLICT = 409
LOGIN_STATUSES = frozenset({401, 403})
CONFIG_STATUSES = frozenset({405})
BUSY_STATUSES = frozenset({408, 429})
HTTP_SERVER_ERROR = 500


class Registry:
    """Schemas by subject and by id. What was read once is remembered: an id never changes its schema.

    Every method raises TransientError when the registry is away and ConfigError when it refuses the login.
    """

    def __init__(self, settings: RegistrySettings) -> None:
        self._settings = settings
        self._place = re.sub(r"//[^/@]*@", "//", settings.url)
        """The URL without a user and password that somebody may have put into it."""
        self._credentials = "the token" if settings.token else f"the user {settings.username!r} or the password"
        if settings.token is None and settings.username is None:
            self._credentials = "to answer without a login"
        # Waiting is the callers' affair (leadstream.retry), so the client tries once.
        options = {"url": settings.url, "max.retries": 0, "timeout": REQUEST_TIMEOUT_SECONDS, **_login(settings)}
        self._client: Any = AsyncSchemaRegistryClient(options)  # its own types say that anything may be None
        self._ids: dict[tuple[str, str], int] = {}
        self._schemas: dict[int, JsonSchema] = {}

    async def close(self) -> None:
        """Let go of the connections."""
        await self._client.aclose()

    async def register(self, subject: str, schema: JsonSchema) -> int:
        """The id of ``schema`` under ``subject``; registered as its next version when it is new.

        Raises:
            ConfigError: it is new, and registration is switched off.
            FatalError: the registry refuses it; says why.
        """
        # Registries compare texts (Apicurio gives an indented copy another id): always send the same.
        text = json.dumps(schema, separators=(",", ":"), ensure_ascii=False)
        known = self._ids.get((subject, text))
        if known is not None:
            return known
        try:
            with self._errors_translated(f"subject {subject}"):
                if self._settings.auto_register:
                    found = await self._client.register_schema(subject, Schema(text, "AVRO"))
                else:
                    found = (await self._client.lookup_schema(subject, Schema(text, "AVRO"))).schema_id
        except _NotFoundError as exc:
            raise ConfigError(
                f"subject {subject}: the schema is not registered, SCHEMA_REGISTRY_AUTO_REGISTER is off",
                hint="register it, or switch registration on",
            ) from exc
        schema_id: int = found
        self._ids[subject, text] = schema_id
        return schema_id

    async def get(self, schema_id: int) -> JsonSchema:
        """The schema with this id.

        Raises:
            BadRecordError: (code ``undecodable``) the registry does not know the id.
        """
        known = self._schemas.get(schema_id)
        if known is not None:
            return known
        for attempt in range(1, UNKNOWN_ID_ATTEMPTS + 1):
            try:
                with self._errors_translated(f"schema id {schema_id}"):
                    found = await self._client.get_schema(schema_id)
            except _NotFoundError as exc:
                # A replica of the registry may be behind the one that gave the id out.
                if attempt == UNKNOWN_ID_ATTEMPTS:
                    raise BadRecordError(f"the registry has no schema {schema_id}", code="undecodable") from exc
                await asyncio.sleep(UNKNOWN_ID_WAIT_SECONDS)
            else:
                break
        schema: JsonSchema = json.loads(found.schema_str)
        self._schemas[schema_id] = schema
        return schema

    async def latest(self, subject: str) -> tuple[int, JsonSchema] | None:
        """Id and schema of the subject's newest version; ``None`` when there is no such subject."""
        try:
            with self._errors_translated(f"subject {subject}"):
                await self._client.clear_latest_caches()
                found = await self._client.get_latest_version(subject)
        except _NotFoundError:
            return None
        return found.schema_id, json.loads(found.schema.schema_str)

    async def versions(self, subject: str) -> list[int]:
        """The subject's version numbers, oldest first; empty when there is no such subject."""
        try:
            with self._errors_translated(f"subject {subject}"):
                versions: list[int] = await self._client.get_versions(subject)
                return sorted(versions)
        except _NotFoundError:
            return []

    async def version(self, subject: str, number: int) -> tuple[int, JsonSchema] | None:
        """Id and schema of one version; ``None`` when there is no such subject or version."""
        try:
            with self._errors_translated(f"subject {subject} version {number}"):
                found = await self._client.get_version(subject, number)
        except _NotFoundError:
            return None
        return found.schema_id, json.loads(found.schema.schema_str)

    async def subjects(self) -> list[str]:
        """The names of all subjects, sorted."""
        with self._errors_translated("subjects"):
            names: list[str] = await self._client.get_subjects()
            return sorted(names)

    async def set_compatibility(self, subject: str, level: str) -> None:
        """Set which changes the subject accepts, e.g. ``FULL_TRANSITIVE``."""
        with self._errors_translated(f"subject {subject}"):
            try:
                await self._client.set_compatibility(subject, level)
            except SchemaRegistryError as exc:
                if exc.http_status_code != HTTP_CONFLICT:
                    raise
                # Another worker sets the subject's first level in this moment; now there is one, which can be changed.
                await self._client.set_compatibility(subject, level)

    @contextlib.contextmanager
    def _errors_translated(self, what: str) -> Iterator[None]:
        try:
            yield
        except SchemaRegistryError as exc:
            status, reason = exc.http_status_code, exc.error_message
            if status == HTTP_NOT_FOUND:
                raise _NotFoundError(f"schema registry: {what}: {reason}") from exc
            if status in LOGIN_STATUSES:
                raise ConfigError(
                    f"schema registry at {self._place} refuses {self._credentials} for {what} (HTTP {status})",
                    hint="check SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_PASSWORD, or SCHEMA_REGISTRY_TOKEN, "
                    "and what they allow",
                ) from exc
            if status in CONFIG_STATUSES:
                raise ConfigError(
                    f"schema registry: {what}: {reason} (HTTP {status})",
                    hint="check the SCHEMA_REGISTRY_* settings",
                ) from exc
            if status >= HTTP_SERVER_ERROR or status in BUSY_STATUSES:
                raise TransientError(f"schema registry: {what}: {reason} (HTTP {status})") from exc
            hint = "change the schema so that old and new readers survive" if status == HTTP_CONFLICT else ""
            raise FatalError(f"schema registry refuses {what}: {reason}", hint=hint) from exc
        except httpx.TransportError as exc:
            refusal = tls.refusal(
                exc,
                tls.Door(
                    place=f"schema registry at {self._place}",
                    address="SCHEMA_REGISTRY_URL",
                    ca="SCHEMA_REGISTRY_CA_FILE",
                    client="a certificate: this client shows none",
                    protocol="SCHEMA_REGISTRY_URL",
                ),
            )
            if refusal is not None:
                raise refusal from exc
            raise TransientError(
                f"schema registry at {self._place} is away: {type(exc).__name__}",
                hint="start it (`leadstream up`), or check SCHEMA_REGISTRY_URL",
            ) from exc


def _login(settings: RegistrySettings) -> dict[str, str]:
    options: dict[str, str] = {}
    if settings.ca_file is not None:
        options["ssl.ca.location"] = tls.pem_file("SCHEMA_REGISTRY_CA_FILE", settings.ca_file)
    if settings.token is not None:
        if settings.username is not None:
            raise ConfigError(
                "the schema registry is given two logins",
                hint="unset SCHEMA_REGISTRY_TOKEN or SCHEMA_REGISTRY_USERNAME",
            )
        options["bearer.auth.credentials.source"] = "STATIC_TOKEN"
        options["bearer.auth.token"] = settings.token.get_secret_value()
        options["bearer.auth.logical.cluster"] = ""  # the client wants one; only Confluent's cloud looks at it
    elif settings.username is not None:
        password = settings.password.get_secret_value() if settings.password else ""
        options["basic.auth.user.info"] = f"{settings.username}:{password}"
    return options


class _NotFoundError(FatalError):
    """What was asked for is not in the registry."""
