"""What a stage counts and measures, in Prometheus' words (naming: https://prometheus.io/docs/practices/naming/).

Counted once a batch or a commit, never once a row, and only what was committed. Labels name sources, topics,
partitions, dependencies and reason codes; never a value of a row.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from leadstream.health import HEALTH

TRANSACTION_BUCKETS_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
LAG_INTERVAL_SECONDS = 1.0
UNKNOWN_SOURCE = "unknown"
"""Label of files that no source claims: their folders are named by whoever drops files, so they are no label."""

disable_created_metrics()  # type: ignore[no-untyped-call]
REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

ROWS = Counter("leadstream_rows", "Rows of files that were split.", ["source"], registry=REGISTRY)
RAW_MESSAGES = Counter(
    "leadstream_raw_messages", "Messages of raw topics taken: rows, and a few marks a load.", ["source"],
    registry=REGISTRY,
)  # fmt: skip
CHANGES = Counter("leadstream_changes", "Change records sent to leads.canonical.", ["source"], registry=REGISTRY)
RECORDS_WRITTEN = Counter("leadstream_records_written", "Records taken into Postgres.", ["topic"], registry=REGISTRY)
DEAD_LETTERS = Counter(
    "leadstream_dead_letters", "Rows and files that went to the dead letters, by their first reason.",
    ["source", "code"], registry=REGISTRY,
)  # fmt: skip
TRANSACTIONS = Counter("leadstream_transactions", "Transactions, by their result.", ["result"], registry=REGISTRY)
TRANSACTION_SECONDS = Histogram(
    "leadstream_transaction_seconds", "From the begin of a transaction to its commit.",
    buckets=TRANSACTION_BUCKETS_SECONDS, registry=REGISTRY,
)  # fmt: skip
LAST_COMMIT = Gauge(
    "leadstream_last_commit_timestamp_seconds", "When the last transaction was committed; 0: none yet.",
    registry=REGISTRY,
)  # fmt: skip
LAG = Gauge("leadstream_lag_records", "Records not yet taken.", ["topic", "partition"], registry=REGISTRY)
LANES = Gauge("leadstream_lanes", "Lanes (partitions) this process works on.", registry=REGISTRY)
LANE_RESTARTS = Counter("leadstream_lane_restarts", "Lanes that began anew after an error.", registry=REGISTRY)
REBALANCES = Counter("leadstream_rebalances", "Times the group gave out its partitions anew.", registry=REGISTRY)
FENCED = Counter("leadstream_fenced", "Times another process had taken over what this one had.", registry=REGISTRY)
RETRIES = Counter("leadstream_retries", "Attempts that failed and were waited out.", ["dependency"], registry=REGISTRY)
FILES_WAITING = Gauge("leadstream_files_waiting", "Files seen and not yet split.", ["source"], registry=REGISTRY)
OLDEST_FILE_WAITING = Gauge(
    "leadstream_oldest_waiting_file_timestamp_seconds", "When the oldest of these files was put.", ["source"],
    registry=REGISTRY,
)  # fmt: skip
LOADS = Gauge(
    "leadstream_loads", "Loads in Postgres by status; all sinks say the same.", ["source", "status"], registry=REGISTRY
)
UNSETTLED_LOADS = Gauge(
    "leadstream_unsettled_loads",
    "Loads under way, and those held, broken or lately failed after which no newer file of the source is done.",
    ["source", "status"], registry=REGISTRY,
)  # fmt: skip
OLDEST_UNSETTLED_LOAD = Gauge(
    "leadstream_oldest_unsettled_load_timestamp_seconds", "When the oldest of these loads began.",
    ["source", "status"], registry=REGISTRY,
)  # fmt: skip
DELETES_HELD = Gauge("leadstream_deletes_held", "Deletes that wait for an approval.", ["source"], registry=REGISTRY)


class LagReport:
    """Shows how far a consumer is behind, by partition, at most once a second."""

    def __init__(self) -> None:
        self._shown: set[tuple[str, str]] = set()
        self._due = 0.0

    async def show(
        self, consumer: Any, partitions: Collection[Any], unwritten: Mapping[Any, int] | None = None
    ) -> None:
        """``partitions``: assigned ones (aiokafka's TopicPartition); ``unwritten``: records polled, not yet committed.

        What was shown of other partitions is taken back.
        """
        if time.monotonic() < self._due:
            return
        self._due = time.monotonic() + LAG_INTERVAL_SECONDS
        shown = set()
        for where in partitions:
            end = consumer.highwater(where)
            if end is not None:
                labels = (where.topic, str(where.partition))
                behind = end - await consumer.position(where) + (unwritten or {}).get(where, 0)
                LAG.labels(*labels).set(max(behind, 0))
                shown.add(labels)
        self._take_back(self._shown - shown)
        self._shown = shown

    def clear(self) -> None:
        """These partitions are not ours any more."""
        self._take_back(self._shown)
        self._shown = set()
        self._due = 0.0

    def _take_back(self, gone: set[tuple[str, str]]) -> None:
        for labels in gone:
            LAG.remove(*labels)


class _OfStage(Collector):
    """Everything that is measured, with the stage as a label, and whether the stage is ready."""

    def __init__(self, stage: str) -> None:
        self._stage = stage

    def collect(self) -> Iterator[Metric]:
        for metric in [*REGISTRY.collect(), *_readiness()]:
            metric.samples = [
                sample._replace(labels={"stage": self._stage, **sample.labels}) for sample in metric.samples
            ]
            yield metric


def committed(seconds: float) -> None:
    """Count a transaction that was committed, ``seconds`` after it began."""
    TRANSACTIONS.labels("committed").inc()
    TRANSACTION_SECONDS.observe(seconds)
    LAST_COMMIT.set_to_current_time()


def failed() -> None:
    """Count a transaction that was not, or of which it is not known."""
    TRANSACTIONS.labels("failed").inc()


def count_dead_letters(source: str, codes: Mapping[str, int]) -> None:
    """Count dead letters of a source by the codes of their first reasons."""
    for code, count in codes.items():
        DEAD_LETTERS.labels(source, code).inc(count)


def text(stage: str) -> bytes:
    """All metrics in Prometheus' text format; every one carries the label ``stage``."""
    return generate_latest(_OfStage(stage))


def _readiness() -> Iterator[Metric]:
    yield GaugeMetricFamily("leadstream_ready", "Whether /readyz says so.", value=float(not HEALTH.waits_for()))
    waiting = GaugeMetricFamily(
        "leadstream_waiting_seconds", "How long a part that is away has been waited for.", labels=["dependency"]
    )
    for dependency, seconds in HEALTH.outages().items():
        waiting.add_metric([dependency], seconds)
    yield waiting
