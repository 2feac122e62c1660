"""Who is to stay out: people whose data was erased, known by keyed digests alone.

They stand in ``forget`` and ``unforget`` commands on ``leads.commands``, which every lane has all of, for ever;
whoever needs to know them reads a partition of it once. No key, phone or e-mail can be read back from a digest
(or found by trying all numbers) without the secret ``LEADSTREAM_PRIVACY_KEY``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from leadstream.changelog import read_partition
from leadstream.errors import BadRecordError, ConfigError
from leadstream.settings import Settings
from schemas.codec import Decoder
from schemas.topics import COMMANDS

DIGEST_BYTES = 16
FORGET, UNFORGET = "forget", "unforget"
KINDS = frozenset({FORGET, UNFORGET})
PHONE_FIELDS = ("phone", "phone2")
NUMBER_DIGITS = 10
"""Of a phone number without its country."""


class Digester:
    """Makes digests: BLAKE2b (RFC 7693), keyed, so that they mean nothing without the secret."""

    def __init__(self, secret: str) -> None:
        self._key = hashlib.blake2b(secret.encode(), digest_size=32).digest()
        self.check = self._digest(b"check", b"").hex()
        """Tells one secret from another."""

    def of_lead(self, lead_key: bytes) -> bytes:
        """Of a lead's key (``<source>:<provider key>`` in UTF-8)."""
        return self._digest(b"lead", lead_key)

    def of_phone(self, phone: str) -> bytes:
        """Of a phone number in E.164; its extension does not count."""
        return self._digest(b"phone", phone.partition(";")[0].encode())

    def of_email(self, email: str) -> bytes:
        """Of an e-mail address, in any case."""
        return self._digest(b"email", email.strip().lower().encode())

    def _digest(self, kind: bytes, value: bytes) -> bytes:
        return hashlib.blake2b(value, digest_size=DIGEST_BYTES, key=self._key, person=kind).digest()


class Forgotten:
    """Those who are to stay out, folded from commands; empty until :meth:`take`."""

    def __init__(self, digester: Digester | None = None) -> None:
        self._digester = digester
        self._by_subject: dict[bytes, frozenset[bytes]] = {}
        self._digests: frozenset[bytes] = frozenset()
        self._next_offset = 0

    def __bool__(self) -> bool:
        return bool(self._digests)

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._digests

    def take(self, command: Mapping[str, Any], offset: int) -> None:
        """Take in a command, in the order of their offsets; one that was taken in before changes nothing.

        Raises:
            ConfigError: its digests were made with another secret than ours, or we have none: nobody could be kept out.
        """
        if command["kind"] not in KINDS or offset < self._next_offset:
            return
        self._next_offset = offset + 1
        if self._digester is None or command["digest_key"] != self._digester.check:
            missing = "is not set" if self._digester is None else "is another one than theirs"
            raise ConfigError(
                f"people are to be kept out (leadstream forget), but LEADSTREAM_PRIVACY_KEY {missing}",
                hint="give every stage and every operator the same LEADSTREAM_PRIVACY_KEY",
            )
        subject, *_others = command["digests"]
        if command["kind"] == FORGET:
            self._by_subject[subject] = self._by_subject.get(subject, frozenset()) | frozenset(command["digests"])
        else:
            self._by_subject.pop(subject, None)
        self._digests = frozenset().union(*self._by_subject.values())

    def is_subject(self, digest: bytes) -> bool:
        """Whether a command asked for just this one."""
        return digest in self._by_subject

    def has_lead(self, source: str, key: bytes) -> bool:
        """Whether the lead with the provider's ``key`` is to stay out."""
        if not self._digests or self._digester is None:
            return False
        return self._digester.of_lead(f"{source}:".encode() + key) in self._digests

    def has_contact(self, lead: Mapping[str, Any]) -> bool:
        """Whether a lead is to stay out for a phone or an e-mail in it."""
        if not self._digests or self._digester is None:
            return False
        found = [self._digester.of_phone(lead[name]) for name in PHONE_FIELDS if lead.get(name)]
        if lead.get("email"):
            found.append(self._digester.of_email(lead["email"]))
        return not self._digests.isdisjoint(found)

    def has_contact_in(self, cells: Iterable[str | None]) -> bool:
        """Whether one of a vendor's cells is, as a whole, a phone (of the USA) or an e-mail to keep out."""
        if not self._digests or self._digester is None:
            return False
        found = []
        for cell in filter(None, cells):
            if "@" in cell:
                found.append(self._digester.of_email(cell))
            digits = "".join(filter(str.isdigit, cell)).removeprefix("1")
            if len(digits) == NUMBER_DIGITS:
                found.append(self._digester.of_phone(f"+1{digits}"))
        return not self._digests.isdisjoint(found)


def digester_of(settings: Settings) -> Digester | None:
    """The digester of the secret in the settings; None: there is none."""
    return Digester(settings.privacy_key.get_secret_value()) if settings.privacy_key else None


async def read_forgotten(settings: Settings, decoder: Decoder, lane: int) -> Forgotten:
    """Everybody who is to stay out by now.

    Raises:
        TransientError: Kafka or the registry is away.
        ConfigError: they are known by digests of another secret than ours.
    """
    forgotten = Forgotten(digester_of(settings))
    async for messages in read_partition(settings.kafka, COMMANDS, lane):
        for message in messages:
            try:
                _schema_id, command = await decoder.decode(message.value or b"")
            except BadRecordError:
                continue  # the lane says so when it comes to it
            forgotten.take(command, message.offset)
    return forgotten
