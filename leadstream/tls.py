"""Why a TLS connection was refused, in our words: each library wraps the same few causes in errors of its own."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from leadstream.errors import ConfigError

WRONG_NAME_CODES = frozenset({62, 64})
"""X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH of OpenSSL."""
WRONG_TIME_CODES = frozenset({9, 10})
"""X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""
NO_TLS_REASONS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST"})


@dataclass(frozen=True)
class Door:
    """One server as an error names it, and the settings that lead through its door."""

    place: str
    """E.g. ``Kafka at broker:9093``."""
    address: str
    """The setting that has the host name."""
    ca: str
    """The setting that names the certificate authority."""
    client: str
    """The settings of our own certificate."""
    protocol: str
    """The setting that says whether TLS is spoken."""


def pem_file(setting: str, file: Path) -> str:
    """The path of a certificate's file, for the libraries.

    Raises:
        ConfigError: there is no such file; names the ``setting``.
    """
    if not file.is_file():
        raise ConfigError(f"{setting}={file} is no file", hint="name a readable PEM file")
    return str(file)


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what it was raised from, and so on to the first."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def refusal(error: BaseException, door: Door) -> ConfigError | None:
    """What is wrong with a certificate, ours or theirs; ``None`` when TLS is not what failed."""
    for cause in causes(error):
        if not hasattr(cause, "reason"):
            continue  # aiohttp's error is one of these too, without their fields; what it was raised from has them
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _untrusted(cause, door)
        if isinstance(cause, ssl.SSLError):
            found = _refused(cause, door)
            if found is not None:
                return found
    return None


def _untrusted(cause: ssl.SSLCertVerificationError, door: Door) -> ConfigError:
    if cause.verify_code in WRONG_NAME_CODES:
        return ConfigError(
            f"{door.place} has a certificate for another host name ({cause.verify_message})",
            hint=f"use a name in {door.address} that stands in its certificate",
        )
    if cause.verify_code in WRONG_TIME_CODES:
        return ConfigError(
            f"{door.place} has a certificate that is not valid today ({cause.verify_message})",
            hint="renew it, or set this machine's clock",
        )
    return ConfigError(
        f"{door.place} has a certificate of an authority that is not trusted here ({cause.verify_message})",
        hint=f"name the file of its authority in {door.ca}",
    )


def _refused(cause: ssl.SSLError, door: Door) -> ConfigError | None:
    reason = cause.reason or str(cause)
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        return ConfigError(
            f"{door.place} wants a certificate of ours that it trusts ({reason.lower().replace('_', ' ')})",
            hint=f"set {door.client}",
        )
    if reason in NO_TLS_REASONS:
        return ConfigError(f"{door.place} does not speak TLS there", hint=f"check the port, and {door.protocol}")
    return None
