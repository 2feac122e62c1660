"""The transactions of one load, one after the other; each is committed while the rows of the next are split."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import NamedTuple

from leadstream import metrics
from leadstream.tasks import given_up
from leadstream.transaction import Packed, TransactionalProducer
from producer.ledger import Ledger, LedgerEntry


class Tally(NamedTuple):
    """What a transaction adds to what was counted of a source (``leadstream.metrics``)."""

    source: str
    rows: int
    dead_letters: Mapping[str, int]
    """By the code of their reason."""


class Commits:
    """At most one commit is under way. It holds ``gate``, so that a lane that is given away is not in the middle of it.

    ``committed`` is the newest ledger entry that is known to be committed (or the one the load begins with).
    """

    def __init__(
        self, gate: asyncio.Lock, producer: TransactionalProducer, ledger: Ledger, committed: LedgerEntry
    ) -> None:
        self.committed = committed
        self._gate = gate
        self._producer = producer
        self._ledger = ledger
        self._under_way: asyncio.Task[None] | None = None

    async def start(self, entry: LedgerEntry, tally: Tally) -> None:
        """Begin to commit what was added to the producer, ``entry`` included, as soon as the commit before has ended.

        Raises:
            FencedError, TransientError: that one failed.
        """
        await self.end()
        self._under_way = asyncio.create_task(self._commit(entry, tally, self._producer.pack()))

    async def end(self) -> None:
        """Wait until no commit is under way. Whoever is cancelled here, cancels it.

        Raises:
            FencedError, TransientError: it failed; the producer must not be used again.
        """
        if self._under_way is not None:
            await self._under_way
            self._under_way = None

    async def cancel(self) -> None:
        """Give up the commit that is under way, if any; its outcome is nobody's concern."""
        if self._under_way is not None:
            await given_up(self._under_way)

    async def _commit(self, entry: LedgerEntry, tally: Tally, packed: Packed) -> None:
        async with self._gate:
            await self._producer.begin()
            await self._producer.commit(packed=packed)
        self._ledger.put(entry)
        self.committed = entry
        metrics.ROWS.labels(tally.source).inc(tally.rows)
        metrics.count_dead_letters(tally.source, tally.dead_letters)
