"""Batches into Postgres: rows and consumed offsets in one database transaction."""

from __future__ import annotations

import contextlib
import itertools
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from typing import Any

import asyncpg
import orjson
from aiokafka import TopicPartition

from leadstream import metrics
from leadstream.errors import BadRecordError, ConfigError, FatalError, FencedError, TransientError
from leadstream.log import get_logger
from leadstream.postgres import place, refusal
from schemas.replays import RECEIPT_FIELDS, REPLAY_STEPS
from sink import dead_letters
from sink.batch import (
    Batch,
    Record,
    folded_events,
    folded_receipts,
    folded_replays,
    receipt_of_row,
    receipt_row,
)
from sink.copy_format import stream
from sink.dead_letters import without_nul
from sink.lead_changes import Change
from sink.load_report import log_settled
from sink.queries import query
from sink.writes import HISTORY_COLUMNS, INCOMING_COLUMNS, LEADS_COLUMNS, writes_of

CONNECT_TIMEOUT_SECONDS = 10
COMMAND_TIMEOUT_SECONDS = 60
CLOSE_TIMEOUT_SECONDS = 5
IDLE_IN_TRANSACTION_MILLISECONDS = 15_000
"""A process that was paused inside its transaction holds locks; after this the server ends its session."""
LOCK_TIMEOUT_MILLISECONDS = 20_000
"""The server does not call a session idle whose process was paused within a statement (in COPY, in a message that is
half sent, between preparing and executing). Who has waited this long for such a one asks the server to end it."""

VALUE_ERRORS = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
    TypeError,
    ValueError,
    OverflowError,
)
"""What Postgres, or asyncpg on the way to it, raises because of one row's values."""
REFUSED_ERRORS = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ClientConfigurationError,
)
BEHIND_ERRORS = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError)
AWAY_ERRORS = (
    OSError,
    asyncpg.InterfaceError,  # asyncpg's word for a connection that is gone
    asyncpg.InternalClientError,  # and for one whose end came while it was being used
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.TransactionRollbackError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidTransactionStateError,
    asyncpg.PostgresSystemError,
)

log = get_logger("sink")


