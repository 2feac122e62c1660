"""What all lanes of one producer process share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from leadstream import kafka
from leadstream.retry import forever
from leadstream.settings import Settings
from leadstream.sources import SourceCatalog
from producer.drift_input import known_columns
from producer.s3_input import S3Input
from schemas import topics
from schemas.codec import Decoder, Encoder
from schemas.registry import Registry


@dataclass
class ProducerContext:
    """Clients and codecs; made once by :class:`producer.service.ProducerService`."""

    settings: Settings
    s3: S3Input
    registry: Registry
    catalog: SourceCatalog
    decoder: Decoder
    ledger_encoder: Encoder
    step_encoder: Encoder
    _ready_topics: set[str] = field(default_factory=set)

    @property
    def lanes(self) -> int:
        """Partitions of every raw topic."""
        return self.settings.topics.lanes

    async def ensure_source_topics(self, source: str) -> None:
        """Make the topics of a source, once a process."""
        if source not in self._ready_topics:
            wanted = topics.source_topics(source, self.lanes, self.settings.topics.raw_retention_days)
            await kafka.ensure_topics(self.settings.kafka, wanted)
            self._ready_topics.add(source)

    async def known_columns(self, source: str) -> list[str] | None:
        """The header that the registry knows last of a source; ``None`` before its first file."""
        return await forever(lambda: known_columns(self.registry, source), what="the registry")

    async def raw_schema_id(self, source: str, schema: dict[str, Any]) -> int:
        """The registry's id of a raw schema, registered as the subject's next version if it is new."""
        subject = topics.value_subject(topics.raw_topic(source))
        return await forever(lambda: self.registry.register(subject, schema), what="the registry")
