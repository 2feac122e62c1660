"""No load is mapped by a YAML that was replaced before it was split.

The producer may see a new YAML before this process does: at once when both read one folder, minutes before where the
file is brought to each machine. So a load that begins waits here for the mapping it was let go by.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from typing import Any

from leadstream.errors import BadRecordError, TransientError
from leadstream.log import get_logger
from leadstream.sources import SourceCatalog, SourceConfig
from processors.change_state import PartitionState
from processors.raw_rows import RowReaders
from schemas import headers
from schemas.headers import Kind

PATIENCE_SECONDS = 60.0
"""A file that is brought to every machine (a Kubernetes volume, a pull of a repository) takes up to a minute or so."""
POLL_SECONDS = 0.2

Trouble = tuple[str, str, frozenset[str], frozenset[str]]
"""Source, version of its mapping here, versions that may not be used, columns that are missing."""

log = get_logger("processors")


def live_messages(messages: Sequence[Any]) -> Sequence[Any]:
    """The messages of the live flow: those that were restored for a replay are left out."""
    restored = (headers.KIND, Kind.RESTORED.value.encode())
    return [message for message in messages if not message.headers or message.headers[0] != restored]


def by_load(messages: Sequence[Any]) -> list[Sequence[Any]]:
    """Consecutive messages of a partition, cut where another load begins: loads stand one after another."""
    if not messages:
        return []
    if _load_id(messages[0]) == _load_id(messages[-1]):
        return [messages]
    return [list(run) for _load, run in itertools.groupby(messages, _load_id)]


class MappingGuard:
    """Makes one lane wait. ``patience_seconds``: how long, for each mapping that does not come."""

    def __init__(
        self, catalog: SourceCatalog, readers: RowReaders, *, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._catalog = catalog
        self._readers = readers
        self._patience_seconds = patience_seconds
        self._given_up: set[Trouble] = set()
        self._deadlines: dict[Trouble, float] = {}

    async def wait(self, state: PartitionState, messages: Sequence[Any]) -> SourceConfig:
        """Wait until the mapping in use may map these messages of one load, or patience ends; gives the source.

        A load that is under way already goes on at once. When patience ends it says so once; the rows are mapped by
        what there is, except those that lack a column which it needs (:mod:`processors.changes` refuses them).

        Raises:
            TransientError: the source's YAML is gone.
        """
        while not self.may_map(state, messages):  # noqa: ASYNC110 -- nobody tells when a file arrives
            await asyncio.sleep(POLL_SECONDS)
        return self._config(state.source)

    def may_map(self, state: PartitionState, messages: Sequence[Any]) -> bool:
        """Whether these messages of one load need not wait (any more).

        Raises:
            TransientError: the source's YAML is gone.
        """
        if state.active is not None and state.active.load_id == _load_id(messages[0]):
            return True
        self._catalog.refresh()
        config = self._config(state.source)
        outdated = frozenset((headers.get(messages[0].headers, headers.OUTDATED) or "").split())
        version = self._readers.version(config)
        lacking = self._lacking(config, [message.value for message in messages if message.value is not None])
        if version not in outdated and not lacking:
            return True
        trouble = (state.source, version, outdated, lacking)
        deadline = self._deadlines.setdefault(trouble, time.monotonic() + self._patience_seconds)
        if time.monotonic() > deadline and trouble not in self._given_up:
            self._given_up.add(trouble)
            log.warning("mapping_outdated", source=state.source, mapping=version, in_file=config.version,
                        columns_missing=sorted(lacking))  # fmt: skip
        return trouble in self._given_up

    def _lacking(self, config: SourceConfig, values: Sequence[bytes]) -> frozenset[str]:
        found: set[str] = set()
        for value in values:
            try:
                found.update(self._readers.reader(config, value).bound.missing_required)
            except BadRecordError:
                continue  # its row says so
        return frozenset(found)

    def _config(self, name: str) -> SourceConfig:
        config = self._catalog.get(name)
        if config is None:
            raise TransientError(f"the YAML of source {name} is gone")  # the lane starts anew without it
        return config


def _load_id(message: Any) -> str | None:
    return headers.get(message.headers, headers.LOAD_ID)
