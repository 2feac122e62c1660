"""Which loads' held deletes somebody approved, as the operators' commands say."""

from __future__ import annotations

from leadstream.changelog import read_partition
from leadstream.settings import KafkaSettings
from schemas import topics
from schemas.codec import Decoder


async def approved_loads(settings: KafkaSettings, decoder: Decoder, lane: int, source: str) -> set[str]:
    """Ids of the loads of a source whose deletes were approved; every lane of ``leads.commands`` has each command.

    Raises:
        TransientError: Kafka or the registry is away.
    """
    approved = set()
    async for messages in read_partition(settings, topics.COMMANDS, lane):
        for message in messages:
            _schema_id, command = await decoder.decode(message.value)
            if command["kind"] == "approve" and command["source"] == source:
                approved.add(command["load_id"])
    return approved
