"""Kafka clients with the defaults that the guarantees need, and Kafka's errors in our words."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from leadstream import tls
from leadstream.errors import ConfigError, FatalError, FencedError, TransientError
from leadstream.kafka_login import check_login, connection_options
from leadstream.settings import KafkaSettings
from schemas.topics import MAX_DEAD_LETTER_BYTES, Topic

FETCH_MAX_WAIT_MILLISECONDS = 100
"""aiokafka keeps one fetch in flight a broker: the long poll of an idle partition would stall a busy one."""
MAX_REQUEST_BYTES = MAX_DEAD_LETTER_BYTES + 65_536
TOPIC_VISIBLE_WITHIN_SECONDS = 10.0
TOPIC_POLL_SECONDS = 0.05
RIGHTS_HINT = "ops/kafka-acls.sh has what each stage needs"

FENCED_ERRORS: tuple[type[Exception], ...] = (
    errors.ProducerFenced,
    errors.InvalidProducerEpoch,
    errors.InvalidProducerIdMapping,
    errors.TransactionCoordinatorFenced,
    errors.UnknownProducerId,
    errors.CommitFailedError,
    errors.IllegalGenerationError,
    errors.UnknownMemberIdError,
    errors.RebalanceInProgressError,
    errors.MemberIdRequired,
)
CONFIG_ERRORS: tuple[type[Exception], ...] = (
    errors.AuthenticationFailedError,
    errors.AuthenticationMethodNotSupported,
    errors.ClusterAuthorizationFailedError,
    errors.DelegationTokenAuthDisabled,
    errors.DelegationTokenAuthorizationFailed,
    errors.DelegationTokenExpired,
    errors.DelegationTokenNotFound,
    errors.DelegationTokenOwnerMismatch,
    errors.DelegationTokenRequestNotAllowed,
    errors.GroupAuthorizationFailedError,
    errors.IllegalSaslStateError,
    errors.IncompatibleBrokerVersion,
    errors.InconsistentGroupProtocolError,
    errors.InvalidConfigurationError,
    errors.InvalidGroupIdError,
    errors.InvalidPartitionsError,
    errors.InvalidPrincipalType,
    errors.InvalidReplicationAssignmentError,
    errors.InvalidReplicationFactorError,
    errors.InvalidRequiredAcksError,
    errors.InvalidSessionTimeoutError,
    errors.InvalidTopicError,
    errors.InvalidTransactionTimeout,
    errors.KafkaConfigurationError,
    errors.ListenerNotFound,
    errors.PolicyViolationError,
    errors.SaslAuthenticationFailed,
    errors.SecurityDisabled,
    errors.TopicAuthorizationFailedError,
    errors.TransactionalIdAuthorizationFailed,
    errors.UnrecognizedBrokerVersion,
    errors.UnsupportedCodecError,
    errors.UnsupportedSaslMechanismError,
    errors.UnsupportedVersionError,
)
FATAL_ERRORS: tuple[type[Exception], ...] = (
    errors.IllegalArgumentError,
    errors.InvalidCommitOffsetSizeError,
    errors.InvalidRequestError,
    errors.InvalidTimestampError,
    errors.MessageSizeTooLargeError,
    errors.OffsetMetadataTooLargeError,
    errors.RecordListTooLargeError,
    errors.RecordTooLargeError,
    errors.UnsupportedForMessageFormatError,
)
RIGHTS: dict[type[Exception], str] = {
    errors.TopicAuthorizationFailedError: "use topic",
    errors.GroupAuthorizationFailedError: "use the consumer group",
    errors.TransactionalIdAuthorizationFailed: "use the transactional id",
    errors.ClusterAuthorizationFailedError: "do this in the cluster",
}
"""What a user may not do who lacks a right."""


def consumer(settings: KafkaSettings, *topics: str, group_id: str | None, **overrides: Any) -> AIOKafkaConsumer:
    """A consumer (not started): sees only committed records, starts at the earliest, commits when told to.

    ``overrides`` are aiokafka's own arguments.

    Raises:
        ConfigError: a certificate file cannot be used.
    """
    options: dict[str, Any] = {
        "isolation_level": "read_committed",
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "fetch_max_wait_ms": FETCH_MAX_WAIT_MILLISECONDS,
    }
    return _Consumer(settings, *topics, group_id=group_id, **(options | overrides))


def producer(settings: KafkaSettings, **overrides: Any) -> AIOKafkaProducer:
    """An idempotent producer (not started) that takes messages as big as a dead letter may be.

    ``overrides`` are aiokafka's own arguments.

    Raises:
        ConfigError: a certificate file cannot be used.
    """
    options: dict[str, Any] = {
        "enable_idempotence": True,
        "acks": "all",
        "max_request_size": MAX_REQUEST_BYTES,
    }
    return _Producer(settings, **(options | overrides))


@contextlib.asynccontextmanager
async def refusals_told(settings: KafkaSettings) -> AsyncIterator[None]:
    """When a connection fails in here, find out whether we were refused: that is no outage to be waited out.

    Raises:
        ConfigError: a broker refuses us, or we it.
    """
    try:
        yield
    except (errors.KafkaConnectionError, errors.NodeNotReadyError, OSError):
        await check_login(settings)
        raise


def is_member(consumer: AIOKafkaConsumer) -> bool:
    """Whether the group's coordinator answers this consumer: aiokafka forgets it when a heartbeat fails."""
    return consumer._coordinator.coordinator_id is not None


