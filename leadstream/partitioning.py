"""Which lane a lead belongs to: the partition that Kafka's own clients would choose for its key."""

from __future__ import annotations

from aiokafka.partitioner import murmur2


def lead_key(source: str, provider_key: str) -> str:
    """The key of a lead on the canonical topic and in Postgres."""
    return f"{source}:{provider_key}"


def lane_of(key: str, lanes: int) -> int:
    """Partition of ``key`` by murmur2, as the Java client's default partitioner does it."""
    return int(murmur2(key.encode()) & 0x7FFFFFFF) % lanes
