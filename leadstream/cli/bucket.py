"""The landing bucket as a vendor sees it: files are put into it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiobotocore.config import AioConfig
from boto3.exceptions import Boto3Error  # type: ignore[import-untyped]  # boto3 has no types
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from leadstream import aws
from leadstream.errors import ConfigError, TransientError
from leadstream.settings import S3Settings

CONNECT_TIMEOUT_SECONDS = 5
READ_TIMEOUT_SECONDS = 60

_KEY_CODES = frozenset({"InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthFailure"})
_MISSING_CODES = frozenset({"NoSuchBucket"})
_RIGHT_CODES = frozenset({"AccessDenied", "403", "Forbidden"})


@dataclass(frozen=True)
class Uploaded:
    """An object that was put: ``versions`` are the names its bytes go by (version id, ETag)."""

    file: Path
    bucket: str
    key: str
    versions: tuple[str, ...]


class Bucket:
    """The bucket of the settings."""

    def __init__(self, client: Any, settings: S3Settings) -> None:
        self._client = client
        self._settings = settings

    async def check(self) -> None:
        """Make sure that the bucket is there and may be listed.

        Raises:
            ConfigError: wrong key, missing right, or no such bucket.
            TransientError: S3 is away.
        """
        with _translated(self._settings):
            await self._client.list_objects_v2(Bucket=self._settings.bucket, MaxKeys=1)

    async def upload(self, file: Path, key: str) -> Uploaded:
        """Put a file at ``key``; big files go in parts.

        Raises:
            ConfigError: wrong key, missing right, or no such bucket.
            TransientError: S3 is away.
        """
        bucket = self._settings.bucket
        with _translated(self._settings):
            await self._client.upload_file(str(file), bucket, key)
            head = await self._client.head_object(Bucket=bucket, Key=key)
        versions = (head.get("VersionId", ""), head["ETag"].strip('"'))
        return Uploaded(file, bucket, key, tuple(version for version in versions if version))


@contextlib.asynccontextmanager
async def open_bucket(settings: S3Settings) -> AsyncIterator[Bucket]:
    """The bucket, with a client that is closed again."""
    config = AioConfig(
        http_session_cls=aws.CheckedSession,
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        retries={"mode": "standard", "max_attempts": 2},
        s3={"addressing_style": "path"} if settings.endpoint_url else {},
    )
    made = aws.session(settings).client(
        "s3", endpoint_url=settings.endpoint_url, config=config, verify=aws.authority(settings)
    )
    async with made as client:
        yield Bucket(client, settings)


@contextlib.contextmanager
def _translated(settings: S3Settings) -> Iterator[None]:
    place = settings.endpoint_url or "AWS"
    try:
        yield
    except ClientError as exc:
        code = str(exc.response.get("Error", {}).get("Code", ""))
        raise _explain(code, settings, place) from exc
    except Boto3Error as exc:
        # upload_file wraps the answer in its own error, as text only.
        codes = _KEY_CODES | _MISSING_CODES | _RIGHT_CODES
        code = next((code for code in sorted(codes) if f"({code})" in str(exc)), type(exc).__name__)
        raise _explain(code, settings, place) from exc
    except NoCredentialsError as exc:
        raise ConfigError(
            f"no access key for S3 at {place}",
            hint="start one (`leadstream up`), or set S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY",
        ) from exc
    except (BotoCoreError, TimeoutError, ConnectionError) as exc:
        refusal = aws.refusal(exc, settings)
        if refusal is not None:
            raise refusal from exc
        raise TransientError(
            f"S3 at {place} cannot be reached ({type(exc).__name__})",
            hint="start it (`leadstream up`), or check S3_ENDPOINT_URL",
        ) from exc


def _explain(code: str, settings: S3Settings, place: str) -> ConfigError | TransientError:
    if code in _KEY_CODES:
        return ConfigError(
            f"S3 at {place} refuses the access key ({code})",
            hint="check S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY",
        )
    if code in _MISSING_CODES:
        return ConfigError(f"S3 at {place} has no bucket {settings.bucket!r}", hint="create it, or set S3_BUCKET")
    if code in _RIGHT_CODES:
        return ConfigError(
            f"S3 at {place} does not let this key use bucket {settings.bucket!r}",
            hint="grant it s3:ListBucket, s3:GetObject and s3:PutObject",
        )
    return TransientError(f"S3 at {place} answered {code} for bucket {settings.bucket!r}", hint="try again")
