"""How a client gets into S3 and SQS: by key, or by whatever role the machine has."""

from __future__ import annotations

import contextlib
import ssl
from datetime import datetime
from typing import Any

import aioboto3
from aiobotocore.httpsession import AIOHTTPSession
from aiobotocore.session import get_session
from botocore.utils import parse_timestamp

from leadstream import tls
from leadstream.errors import ConfigError
from leadstream.settings import S3Settings


class CheckedSession(AIOHTTPSession):  # type: ignore[misc]  # aiobotocore has no types
    """The HTTP session of every client, as ``AioConfig(http_session_cls=…)``: it checks the server's host name.

    Botocore leaves that to urllib3, and aiobotocore, which has no urllib3, to nobody: it takes any certificate of an
    authority that it trusts, whoever's it is.
    """

    def _get_ssl_context(self) -> ssl.SSLContext:
        context: ssl.SSLContext = super()._get_ssl_context()
        context.check_hostname = True
        return context


def session(settings: S3Settings) -> aioboto3.Session:
    """A session with the key of the settings; without one, of the usual AWS chain (variables, profile, role)."""
    secret = settings.secret_access_key
    core = get_session()
    core.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_moment)
    return aioboto3.Session(
        botocore_session=core,
        aws_access_key_id=settings.access_key_id,
        aws_secret_access_key=secret.get_secret_value() if secret else None,
        region_name=settings.region,
    )


def authority(settings: S3Settings) -> str | None:
    """The file of the authority that S3's certificate is verified by; ``None``: the usual ones.

    Raises:
        ConfigError: there is no such file.
    """
    return None if settings.ca_file is None else tls.pem_file("S3_CA_FILE", settings.ca_file)


def refusal(error: BaseException, settings: S3Settings) -> ConfigError | None:
    """What is wrong with S3's certificate; ``None`` when that is not what failed."""
    return tls.refusal(
        error,
        tls.Door(
            place=f"S3 at {settings.endpoint_url or 'AWS'}",
            address="S3_ENDPOINT_URL",
            ca="S3_CA_FILE",
            client="a key: S3 takes no certificate of ours",
            protocol="S3_ENDPOINT_URL",
        ),
    )


def _moment(value: Any) -> datetime:
    """As botocore reads a time, but those of a listing at once: dateutil's parser took four fifths of its cost."""
    if isinstance(value, str) and value.endswith("Z"):
        with contextlib.suppress(ValueError):
            return datetime.fromisoformat(value)
    moment: datetime = parse_timestamp(value)
    return moment
