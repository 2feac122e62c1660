"""What must stand before a stage starts: the topics, and the tables of Postgres."""

from __future__ import annotations

import asyncio

from leadstream import kafka
from leadstream.errors import MappingError
from leadstream.log import get_logger
from leadstream.settings import Settings
from leadstream.sources import SourceCatalog
from schemas.topics import shared_topics, source_topics

log = get_logger("prepare")


async def prepare(settings: Settings) -> None:
    """Create the topics that are missing and bring the tables up to date. Again: changes nothing.

    Raises:
        TransientError: Kafka or Postgres is away.
        ConfigError: a topic or the database cannot be used.
    """
    # Alembic and SQLAlchemy are slow to import.
    from sink.migrate import migrate

    lanes, days = settings.topics.lanes, settings.topics.raw_retention_days
    wanted = shared_topics(lanes)
    try:
        for name in SourceCatalog(settings.sources_dir).configs:
            wanted += source_topics(name, lanes, days)
    except MappingError as exc:
        # A bad source costs that source; the stages say so too, and take it up when it is mended.
        log.error("no_source_usable", error=str(exc))
    await kafka.ensure_topics(settings.kafka, wanted)
    await asyncio.to_thread(migrate, settings.postgres.dsn.get_secret_value())
