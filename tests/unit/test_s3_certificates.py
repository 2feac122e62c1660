"""S3's certificate is checked, its host name too: aiobotocore by itself checks no host name."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from leadstream.cli.bucket import open_bucket
from leadstream.errors import ConfigError, LeadstreamError, TransientError
from leadstream.settings import S3Settings
from producer.s3_input import S3Input
from tests.doors.certificates import Authority
from tests.doors.proxies import tls_before

NOBODY_LISTENS = 9


@pytest.mark.parametrize(
    ("host", "trusted", "expected", "words"),
    [
        ("localhost", "stranger", ConfigError, "authority that is not trusted"),
        ("127.0.0.1", "authority", ConfigError, "another host name"),
        ("localhost", "authority", TransientError, "cannot be reached"),
    ],
)
async def test_a_certificate_is_of_the_right_authority_and_for_the_right_name(
    host: str, trusted: str, expected: type[LeadstreamError], words: str, tmp_path: Path
) -> None:
    """The wrong one is refused by the producer and by the commands; the right one leads on, here to nobody."""
    authorities = {name: Authority(tmp_path, name) for name in ("authority", "stranger")}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authorities["authority"].issue("s3", host="localhost"))
    async with tls_before(NOBODY_LISTENS, context) as port:
        settings = S3Settings(
            endpoint_url=f"https://{host}:{port}",
            ca_file=authorities[trusted].ca_file,
            access_key_id="key",
            secret_access_key="secret",
        )
        async with S3Input(settings) as s3:
            with pytest.raises(expected, match=words):
                await s3.check()
        async with open_bucket(settings) as bucket:
            with pytest.raises(expected, match=words):
                await bucket.check()
