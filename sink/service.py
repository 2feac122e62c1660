"""The sink as a service: what must be so before it starts, and joining the group again when it was fenced."""

from __future__ import annotations

import asyncio

from leadstream import kafka, metrics
from leadstream.errors import ConfigError, FencedError
from leadstream.garbage import collect_rarely
from leadstream.log import get_logger
from leadstream.retry import forever
from leadstream.settings import Settings
from schemas.registry import Registry
from schemas.topics import shared_topics
from sink.loop import SinkLoop
from sink.migrate import pending
from sink.postgres_output import PostgresOutput

log = get_logger("sink")


class SinkService:
    """Writes leads, loads and dead letters into Postgres. Any number of these share the work."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._dsn = settings.postgres.dsn.get_secret_value()

    async def run(self) -> None:
        """Work until cancelled; parts that are away are waited for.

        Raises:
            ConfigError: the tables are behind, or a part refuses the settings.
            FatalError: the work cannot go on.
        """
        await forever(self._check_tables, what="Postgres")
        topics = shared_topics(self._settings.topics.lanes)
        await forever(lambda: kafka.ensure_topics(self._settings.kafka, topics), what="Kafka")
        collect_rarely()
        registry, output = Registry(self._settings.registry), PostgresOutput(self._dsn)
        loop = SinkLoop(self._settings, registry, output)
        try:
            while True:
                try:
                    await forever(loop.run, what="Kafka")
                except FencedError as exc:
                    log.warning("fenced", why=str(exc))
                    metrics.FENCED.inc()
        finally:
            await output.close()
            await registry.close()

    async def _check_tables(self) -> None:
        behind = await asyncio.to_thread(pending, self._dsn)
        if behind:
            raise ConfigError(f"the tables lack {', '.join(behind)}", hint="run `leadstream migrate`")