@contextlib.contextmanager
def errors_translated() -> Iterator[None]:
    """Raise aiokafka's errors as ours.

    Raises:
        FencedError: another process took over the transactional id or the partitions.
        ConfigError: a refused login, a missing right, a topic setting that the cluster does not allow.
        FatalError: a request the broker will never accept.
        TransientError: all others; Kafka is away or busy.
    """
    try:
        yield
    except FENCED_ERRORS as exc:
        raise FencedError(f"Kafka: {_describe(exc)}", hint="another process has taken over") from exc
    except CONFIG_ERRORS as exc:
        raise _refused(exc) from exc
    except FATAL_ERRORS as exc:
        raise FatalError(f"Kafka will not take this: {_describe(exc)}") from exc
    except (errors.KafkaError, OSError) as exc:
        # What a task in the background met comes wrapped in an error that says nothing.
        refusal = next((cause for cause in tls.causes(exc) if isinstance(cause, tuple(RIGHTS))), None)
        if refusal is not None:
            raise _refused(refusal) from exc
        raise TransientError(
            f"Kafka is away or busy: {_describe(exc)}",
            hint="start it (`leadstream up`), or check KAFKA_BOOTSTRAP_SERVERS",
        ) from exc


async def ensure_topics(settings: KafkaSettings, topics: Sequence[Topic]) -> None:
    """Create the topics that do not exist yet; return when all can be used. Again: changes nothing.

    Raises:
        TransientError: Kafka is away.
        ConfigError: a topic exists with another number of partitions, or may not be created.
    """
    with errors_translated():
        admin = AIOKafkaAdminClient(**connection_options(settings))
        try:
            async with refusals_told(settings):
                await admin.start()
                found = await _partition_counts(admin)
                missing = [topic for topic in topics if topic.name not in found]
                if missing:
                    await _create(admin, missing, settings.replication_factor)
                    found = await _wait_until_visible(admin, topics)
        finally:
            await admin.close()
    for topic in topics:
        if found[topic.name] != topic.partitions:
            raise ConfigError(
                f"topic {topic.name} has {found[topic.name]} partitions, the settings say {topic.partitions}",
                hint="lanes are fixed for a cluster's life: set TOPICS_LANES back, or use a new cluster",
            )


class _Consumer(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka has no types
    """A consumer whose start says why it was refused."""

    def __init__(self, settings: KafkaSettings, *topics: str, **options: Any) -> None:
        super().__init__(*topics, **connection_options(settings), **options)
        self._login = settings

    async def start(self) -> None:
        async with refusals_told(self._login):
            await super().start()


class _Producer(AIOKafkaProducer):  # type: ignore[misc]  # aiokafka has no types
    """A producer whose start says why it was refused."""

    def __init__(self, settings: KafkaSettings, **options: Any) -> None:
        super().__init__(**connection_options(settings), **options)
        self._login = settings

    async def start(self) -> None:
        async with refusals_told(self._login):
            await super().start()


async def _create(admin: AIOKafkaAdminClient, missing: Sequence[Topic], replication_factor: int) -> None:
    response = await admin.create_topics(
        [NewTopic(t.name, t.partitions, replication_factor, topic_configs=t.config) for t in missing]
    )
    for name, code, *rest in response.topic_errors:
        if code not in (errors.NoError.errno, errors.TopicAlreadyExistsError.errno):
            if code == errors.TopicAuthorizationFailedError.errno:
                raise ConfigError(
                    f"Kafka does not let this user see or create topic {name}",
                    hint=f"grant it DESCRIBE, and CREATE where it is missing: {RIGHTS_HINT}",
                )
            raise errors.for_code(code)(f"topic {name}: {rest[0] if rest else ''}")


async def _wait_until_visible(admin: AIOKafkaAdminClient, topics: Sequence[Topic]) -> dict[str, int]:
    deadline = time.monotonic() + TOPIC_VISIBLE_WITHIN_SECONDS
    while True:
        found = await _partition_counts(admin)
        if all(topic.name in found for topic in topics):
            return found
        if time.monotonic() > deadline:
            names = ", ".join(topic.name for topic in topics if topic.name not in found)
            raise TransientError(f"Kafka has not made these topics available yet: {names}")
        await asyncio.sleep(TOPIC_POLL_SECONDS)


async def _partition_counts(admin: AIOKafkaAdminClient) -> dict[str, int]:
    # Asking for names would create them on a broker with auto.create.topics.enable; asking for all does not.
    described = await admin.describe_topics()
    return {topic["topic"]: len(topic["partitions"]) for topic in described if topic["error_code"] == 0}


def _refused(error: BaseException) -> ConfigError:
    what = next((text for kind, text in RIGHTS.items() if isinstance(error, kind)), None)
    if what is None:
        return ConfigError(f"Kafka refuses: {_describe(error)}", hint="check the KAFKA_* settings")
    names = error.args[0] if error.args else ""
    name = ", ".join(sorted(map(str, names))) if isinstance(names, set | frozenset | list | tuple) else str(names)
    return ConfigError(
        f"Kafka does not let this user {what} {name}".rstrip(), hint=f"grant it the right: {RIGHTS_HINT}"
    )


def _describe(error: BaseException) -> str:
    text, name = str(error), type(error).__name__
    return text if text.startswith(name) else f"{name}: {text}"
