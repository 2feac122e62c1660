"""Kafka's errors in our words."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from aiokafka import errors

from leadstream.errors import ConfigError, FatalError, FencedError, LeadstreamError, TransientError
from leadstream.kafka import CONFIG_ERRORS, FATAL_ERRORS, FENCED_ERRORS, errors_translated

KNOWN_TRANSIENT = """
    BrokerNotAvailableError BrokerResponseError Cancelled ConcurrentTransactions CoordinatorLoadInProgressError
    CoordinatorNotAvailableError CorrelationIdError CorruptRecordException CorruptRecordError DuplicateSequenceNumber
    FetchSessionIdNotFound GroupCoordinatorNotAvailableError GroupIdNotFound GroupLoadInProgressError
    IllegalStateError InvalidFetchRequestError InvalidFetchSessionEpoch InvalidMessageError InvalidTxnState
    KafkaConnectionError KafkaError KafkaProtocolError KafkaStorageError KafkaTimeoutError KafkaUnavailableError
    LeaderNotAvailableError LogDirNotFound MetadataEmptyBrokerList NoBrokersAvailable NoError
    NoOffsetForPartitionError NodeNotReadyError NonEmptyGroup NotControllerError NotCoordinatorError
    NotCoordinatorForGroupError NotEnoughReplicasAfterAppendError NotEnoughReplicasError NotLeaderForPartitionError
    OffsetOutOfRangeError OperationNotAttempted OutOfOrderSequenceNumber ProducerClosed QuotaViolationError
    ReassignmentInProgress ReplicaNotAvailableError RequestTimedOutError StaleControllerEpochError
    StaleLeaderEpochCodeError StaleMetadata TooManyInFlightRequests TopicAlreadyExistsError UnknownError
    UnknownTopicOrPartitionError
"""


def _all_errors() -> dict[str, Any]:
    return {c.__name__: c for c in vars(errors).values() if inspect.isclass(c) and issubclass(c, errors.KafkaError)}


def test_every_error_of_aiokafka_was_looked_at() -> None:
    """A new version's new error fails here, so that somebody decides whether waiting helps."""
    judged = {error.__name__ for error in (*FENCED_ERRORS, *CONFIG_ERRORS, *FATAL_ERRORS)}
    assert _all_errors().keys() - judged - set(KNOWN_TRANSIENT.split()) == set()
    assert judged & set(KNOWN_TRANSIENT.split()) == set()


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (errors.ProducerFenced(), FencedError),
        (errors.InvalidProducerEpoch(), FencedError),
        (errors.SaslAuthenticationFailed(), ConfigError),
        (errors.MessageSizeTooLargeError(), FatalError),
        (errors.KafkaConnectionError(), TransientError),
        (ConnectionResetError(), TransientError),
        (TimeoutError(), TransientError),
    ],
)
def test_an_error_says_whether_to_wait_to_rejoin_or_to_stop(error: Exception, ours: type[LeadstreamError]) -> None:
    """Each stage can tell from the type what to do; the original stays attached."""
    with pytest.raises(ours) as caught, errors_translated():
        raise error
    assert type(caught.value) is ours
    assert caught.value.__cause__ is error
