"""Arrivals announced by an SQS queue.

A message is deleted only when every load it names is committed (or already known); while a big file is split its
visibility timeout is extended. A message about a source that another producer owns is handed back at once. A
notice that never comes is made up for by looks at the bucket (:mod:`producer.service`).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError

from leadstream import aws
from leadstream.errors import BadRecordError, ConfigError, TransientError
from leadstream.log import get_logger
from leadstream.retry import forever
from leadstream.settings import ProducerSettings, S3Settings
from producer.arrivals import Arrival
from producer.notices import parse_notice
from producer.s3_input import S3Input

LONG_POLL_SECONDS = 10
MESSAGES_PER_RECEIVE = 10
HANDED_BACK_SECONDS = 1
REFUSED_CODES = frozenset({"AccessDenied", "AccessDeniedException", "InvalidClientTokenId", "SignatureDoesNotMatch"})

log = get_logger("producer")

Offer = Callable[[Arrival], bool]
"""Takes an arrival if this process owns its source; says whether it did."""


class SqsArrivals:
    """Receives notices, asks S3 for the objects they name, and offers those to the lanes."""

    def __init__(self, settings: ProducerSettings, s3_settings: S3Settings, s3: S3Input, offer: Offer) -> None:
        if not settings.sqs_queue_url:
            raise ConfigError("PRODUCER_ARRIVALS=sqs needs a queue", hint="set PRODUCER_SQS_QUEUE_URL")
        self._settings = settings
        self._s3_settings = s3_settings
        self._s3 = s3
        self._offer = offer
        self._client: Any = None

    async def run(self) -> None:
        """Receive until cancelled."""
        session = aws.session(self._s3_settings)
        config = AioConfig(http_session_cls=aws.CheckedSession, connect_timeout=5, read_timeout=LONG_POLL_SECONDS + 10)
        async with (
            session.client("sqs", endpoint_url=self._settings.sqs_endpoint_url, config=config) as self._client,
            asyncio.TaskGroup() as handlers,
        ):
            while True:
                for message in await forever(self._receive, what="SQS"):
                    handlers.create_task(self._handle(message))

    async def _receive(self) -> list[dict[str, Any]]:
        with self._translated():
            answer = await self._client.receive_message(
                QueueUrl=self._settings.sqs_queue_url,
                MaxNumberOfMessages=MESSAGES_PER_RECEIVE,
                WaitTimeSeconds=LONG_POLL_SECONDS,
                VisibilityTimeout=self._settings.sqs_visibility_timeout_seconds,
            )
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        return messages

    async def _handle(self, message: dict[str, Any]) -> None:
        """See one message to its end: deleted, handed back, or (on an error) left to come again by itself."""
        handle = message["ReceiptHandle"]
        try:
            notices = parse_notice(message["Body"])
        except BadRecordError as exc:
            # Left in the queue on purpose: its redrive policy keeps what nobody understands.
            log.warning("bad_notice", message_id=message["MessageId"], why=str(exc))
            return
        keep_hidden = asyncio.create_task(self._extend_visibility(handle))
        try:
            settled = []
            for notice in notices:
                ask = functools.partial(self._s3.head, notice.bucket, notice.key, notice.version_id, with_version=True)
                arrival = await forever(ask, what="S3")
                if arrival is None:
                    log.info("announced_object_is_gone", bucket=notice.bucket, key=notice.key)
                    continue
                waiter = asyncio.get_running_loop().create_future()
                arrival.waiters.append(waiter)
                if not self._offer(arrival):
                    waiter.set_result(False)
                settled.append(waiter)
            if all([await waiter for waiter in settled]):
                await self._quietly(self._delete(handle))
            else:
                await self._quietly(self._change_visibility(handle, HANDED_BACK_SECONDS))
        except (BadRecordError, ConfigError) as exc:
            # Another bucket, or an object we may not read: the queue's redrive policy keeps the message.
            log.warning("announced_object_unreadable", message_id=message["MessageId"], why=str(exc))
        finally:
            keep_hidden.cancel()

    async def _extend_visibility(self, handle: str) -> None:
        timeout = self._settings.sqs_visibility_timeout_seconds
        while True:
            await asyncio.sleep(timeout / 3)
            await self._quietly(self._change_visibility(handle, timeout))

    async def _change_visibility(self, handle: str, seconds: int) -> None:
        with self._translated():
            await self._client.change_message_visibility(
                QueueUrl=self._settings.sqs_queue_url, ReceiptHandle=handle, VisibilityTimeout=seconds
            )

    async def _delete(self, handle: str) -> None:
        with self._translated():
            await self._client.delete_message(QueueUrl=self._settings.sqs_queue_url, ReceiptHandle=handle)

    async def _quietly(self, call: Awaitable[None]) -> None:
        """A message that could not be deleted or hidden comes again; its load is known by then, so that is harmless."""
        try:
            await call
        except (TransientError, ConfigError) as exc:
            log.warning("sqs_call_failed", why=str(exc))

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except ClientError as exc:
            code = str(exc.response.get("Error", {}).get("Code", ""))
            if "NonExistentQueue" in code or "QueueDoesNotExist" in code:
                raise ConfigError(
                    f"there is no queue {self._settings.sqs_queue_url}",
                    hint="create it, or set PRODUCER_SQS_QUEUE_URL",
                ) from exc
            if code in REFUSED_CODES or code.endswith("AccessDenied"):
                raise ConfigError(
                    f"SQS does not let this key use the queue {self._settings.sqs_queue_url} ({code})",
                    hint="check S3_ACCESS_KEY_ID and S3_SECRET_ACCESS_KEY (or the role), and grant sqs:ReceiveMessage, "
                    "sqs:DeleteMessage and sqs:ChangeMessageVisibility",
                ) from exc
            raise TransientError(f"SQS answered {code}") from exc
        except (BotoCoreError, OSError, TimeoutError) as exc:
            raise TransientError(f"SQS cannot be reached ({type(exc).__name__})") from exc
