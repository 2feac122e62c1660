"""The bucket: listing it, asking for one object, reading one version of one object as a stream."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import aiohttp
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from leadstream import aws
from leadstream.errors import BadRecordError, ConfigError, TransientError
from leadstream.settings import S3Settings
from leadstream.tasks import given_up
from producer.arrivals import Arrival, told_version

CHUNK_BYTES = 1024 * 1024
CONNECT_TIMEOUT_SECONDS = 5
READ_TIMEOUT_SECONDS = 30

KEY_ERRORS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthFailure"}
REFUSED_ERRORS = {"NoSuchBucket", "AccessDenied", "403", "Forbidden", "400", "InvalidRequest"}
"""What costs one object: a right on it, or an encryption that wants a key of the customer's with each request."""
GONE_ERRORS = {"NoSuchKey", "NoSuchVersion", "PreconditionFailed", "404", "412"}


class S3Input:
    """Reads the landing bucket. Use as an async context manager."""

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings
        self._stack = contextlib.AsyncExitStack()
        self._client: Any = None

    async def __aenter__(self) -> S3Input:
        config = AioConfig(
            http_session_cls=aws.CheckedSession,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            read_timeout=READ_TIMEOUT_SECONDS,
            retries={"mode": "standard", "max_attempts": 2},
            s3={"addressing_style": "path"} if self._settings.endpoint_url else {},
        )
        client = aws.session(self._settings).client(
            "s3", endpoint_url=self._settings.endpoint_url, config=config, verify=aws.authority(self._settings)
        )
        self._client = await self._stack.enter_async_context(client)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def check(self) -> None:
        """Make sure that the bucket is there and may be read.

        Raises:
            ConfigError: wrong key, no permission, or no such bucket.
            TransientError: S3 is away.
        """
        with self._translated():
            await self._client.list_objects_v2(Bucket=self._settings.bucket, MaxKeys=1)

    async def listing(self, prefix: str = "") -> AsyncGenerator[list[Arrival], None]:
        """Every object of the bucket (under a prefix), as it stands now, in pages of up to 1,000.

        Raises:
            TransientError: S3 is away.
        """
        with self._translated():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._settings.bucket, Prefix=prefix)
            async for page in pages:
                yield [
                    Arrival(
                        bucket=self._settings.bucket,
                        key=item["Key"],
                        etag=item["ETag"].strip('"'),
                        version_id=None,
                        last_modified=item["LastModified"],
                        size_bytes=item["Size"],
                    )
                    for item in page.get("Contents", ())
                    if not (item["Key"].endswith("/") and item["Size"] == 0)  # what consoles make to show a folder
                ]

    async def head(
        self, bucket: str, key: str, version_id: str | None = None, *, with_version: bool = False
    ) -> Arrival | None:
        """One object (or one version of it) as S3 knows it; None when it is not there.

        ``with_version`` names it by its version, where the bucket keeps versions, though none was asked for.
        """
        extra = {"VersionId": version_id} if version_id else {}
        with self._translated(one_object=f"s3://{bucket}/{key}"):
            try:
                answer = await self._client.head_object(Bucket=bucket, Key=key, **extra)
            except ClientError as exc:
                if _code(exc) in GONE_ERRORS:
                    return None
                raise
        return Arrival(
            bucket=bucket,
            key=key,
            etag=answer["ETag"].strip('"'),
            version_id=version_id or (told_version(answer.get("VersionId")) if with_version else None),
            last_modified=answer["LastModified"],
            size_bytes=answer["ContentLength"],
        )

    async def read(self, arrival: Arrival) -> AsyncGenerator[bytes, None]:
        """The object's bytes in chunks, pinned to its ETag and version: no chunk of another version ever comes.

        A connection that breaks midway is taken up again where it broke.

        Raises:
            BadRecordError: code ``overwritten``: the object was replaced or removed.
            TransientError: S3 is away, or answers with what was not asked for.
        """
        extra = {"VersionId": arrival.version_id} if arrival.version_id else {}
        position = 0
        while position < arrival.size_bytes or position == 0:
            before = position
            with self._translated(one_object=f"s3://{arrival.bucket}/{arrival.key}"):
                try:
                    if arrival.size_bytes:
                        extra["Range"] = f"bytes={position}-"
                    answer = await self._client.get_object(
                        Bucket=arrival.bucket, Key=arrival.key, IfMatch=f'"{arrival.etag}"', **extra
                    )
                except ClientError as exc:
                    if _code(exc) in GONE_ERRORS:
                        raise _overwritten(arrival) from exc
                    raise
                body = answer["Body"]
                async with body:
                    if not _continues(answer, arrival, position):
                        await self._refuse_foreign(arrival)
                    # A connection that breaks is no fault of the file: go on from where it broke.
                    with contextlib.suppress(OSError, aiohttp.ClientError, BotoCoreError):
                        while chunk := await body.read(CHUNK_BYTES):
                            position += len(chunk)
                            yield chunk
            if arrival.size_bytes == 0:
                return
            if position == before:
                raise TransientError(f"s3://{arrival.bucket}/{arrival.key}: no byte came after {position}")

    async def _refuse_foreign(self, arrival: Arrival) -> None:
        """S3 answered with bytes of another version, or from another place, though it was told what is wanted.

        Raises:
            BadRecordError: the object is another one now.
            TransientError: it is not: the file is read again from its start.
        """
        stands = await self.head(arrival.bucket, arrival.key, arrival.version_id)
        if stands is None or stands.etag != arrival.etag:
            raise _overwritten(arrival)
        raise TransientError(f"S3 answered with other bytes than those of s3://{arrival.bucket}/{arrival.key}")

    @contextlib.contextmanager
    def _translated(self, one_object: str = "") -> Iterator[None]:
        """Errors in our words; what is refused for ``one_object`` alone costs that object, not the process."""
        bucket = self._settings.bucket
        try:
            yield
        except ClientError as exc:
            code = _code(exc)
            status = exc.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            if code in KEY_ERRORS:
                raise ConfigError(
                    f"S3 refuses the access key ({code})",
                    hint="check S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY",
                ) from exc
            if one_object and code in REFUSED_ERRORS:
                raise BadRecordError(
                    f"{one_object} may not be read ({code})",
                    code="forbidden",
                    hint="grant s3:GetObject on it (with versions s3:GetObjectVersion, too), and on its KMS key",
                ) from exc
            if code in {"NoSuchBucket"}:
                raise ConfigError(f"there is no bucket {bucket!r}", hint="create it, or set S3_BUCKET") from exc
            if code in {"AccessDenied", "403", "Forbidden"}:
                raise ConfigError(
                    f"S3 does not let this key read bucket {bucket!r}",
                    hint="grant s3:ListBucket and s3:GetObject",
                ) from exc
            raise TransientError(f"S3 answered {status} {code} for bucket {bucket!r}") from exc
        except (NoCredentialsError, PartialCredentialsError) as exc:
            raise ConfigError(
                "no key for S3 was found", hint="set S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY, or use an AWS role"
            ) from exc
        except (BotoCoreError, OSError, TimeoutError) as exc:
            refusal = aws.refusal(exc, self._settings)
            if refusal is not None:
                raise refusal from exc
            raise TransientError(
                f"S3 cannot be reached at {self._settings.endpoint_url or 'AWS'} ({type(exc).__name__})"
            ) from exc


async def read_ahead(chunks: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """The same chunks; the next one is fetched while the last one is in use."""

    async def fetch() -> bytes:
        return await anext(chunks, b"")

    async with contextlib.aclosing(chunks):
        following = asyncio.create_task(fetch())
        try:
            while chunk := await following:
                following = asyncio.create_task(fetch())
                yield chunk
        finally:
            await given_up(following)


def _continues(answer: Any, arrival: Arrival, position: int) -> bool:
    """Whether an answer is of the version that is read, and goes on where the reading stopped.

    Not every store, and not every proxy before one, knows If-Match and Range.
    """
    is_same = answer["ETag"].strip('"') == arrival.etag
    return is_same and (position == 0 or answer.get("ContentRange", "").startswith(f"bytes {position}-"))


def _overwritten(arrival: Arrival) -> BadRecordError:
    return BadRecordError(
        f"s3://{arrival.bucket}/{arrival.key} was replaced or removed while it was read",
        code="overwritten",
        hint="nothing to do: what stands there now is its own load",
    )


def _code(exc: ClientError) -> str:
    return str(exc.response.get("Error", {}).get("Code", ""))
