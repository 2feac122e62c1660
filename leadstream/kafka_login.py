"""How a client gets into Kafka, and why it does not: aiokafka only says that it could not connect."""

from __future__ import annotations

import ssl
from typing import Any

from aiokafka import errors
from aiokafka.conn import AIOKafkaConnection, collect_hosts, create_conn
from aiokafka.helpers import create_ssl_context
from aiokafka.protocol.metadata import MetadataRequest

from leadstream import tls
from leadstream.errors import ConfigError
from leadstream.settings import KafkaSettings

PROBE_TIMEOUT_MILLISECONDS = 5_000
REFUSED_LOGIN_ERRORS = (errors.AuthenticationFailedError, errors.SaslAuthenticationFailed)
WRONG_MECHANISM_ERRORS = (errors.UnsupportedSaslMechanismError, errors.IllegalSaslStateError)


def connection_options(settings: KafkaSettings) -> dict[str, Any]:
    """What every client of aiokafka is told of the servers and the login.

    Raises:
        ConfigError: a certificate file cannot be used, or user or password are missing.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "security_protocol": settings.security_protocol,
        "ssl_context": ssl_context(settings),
    }
    if settings.security_protocol.startswith("SASL"):
        if settings.sasl_username is None or settings.sasl_password is None:
            raise ConfigError(
                f"KAFKA_SECURITY_PROTOCOL={settings.security_protocol} needs a user and a password",
                hint="set KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD (or KAFKA_SASL_PASSWORD_FILE)",
            )
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = settings.sasl_password.get_secret_value()
    return options


def ssl_context(settings: KafkaSettings) -> ssl.SSLContext | None:
    """How brokers are verified (authority and host name, always) and what we show them; ``None``: no TLS.

    Raises:
        ConfigError: a certificate file cannot be used.
    """
    if not settings.security_protocol.endswith("SSL"):
        return None
    files = {"CA": settings.ssl_ca_file, "CERT": settings.ssl_cert_file, "KEY": settings.ssl_key_file}
    for name, file in files.items():
        if file is not None:
            tls.pem_file(f"KAFKA_SSL_{name}_FILE", file)
    try:
        context: ssl.SSLContext = create_ssl_context(cafile=files["CA"], certfile=files["CERT"], keyfile=files["KEY"])
    except OSError as exc:
        named = ", ".join(f"KAFKA_SSL_{name}_FILE" for name, file in files.items() if file is not None)
        raise ConfigError(
            f"the certificates of {named} cannot be used: {exc}", hint="name readable PEM files that belong together"
        ) from exc
    return context


async def check_login(settings: KafkaSettings) -> None:
    """Knock at each broker: pass if it lets us in or is only away, say why if it refuses.

    A broker that lets us in names the others; these are asked too, since clients go on to them.

    Raises:
        ConfigError: a broker refuses us, or we it; says which of certificate, host name, user or mechanism is wrong.
    """
    for host, port, _family in collect_hosts(settings.bootstrap_servers):
        refusal = await _knock(settings, host, port, ask_for_others=True)
        if refusal is not None:
            raise refusal


async def _knock(settings: KafkaSettings, host: str, port: int, *, ask_for_others: bool) -> ConfigError | None:
    options = {**connection_options(settings), "request_timeout_ms": PROBE_TIMEOUT_MILLISECONDS}
    del options["bootstrap_servers"]
    others: list[Any] = []
    connection: AIOKafkaConnection | None = None
    try:
        connection = await create_conn(host, port, **options)
        if ask_for_others:
            others = (await connection.send(MetadataRequest([]))).brokers
    except (OSError, TimeoutError, errors.KafkaError) as exc:
        return _refusal(exc, f"{host}:{port}", settings)
    finally:
        if connection is not None:
            connection.close()
    for _node, name, number, *_rack in others:
        if (name, number) != (host, port):
            found = await _knock(settings, name, number, ask_for_others=False)
            if found is not None:
                return found
    return None


def _refusal(error: Exception, place: str, settings: KafkaSettings) -> ConfigError | None:
    for cause in tls.causes(error):
        if isinstance(cause, REFUSED_LOGIN_ERRORS):
            return ConfigError(
                f"Kafka at {place} refuses the user {settings.sasl_username!r} or the password",
                hint=f"check KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD ({settings.sasl_mechanism})",
            )
        if isinstance(cause, WRONG_MECHANISM_ERRORS):
            return ConfigError(
                f"Kafka at {place} does not take {settings.sasl_mechanism} with {settings.security_protocol}",
                hint="check KAFKA_SASL_MECHANISM and KAFKA_SECURITY_PROTOCOL",
            )
    return tls.refusal(
        error,
        tls.Door(
            place=f"Kafka at {place}",
            address="KAFKA_BOOTSTRAP_SERVERS (or the broker's advertised.listeners)",
            ca="KAFKA_SSL_CA_FILE",
            client="KAFKA_SSL_CERT_FILE and KAFKA_SSL_KEY_FILE",
            protocol="KAFKA_SECURITY_PROTOCOL",
        ),
    )
