"""The row path of one worker: its lanes, and the sources they follow."""

from __future__ import annotations

import asyncio
import functools

from leadstream import kafka
from leadstream.errors import MappingError
from leadstream.garbage import collect_rarely
from leadstream.lanes import LaneGroup
from leadstream.log import get_logger
from leadstream.retry import forever
from leadstream.settings import Settings
from leadstream.sources import SourceCatalog
from processors.lane import ProcessorContext, ProcessorLane
from processors.mapping import check_mapping
from processors.raw_rows import RowReaders
from schemas import records, topics
from schemas.codec import Decoder, Encoder
from schemas.registry import Registry

GROUP_ID = "leadstream-processors-lanes"
CATALOG_CHECK_SECONDS = 1.0

log = get_logger("processors")


class RowPath:
    """Maps the rows of every source; any number of workers share the lanes among them."""

    def __init__(self, settings: Settings) -> None:
        """Read and compile the mappings. A source that cannot be used is named in the log and left out.

        Raises:
            MappingError: no source can be used; the first thing that is wrong.
            ConfigError: there is no directory of sources.
        """
        self._settings = settings
        self._catalog = SourceCatalog(settings.sources_dir)
        self._usable: dict[str, str] = {}
        self._rejected: dict[str, str] = {}
        errors = self._check_mappings()
        if errors and not self._usable:
            raise errors[0]
        self._registry = Registry(settings.registry)
        self._encoders: dict[str, Encoder] = {}

    def dead_letter_rate(self, source: str) -> float | None:
        """The limit that a source's YAML sets for the share of rows that fail; None: none, or no such source."""
        config = self._catalog.get(source)
        return config.dead_letter_rate if config is not None else None

    async def run(self) -> None:
        """Work until cancelled.

        Raises:
            ConfigError: Kafka or the registry refuse us.
        """
        settings = self._settings
        step_encoder = await self._encoder(topics.LOADS, "load_step")
        lead_encoder = await self._encoder(topics.CANONICAL, "lead")
        subject = topics.value_subject(topics.CANONICAL)
        await forever(lambda: self._registry.set_compatibility(subject, "FULL_TRANSITIVE"), what="the registry")
        await self._follow_catalog()
        context = ProcessorContext(
            settings=settings,
            catalog=self._catalog,
            readers=RowReaders(self._registry),
            decoder=Decoder(self._registry),
            lead_schema_id=lead_encoder.schema_id,
            step_encoder=step_encoder,
            state_encoders=self._encoders,
        )
        group = LaneGroup(settings.kafka, topics.CANONICAL, GROUP_ID, lambda lane: ProcessorLane(context, lane))
        collect_rarely()
        log.info("row_path_started", sources=len(self._encoders))
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(group.run())
                tasks.create_task(self._watch_catalog())
        finally:
            await self._registry.close()

    async def _watch_catalog(self) -> None:
        followed = self._catalog.configs
        while True:
            await asyncio.sleep(CATALOG_CHECK_SECONDS)
            self._catalog.refresh()  # a lane may have done so before us
            if self._catalog.configs is not followed:
                followed = self._catalog.configs
                await self._follow_catalog()
                log.info("sources_changed", sources=len(self._encoders))

    async def _follow_catalog(self) -> None:
        """Make the topics and the state encoder of each source; the lanes read a source once it has one."""
        lanes, days = self._settings.topics.lanes, self._settings.topics.raw_retention_days
        self._check_mappings()
        for source in self._usable:
            if source not in self._encoders:
                wanted = topics.source_topics(source, lanes, days)
                await forever(functools.partial(kafka.ensure_topics, self._settings.kafka, wanted), what="Kafka")
                self._encoders[source] = await self._encoder(topics.state_topic(source), "lead_state")

    def _check_mappings(self) -> list[MappingError]:
        """Compile what changed. A source stays usable by the last mapping that compiled (see ``RowReaders``)."""
        errors = []
        for name, config in self._catalog.configs.items():
            if self._usable.get(name) == config.version or self._rejected.get(name) == config.version:
                continue
            found = check_mapping(config)
            if not found:
                self._usable[name] = config.version
                continue
            self._rejected[name] = config.version
            errors += found
            for error in found:
                log.error("source_rejected", file=str(error.file), line=error.line, error=str(error))
        return errors

    async def _encoder(self, topic: str, schema: str) -> Encoder:
        subject = topics.value_subject(topic)
        register = functools.partial(self._registry.register, subject, records.schema_json(schema))
        schema_id = await forever(register, what="the registry")
        return Encoder(schema_id, records.parsed(schema))