class PostgresOutput:
    """One connection, opened when needed and thrown away after an error.

    Every method raises TransientError when Postgres is away (doing it again is safe), ConfigError when it refuses
    the login or its tables are behind, and FatalError when it fails otherwise.
    """

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: asyncpg.Connection | None = None
        self._placed_on: asyncpg.Connection | None = None
        """The connection over which the offsets were read that somebody goes by. Once it is gone they may be wrong: a
        server that died may have forgotten commits, and stand before them."""
        self._is_flushed = True

    async def close(self) -> None:
        """Let go of the connection; an open transaction is rolled back."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.close(timeout=CLOSE_TIMEOUT_SECONDS)
            except Exception:
                connection.terminate()

    async def offsets(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        """Where each partition is to be read on; 0 when it was never read. Waits for a writer that is committing."""
        topics, numbers = [p.topic for p in partitions], [p.partition for p in partitions]
        async with self._session() as connection, self._transaction(connection):
            await connection.execute(query("begin_offsets"), topics, numbers)
            offsets = await self._lock_offsets(connection, partitions)
        self._placed_on = connection
        return offsets

    async def write(self, batch: Batch) -> None:
        """Write the batch and move its partitions' offsets, all or nothing.

        One change that Postgres will not take costs that change: it goes to the dead letters. The commit is visible
        at once, and on the disk a moment later; :meth:`flush` waits for that.

        Raises:
            FencedError: the offsets are not where this reader left them, or may not be: another one has written
                since, or the connection was lost (with the answer to a COMMIT, or with commits). Read them again.
        """
        self._check_places()
        async with self._session() as connection:
            try:
                await self._write(connection, batch, one_by_one=False)
            except VALUE_ERRORS as exc:
                log.warning("batch_halved", records=len(batch.changes), why=type(exc).__name__)
                await self._write(connection, batch, one_by_one=True)
        self._is_flushed = False

    async def flush(self) -> None:
        """Wait until what was written is on the disk. To be called when there is nothing more to write for now.

        Raises:
            FencedError: the connection was lost before it was, and commits perhaps with it. Read the offsets again.
        """
        self._check_places()
        if not self._is_flushed:
            async with self._session() as connection, self._transaction(connection):
                await connection.execute(query("wait_for_disk"))
                await connection.execute(query("flush"))
            self._is_flushed = True

    async def load_summary(self) -> list[Mapping[str, Any]]:
        """Where the loads stand, by source and status: see the query of that name."""
        self._check_places()
        async with self._session() as connection:
            rows: list[Mapping[str, Any]] = await connection.fetch(query("load_summary"))
        return rows

    def _check_places(self) -> None:
        if self._placed_on is not None and self._placed_on is not self._connection:
            raise FencedError("the connection to Postgres was lost", hint="the offsets there are read again")

    async def _write(self, connection: Any, batch: Batch, *, one_by_one: bool) -> None:
        counts: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        letters = list(batch.dead_letters)
        async with self._transaction(connection):
            standing = await self._lock_offsets(connection, batch.expected)
            if standing != batch.expected:
                raise FencedError("the offsets in Postgres have moved", hint="another sink has written since")
            for erase, run in itertools.groupby(batch.changes, key=lambda change: change.erases):
                changes = list(run)
                if erase:
                    await self._erase(connection, changes)
                elif one_by_one:
                    await self._write_halves(connection, changes, letters, counts)
                else:
                    await self._write_changes(connection, changes, counts)
            await self._write_dead_letters(connection, letters, counts)
            if batch.letter_events:
                told = orjson.dumps(folded_events(batch.letter_events)).decode()
                await connection.execute(query("settle_letters"), told)
            settled = await self._write_loads(connection, batch, counts)
            await self._advance_offsets(connection, batch)
        for (source, code), number in Counter(dead_letters.write_failures(letters)).items():
            metrics.count_dead_letters(source, {code: number})
        log_settled(settled)

    async def _write_changes(self, connection: Any, changes: Sequence[Change], counts: dict[str, list[int]]) -> None:
        if not changes:
            return
        keys = list({change.lead_key for change in changes})
        leads = await connection.fetch(query("standing_leads"), keys)
        partitions = list({change.message.partition for change in changes})
        ends = await connection.fetch(query("history_ends"), partitions)
        writes = writes_of(
            changes,
            {row["lead_key"]: (row["load_seq"], row["row_number"]) for row in leads},
            {row["partition"]: row["last_offset"] for row in ends},
        )
        if writes.incoming:
            await self._copy(connection, "incoming", INCOMING_COLUMNS, writes.incoming)
            await connection.execute(query("close_versions"))
            await connection.execute(query("change_leads"))
        await self._copy(connection, "leads", LEADS_COLUMNS, writes.new_leads)
        await self._copy(connection, "lead_history", HISTORY_COLUMNS, writes.history)
        for load_id, count in writes.counts.items():
            counts[load_id][0] += count

    async def _erase(self, connection: Any, changes: Sequence[Change]) -> None:
        """Nothing of these leads stays: what is written before goes, what comes after begins anew."""
        keys = [change.lead_key for change in changes]
        await connection.execute("DELETE FROM incoming")
        await connection.execute(query("erase_leads"), keys)
        await connection.execute(query("erase_history"), keys)
        await connection.execute(query("erase_refused"), [key.encode() for key in keys])

    async def _copy(self, connection: Any, table: str, columns: Sequence[str], rows: Sequence[bytes]) -> None:
        if rows:
            await connection.copy_to_table(table, source=stream(rows), columns=columns, format="binary")

    async def _write_halves(
        self, connection: Any, changes: Sequence[Change], letters: list[dead_letters.Row], counts: dict[str, list[int]]
    ) -> None:
        """Write the changes in order; what fails is halved until the one that fails stands alone."""
        written: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        try:
            async with connection.transaction():  # a savepoint
                await connection.execute("DELETE FROM incoming")
                await self._write_changes(connection, changes, written)
        except VALUE_ERRORS as exc:
            if len(changes) == 1:
                letters.append(_letter_of(changes[0], exc))
                return
            middle = len(changes) // 2
            await self._write_halves(connection, changes[:middle], letters, counts)
            await self._write_halves(connection, changes[middle:], letters, counts)
        else:
            for load_id, numbers in written.items():
                counts[load_id][0] += numbers[0]

    async def _write_dead_letters(
        self, connection: Any, letters: Sequence[dead_letters.Row], counts: dict[str, list[int]]
    ) -> None:
        if not letters:
            return
        await connection.copy_records_to_table("incoming_dead_letters", records=letters, columns=dead_letters.COLUMNS)
        for row in await connection.fetch(query("write_dead_letters")):
            counts[row["counted_for"]][1] += row["dead_letters"]
            counts[row["counted_for"]][2] += row["write_failures"]

    async def _write_loads(
        self, connection: Any, batch: Batch, counts: dict[str, list[int]]
    ) -> Sequence[Mapping[str, Any]]:
        """Fold the steps onto the loads; gives what the query ``settle_loads`` says of those that were touched."""
        stepped = {step["load_id"] for step in batch.steps}
        touched = sorted(counts.keys() | stepped)
        if not touched:
            return []
        columns = [[counts[load_id][i] if load_id in counts else 0 for load_id in touched] for i in range(3)]
        await connection.execute(query("count_applied"), touched, *columns)
        replay_steps = [step for step in batch.steps if step["step"] in REPLAY_STEPS]
        if replay_steps:
            await self._write_replays(connection, replay_steps)
        load_steps = [step for step in batch.steps if step["step"] not in REPLAY_STEPS]
        if load_steps:
            standing = await connection.fetch(query("read_receipts"), sorted({step["load_id"] for step in load_steps}))
            receipts = folded_receipts({row["load_id"]: receipt_of_row(row) for row in standing}, load_steps)
            rows = [receipt_row(receipt) for receipt in receipts.values()]
            await connection.execute(query("write_receipts"), orjson.dumps(rows).decode())
        settled: Sequence[Mapping[str, Any]] = await connection.fetch(query("settle_loads"), touched)
        await connection.execute(query("supersede_held_deletes"), touched)
        await connection.execute(query("settle_replays"), touched)
        await connection.execute(query("resolve_file_letters"), touched)
        return settled

    async def _write_replays(self, connection: Any, steps: Sequence[Record]) -> None:
        standing = await connection.fetch(query("read_replays"), sorted({step["load_id"] for step in steps}))
        known = {row["replay_id"]: {name: row[name] for name in RECEIPT_FIELDS} for row in standing}
        receipts = without_nul(list(folded_replays(known, steps).values()))
        await connection.execute(query("write_replays"), orjson.dumps(receipts).decode())

    async def _lock_offsets(self, connection: Any, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        topics, numbers = [p.topic for p in partitions], [p.partition for p in partitions]
        rows = await connection.fetch(query("lock_offsets"), topics, numbers)
        return {TopicPartition(row["topic"], row["partition"]): row["next_offset"] for row in rows}

    async def _advance_offsets(self, connection: Any, batch: Batch) -> None:
        partitions = list(batch.expected)
        status = await connection.execute(
            query("advance_offsets"),
            [p.topic for p in partitions],
            [p.partition for p in partitions],
            [batch.expected[p] for p in partitions],
            [batch.following[p] for p in partitions],
        )
        if status != f"UPDATE {len(partitions)}":
            raise FencedError("the offsets in Postgres have moved", hint="another sink has written since")

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncIterator[asyncpg.Connection]:
        with self._errors_translated():
            connection = await self._connected()
            try:
                yield connection
            except asyncpg.LockNotAvailableError:
                ended = await connection.fetch(query("end_paused_writers"))
                if ended:
                    log.warning("paused_writers_ended", sessions=len(ended))
                raise

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None:
            connection = await asyncpg.connect(
                self._dsn,
                timeout=CONNECT_TIMEOUT_SECONDS,
                command_timeout=COMMAND_TIMEOUT_SECONDS,
                server_settings={
                    "application_name": "leadstream sink",
                    "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_MILLISECONDS),
                    "lock_timeout": str(LOCK_TIMEOUT_MILLISECONDS),
                    # A server that dies may forget the last commits, offsets and rows alike: who goes by the offsets
                    # reads them again, and the records from Kafka. So no batch has to wait for the disk.
                    "synchronous_commit": "off",
                    # A plan that was kept from when the tables were small reads them whole when they are not, until
                    # the server looks at them again, which may be minutes later.
                    "plan_cache_mode": "force_custom_plan",
                },
            )
            self._connection = connection
            await connection.execute(query("make_incoming"))
            await connection.execute(query("make_incoming_dead_letters"))
        return self._connection

    def _transaction(self, connection: asyncpg.Connection) -> Any:
        # A waiting writer must see what the one before it committed, whatever the database's default.
        return connection.transaction(isolation="read_committed")

    @contextlib.contextmanager
    def _errors_translated(self) -> Iterator[None]:
        try:
            yield
        except asyncpg.InsufficientPrivilegeError as exc:
            self._drop_connection()
            # It names the table, and no value of a row.
            raise ConfigError(
                f"Postgres at {place(self._dsn)} does not let this user do that: {exc}",
                hint="grant it the role leads_writer (docs/security.md), or check POSTGRES_DSN",
            ) from exc
        except REFUSED_ERRORS as exc:
            self._drop_connection()
            refused = ConfigError(f"Postgres refuses: {type(exc).__name__}", hint="check POSTGRES_DSN")
            raise refusal(exc, self._dsn) or refused from exc
        except AWAY_ERRORS as exc:
            self._drop_connection()
            refused_before = refusal(exc, self._dsn)
            if refused_before is not None:
                raise refused_before from exc
            raise TransientError(
                f"Postgres is away or busy: {type(exc).__name__}", hint="check POSTGRES_DSN and the server"
            ) from exc
        except BEHIND_ERRORS as exc:
            self._drop_connection()
            raise ConfigError("the tables are missing or behind", hint="run `leadstream migrate`") from exc
        except (asyncpg.PostgresError, *VALUE_ERRORS) as exc:
            self._drop_connection()
            # The message may quote a lead's values; the code says which error it is.
            code = getattr(exc, "sqlstate", "none")
            raise FatalError(f"Postgres fails: {type(exc).__name__} (SQLSTATE {code})") from exc

    def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


def _letter_of(change: Change, error: Exception) -> dead_letters.Row:
    try:
        record = change.record()
    except BadRecordError as exc:
        return dead_letters.from_write_failure(change.message, None, exc.code, exc.message)
    # The server's message may quote the value; the name of the error does not.
    why = f"Postgres will not take it: {type(error).__name__}"
    return dead_letters.from_write_failure(change.message, record, "refused", why)
