"""One load: from the first byte of an object to the end markers on its raw topic.

The numbered steps are those of docs/architecture.md. A load may take several transactions; each carries the rows,
the dead letters and the ledger entry that counts them, so a restart goes on after the last row that was committed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from leadstream.errors import BadRecordError, TransientError
from leadstream.health import HEALTH
from leadstream.lanes import lane_part
from leadstream.log import get_logger
from leadstream.metrics import UNKNOWN_SOURCE
from leadstream.partitioning import lane_of
from leadstream.sources import SourceConfig
from leadstream.tasks import beside
from leadstream.transaction import TransactionalProducer
from producer.approvals import approved_loads
from producer.arrivals import Arrival
from producer.commits import Commits, Tally
from producer.context import ProducerContext
from producer.dialect import format_of
from producer.drift import judge
from producer.drift_input import earlier_cells, first_rows
from producer.ledger import Ledger, LedgerEntry
from producer.raw_output import end_headers, load_headers, raw_schema, row_headers
from producer.row_messages import RowMessages
from producer.s3_input import read_ahead
from producer.split_events import NO_KEY
from producer.splitter import Damaged, Event, Header, Rows, Splitter, Summary
from schemas import topics
from schemas.codec import frame
from schemas.headers import Headers, Kind, Reason, Stage, dead_letter_headers

FIRST_BYTES_KEPT = 64 * 1024
MAX_TRANSACTION_BYTES = 16 * 1024 * 1024
"""There may be two of them in memory: one that fills, and one on its way."""

NO_SOURCE = "unknown"
"""Source of a file that no mapping claims and that lies under no prefix."""

log = get_logger("producer")


class LoadSplit:
    """The splitting of one arrival. Make one, call :meth:`run` once."""

    def __init__(
        self,
        context: ProducerContext,
        lane: int,
        gate: asyncio.Lock,
        producer: TransactionalProducer,
        ledger: Ledger,
        arrival: Arrival,
    ) -> None:
        self._context = context
        self._lane = lane
        self._producer = producer
        self._ledger = ledger
        self._arrival = arrival
        context.catalog.refresh()  # a file that is put right after its YAML was edited goes by what it says now
        self._source = context.catalog.match(arrival.key)
        known = ledger.find(arrival)
        self._announced = known is not None and known.status == "splitting"
        self._entry = known if known is not None and self._announced else self._new_entry(known)
        self._commits = Commits(gate, producer, ledger, self._entry)
        self._rows_before = self._entry.rows
        self._rows = self._entry.rows
        self._dead_letters = self._entry.dead_letters
        self._unkeyed = self._entry.unkeyed
        self._codes: Counter[str] = Counter()
        """Reasons of the dead letters that no transaction has taken in yet."""
        self._partition_rows = list(self._entry.partition_rows)
        self._outdated = ledger.outdated_versions(self._entry, self._source.version if self._source else "")
        self._splitter = Splitter(
            format_of(self._source), name=arrival.key, max_row_bytes=context.settings.producer.max_row_bytes
        )
        self._first_bytes = b""
        self._known_columns: asyncio.Task[list[str] | None] | None = None
        # set by the header
        self._notes: tuple[str, ...] = ()
        self._schema_id = 0
        self._messages: RowMessages | None = None
        self._seen_headers: Headers = []

    async def run(self) -> LedgerEntry:
        """Split the file; gives the load's last ledger entry.

        Raises:
            TransientError: a part is away; call again on a new LoadSplit.
            FencedError: another producer has this lane.
        """
        try:
            return await self._split()
        except BadRecordError as exc:
            return await self._fail(exc)
        except TransientError:
            await self._commits.end()  # what is on its way need not be given up because S3 is away
            raise
        finally:
            await self._commits.cancel()

    async def _split(self) -> LedgerEntry:
        # 1. Whose file is it?
        if self._source is None:
            async with contextlib.aclosing(self._context.s3.read(self._arrival)) as chunks:
                self._first_bytes = (await anext(chunks, b""))[:FIRST_BYTES_KEPT]
            raise BadRecordError(
                f"no source claims the prefix of {self._arrival.key!r}",
                code="unknown_source",
                hint="add a YAML file with this prefix to sources/; the file is then split by itself",
            )
        if not self._announced:
            self._add_step("splitting")
        # 2. Read it as a stream, pinned to its version, while the registry says which header it knows.
        async with (
            beside(self._context.known_columns(self._source.name)) as self._known_columns,
            contextlib.aclosing(read_ahead(self._context.s3.read(self._arrival))) as chunks,
        ):
            async for chunk in chunks:
                self._first_bytes = self._first_bytes or chunk[:FIRST_BYTES_KEPT]
                # 3. Split it; every row becomes a message, every damaged row a dead letter.
                if held := await self._take(self._splitter.feed(chunk)):
                    return held
            if held := await self._take(self._splitter.finish()):
                return held
        # 4. End it: the markers, the ledger, the step, in the last transaction.
        return await self._end(self._splitter.summary)

    async def _take(self, events: Iterator[Event]) -> LedgerEntry | None:
        """Put events into the transaction, committing when it is large; gives the ledger entry of a held load."""
        limit = self._context.settings.producer.rows_per_transaction
        HEALTH.turned(lane_part(self._lane))
        for event in events:
            if isinstance(event, Rows):
                self._add_rows(event.after(self._rows_before))
            elif isinstance(event, Header):
                if reason := await self._take_header(event, events):
                    return await self._hold(reason)
            elif event.row_number > self._rows_before:
                self._add_damaged(event)
            if self._rows - self._entry.rows >= limit or self._producer.pending_bytes > MAX_TRANSACTION_BYTES:
                await self._start_commit("splitting")
            await asyncio.sleep(0)  # the commit that is under way and the other lanes have their turn
        return None

    async def _take_header(self, header: Header, events: Iterator[Event]) -> str:
        """Judge the header and register its schema; gives the reason to hold the load, or nothing.

        Only a load that is held looks at ``events``, what follows the header: nothing of it is sent.
        """
        source = self._known_source
        names = [column.name for column in header.columns]
        assert self._known_columns is not None
        known = await self._known_columns
        judgement = judge(source, names, known)
        if judgement.held and not self._rows_before:  # a load that is half sent is not stopped any more
            await self._context.ensure_source_topics(source.name)
            earlier = await earlier_cells(self._context.settings, self._context.registry, source.name)
            judgement = judge(source, names, known, first_rows(events), earlier)
        self._notes = judgement.notes
        if judgement.held and not self._rows_before:
            return judgement.reason
        _made, self._schema_id = await asyncio.gather(
            self._context.ensure_source_topics(source.name),
            self._context.raw_schema_id(source.name, raw_schema(source.name, header.columns)),
        )
        self._messages = RowMessages(
            source.name,
            self._context.lanes,
            source.compile_key(names),
            frame(self._schema_id),
            len(names),
            self._headers(Kind.ROW),
        )
        self._seen_headers = self._headers(Kind.SEEN)
        return ""

    def _add_rows(self, rows: Rows) -> None:
        self._rows += len(rows.cells)
        by_lane, unkeyed = self._known_messages.of(rows)
        for lane, bodies in enumerate(by_lane):
            self._partition_rows[lane] += len(bodies)
            self._producer.add_all(topics.raw_topic(self._entry.source), lane, bodies)
        for row in unkeyed:
            value = self._known_messages.value_of(row)
            self._add_dead_letter(Stage.SPLIT, NO_KEY, row.row_number, row.line_number, value)
        self._unkeyed += len(unkeyed)

    def _add_damaged(self, row: Damaged) -> None:
        self._rows += 1
        reason = Reason("", row.code, row.message)
        self._add_dead_letter(Stage.SPLIT, reason, row.row_number, row.line_number, row.raw)
        key = row.key(self._known_messages.columns, self._known_messages.key_of)
        if key is None:
            self._unkeyed += 1
            return
        self._producer.add(
            topics.raw_topic(self._entry.source),
            self._known_messages.lane_of(key),
            key.encode(),
            None,
            row_headers(self._seen_headers, row.row_number, row.line_number),
        )

    async def _end(self, summary: Summary) -> LedgerEntry:
        hold = await self._reason_to_hold_deletes(summary)
        self._add_end_markers("complete", hold)
        self._add_step("split", partitions=self._context.lanes, reason=hold, notes=list(self._notes))
        entry = await self._commit("split", reason=hold)
        log.info("load_split", load_id=entry.load_id, source=entry.source, rows=entry.rows,
                 dead_letters=entry.dead_letters)  # fmt: skip
        return entry

    async def _reason_to_hold_deletes(self, summary: Summary) -> str:
        source = self._known_source
        if source.refresh != "complete":
            return ""
        reasons = summary.doubts(self._unkeyed)
        if larger := await self._file_it_shrank_from(source):
            reasons.append(
                f"the file has {self._rows:,} rows, {larger.object_key} had {larger.rows:,} "
                f"(more than {source.max_shrink:.0%} fewer)"
            )
        return "; ".join(reasons)

    async def _file_it_shrank_from(self, source: SourceConfig) -> LedgerEntry | None:
        """The load that this one has too few rows beside, or None. Approvals are read only when they matter."""
        share, seq = 1 - source.max_shrink, self._entry.load_seq
        larger = self._ledger.file_to_measure_by(source.name, seq)
        if larger and self._rows < larger.rows * share:
            context = self._context
            approved = await approved_loads(context.settings.kafka, context.decoder, self._lane, source.name)
            larger = self._ledger.file_to_measure_by(source.name, seq, approved)
        return larger if larger and self._rows < larger.rows * share else None

    async def _hold(self, reason: str) -> LedgerEntry:
        await self._forget_uncommitted()
        hint = f"`leadstream sources drift {self._known_source.name}` shows how to mend the mapping"
        advice = f"{reason} → {hint}; the load then goes on by itself"
        self._add_step("held", reason=advice, notes=list(self._notes))
        entry = await self._commit("held", reason_code="drift", reason=reason)
        log.warning("load_held", load_id=entry.load_id, source=entry.source, why=reason)
        return entry

    async def _fail(self, error: BadRecordError) -> LedgerEntry:
        """The file is no table, or is gone: what was committed of it ends as abandoned, and the load says why."""
        await self._forget_uncommitted()
        if self._rows:
            self._add_end_markers("abandoned", "")
        gone = error.code == "overwritten"
        if not gone:
            self._add_dead_letter(Stage.FILE, Reason("", error.code, error.message), 0, 0, self._first_bytes)
        self._add_step("failed", reason=str(error))
        entry = await self._commit("abandoned" if gone else "failed", reason_code=error.code, reason=error.message)
        log.warning("load_failed", load_id=entry.load_id, source=entry.source, why=error.code)
        return entry

    async def _commit(self, status: str, *, reason_code: str = "", reason: str = "") -> LedgerEntry:
        await self._start_commit(status, reason_code=reason_code, reason=reason)
        await self._commits.end()
        return self._entry

    async def _start_commit(self, status: str, *, reason_code: str = "", reason: str = "") -> None:
        version = self._source.version if self._source else ""
        tally = Tally(self._source.name if self._source else UNKNOWN_SOURCE, self._rows - self._entry.rows, self._codes)
        self._codes = Counter()
        self._entry = self._entry.changed(
            _now(),
            status=status,
            rows=self._rows,
            dead_letters=self._dead_letters,
            unkeyed=self._unkeyed,
            partition_rows=list(self._partition_rows),
            reason_code=reason_code,
            reason=reason,
            # until the end, a load that was held remembers by which mapping: a restart must know it, too
            config_version=self._entry.config_version if status == "splitting" else version,
            raw_schema_id=self._schema_id,
        )
        value = self._context.ledger_encoder.encode(self._entry.to_record())
        self._producer.add(topics.LEDGER, self._lane, self._entry.load_id.encode(), value)
        await self._commits.start(self._entry, tally)

    async def _forget_uncommitted(self) -> None:
        await self._commits.end()
        self._producer.discard()
        self._codes.clear()
        self._entry = self._commits.committed
        self._rows = self._entry.rows
        self._dead_letters = self._entry.dead_letters
        self._unkeyed = self._entry.unkeyed
        self._partition_rows = list(self._entry.partition_rows)

    def _add_end_markers(self, status: str, hold: str) -> None:
        refresh = self._source.refresh if self._source else "partial"  # its YAML may be gone by now
        constant = self._headers(Kind.END)
        for partition, rows in enumerate(self._partition_rows):
            marker = end_headers(constant, rows=rows, status=status, refresh=refresh, hold=hold)
            self._producer.add(topics.raw_topic(self._entry.source), partition, b"", None, marker)

    def _add_dead_letter(self, stage: Stage, reason: Reason, row_number: int, line_number: int, value: bytes) -> None:
        if row_number:  # a letter about the whole file is none of its rows
            self._dead_letters += 1
        self._codes[reason.code] += 1
        self._producer.add(
            topics.DEAD_LETTERS,
            self._lane,
            None,
            value,
            dead_letter_headers(
                stage=stage,
                reasons=[reason],
                source=self._entry.source,
                load_id=self._entry.load_id,
                load_seq=self._entry.load_seq,
                row_number=row_number,
                line_number=line_number,
                bucket=self._arrival.bucket,
                object_key=self._arrival.key,
                object_version=self._arrival.version,
                class_name="producer.splitter",
            ),
        )

    def _add_step(self, step: str, **fields: Any) -> None:
        entry = self._entry
        record = {
            "load_id": entry.load_id,
            "source": entry.source,
            "bucket": entry.bucket,
            "object_key": entry.object_key,
            "object_version": entry.object_version,
            "load_seq": entry.load_seq,
            "step": step,
            "rows": self._rows,
            "dead_letters": self._dead_letters,
            "size_bytes": self._arrival.size_bytes,
            "raw_schema_id": self._schema_id,
            "mapping_version": self._source.version if self._source else "",
            "at": _now(),
            **fields,
        }
        partition = lane_of(entry.load_id, self._context.lanes)
        self._producer.add(topics.LOADS, partition, entry.load_id.encode(), self._context.step_encoder.encode(record))

    def _headers(self, kind: Kind) -> Headers:
        entry = self._entry
        return load_headers(
            kind, entry.load_id, entry.load_seq, entry.bucket, entry.object_key, entry.object_version, self._outdated
        )

    def _new_entry(self, before: LedgerEntry | None) -> LedgerEntry:
        """The first entry of a load, or of a held or failed one (``before``) that is tried again."""
        arrival = self._arrival
        name = source_name(self._source, arrival.key)
        now = _now()
        return LedgerEntry(
            load_id=self._ledger.load_id_of(arrival),
            source=name,
            bucket=arrival.bucket,
            object_key=arrival.key,
            object_version=before.object_version if before else arrival.version,
            etag=arrival.etag,
            load_seq=before.load_seq if before else self._ledger.next_sequence(name, arrival, self._source),
            status="splitting",
            last_modified=arrival.last_modified,
            started_at=now,
            at=now,
            partition_rows=[0] * self._context.lanes,
            config_version=before.config_version if before else "",
        )

    @property
    def _known_source(self) -> SourceConfig:
        if self._source is None:
            raise RuntimeError("no source claims this file")
        return self._source

    @property
    def _known_messages(self) -> RowMessages:
        if self._messages is None:
            raise RuntimeError("no header was read yet")
        return self._messages


def source_name(source: SourceConfig | None, object_key: str) -> str:
    """The name a file's load goes by: its source's, or that of the folder it lies in when no source claims it."""
    if source is not None:
        return source.name
    folder, slash, _rest = object_key.partition("/")
    return folder if slash else NO_SOURCE


def _now() -> datetime:
    return datetime.now(UTC)
