"""The transactions of one load, one after the other; each is committed while the rows of the next are split."""

from __future__ import annotations

import asyncio

from leadstream.transaction import Packed, TransactionalProducer
from producer.ledger import Ledger, LedgerEntry


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

    async def start(self, entry: LedgerEntry) -> None:
        """Begin to commit what was added to the producer, ``entry`` included, as soon as the commit before has ended.

        Raises:
            FencedError, TransientError: that one failed.
        """
        await self.end()
        self._under_way = asyncio.create_task(self._commit(entry, self._producer.pack()))

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
            self._under_way.cancel()
            await asyncio.gather(self._under_way, return_exceptions=True)

    async def _commit(self, entry: LedgerEntry, packed: Packed) -> None:
        async with self._gate:
            await self._producer.begin()
            await self._producer.commit(packed=packed)
        self._ledger.put(entry)
        self.committed = entry
