"""The seven invariants, judged from what was put and from the evidence. Pure, and with none of the product's code."""

from __future__ import annotations

import bisect
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.faults.evidence import CANONICAL, LETTERS, LOADS, Change, Evidence, Letter, RawMessage
from tests.faults.files import File
from tests.faults.model import Model, Outcome

INVARIANTS = {
    "I1": "every accepted row is in canonical state, among the dead letters, or counted as unchanged or stale",
    "I2": "each row has its effect once",
    "I3": "per key, (load_seq, row) only grows",
    "I4": "Postgres equals a plain-Python model",
    "I5": "in every database snapshot, what is stored is what the stored offsets say",
    "I6": "no read_committed reader ever saw an aborted record",
    "I7": "the system is caught up within the transaction timeout + 30 s after the fault ends",
}
NAMED_AT_MOST = 5


@dataclass(frozen=True)
class Finding:
    """A broken promise; ``none``: of the suite, a fault that could not be made."""

    invariant: str
    message: str


@dataclass(frozen=True)
class Load:
    """One load as it stands on its raw topic, beside the file it was made from."""

    load_id: str
    load_seq: int
    file: File
    is_complete: bool
    outcome: Outcome


def check(evidence: Evidence, files: Sequence[File]) -> list[Finding]:
    """Everything that is wrong. To be asked when the system has caught up."""
    models: dict[str, Model] = {file.source: Model() for file in files}
    loads: list[Load] = []
    found: list[Finding] = []
    for source, model in models.items():
        own = [file for file in files if file.source == source]
        found += _fold(evidence, source, own, model, loads)
    found += _once_on_topics(evidence)
    found += _accounted_for(evidence, files, loads)
    found += _order(evidence)
    found += _equal(evidence, models)
    found += _audited(evidence)
    found += _snapshots(evidence)
    found += _isolation(evidence)
    return found


def _fold(evidence: Evidence, source: str, files: Sequence[File], model: Model, loads: list[Load]) -> Iterator[Finding]:
    """The loads of a source in the order in which they stand on every partition, taken by the model."""
    by_version = {(file.object_key, file.etag): file for file in files}
    ends: dict[int, list[RawMessage]] = defaultdict(list)
    rows: dict[str, set[int]] = defaultdict(set)
    under_way: dict[int, str] = {}
    ended: set[tuple[int, str]] = set()
    for message in sorted(evidence.raw.get(source, ()), key=lambda message: message.place):
        lane = message.place[0]
        if under_way.get(lane, message.load_id) != message.load_id or (lane, message.load_id) in ended:
            yield Finding("I3", f"{source}[{lane}]: rows of load {message.load_id} stand among another's")
        under_way[lane] = message.load_id
        if message.kind == "end":
            ends[lane].append(message)
            ended.add((lane, message.load_id))
            del under_way[lane]
        else:
            rows[message.load_id].add(message.row)
    for letter in evidence.letters:
        if letter.stage == "SPLIT":
            rows[letter.load_id].add(letter.row)
    for lane, load_id in under_way.items():
        yield Finding("I1", f"{source}[{lane}]: load {load_id} has no end")
    orders = {lane: [message.load_id for message in messages] for lane, messages in ends.items()}
    first = next(iter(orders.values()), [])
    if any(order != first for order in orders.values()):
        yield Finding("I3", f"{source}: the loads stand in another order on another partition")
    for message in next(iter(ends.values()), []):
        file = by_version.get((message.object_key, message.version))
        if file is None:
            yield Finding("I2", f"{source}: load {message.load_id} is of a file that nobody put")
            continue
        taken, is_complete = rows[message.load_id], message.status == "complete"
        wanted = set(range(1, len(file.rows) + 1))
        if is_complete and taken != wanted:
            yield Finding("I1", f"{file.object_key}: of its rows these never arrived: {_some(wanted - taken)}")
        outcome = model.take(file, message.load_seq, taken, is_complete)
        loads.append(Load(message.load_id, message.load_seq, file, is_complete, outcome))


def _once_on_topics(evidence: Evidence) -> Iterator[Finding]:
    for source, messages in evidence.raw.items():
        rows = Counter((message.load_id, message.row) for message in messages if message.kind != "end")
        ends = Counter((message.load_id, message.place[0]) for message in messages if message.kind == "end")
        yield from _twice(f"leads.raw.{source}: rows", rows)
        yield from _twice(f"leads.raw.{source}: end markers", ends)
    yield from _twice(CANONICAL, Counter((change.key, change.order) for change in evidence.changes))
    yield from _twice(LETTERS, Counter((letter.load_id, letter.row) for letter in evidence.letters if letter.row))


def _accounted_for(evidence: Evidence, files: Sequence[File], loads: Iterable[Load]) -> Iterator[Finding]:
    changes: dict[str, list[Change]] = defaultdict(list)
    for change in evidence.changes:
        changes[change.load_id].append(change)
    letters: dict[str, list[Letter]] = defaultdict(list)
    for letter in evidence.letters:
        letters[letter.load_id].append(letter)
    receipts = {row["load_id"]: row for row in evidence.loads}
    for load in loads:
        name, outcome = load.file.object_key, load.outcome
        sent = {change.order for change in changes[load.load_id] if change.op != "d"}
        deleted = {change.key.partition(":")[2] for change in changes[load.load_id] if change.op == "d"}
        failed = {letter.row for letter in letters[load.load_id] if letter.row}
        for what, wanted, stand, allowed in (
            ("changes", outcome.changed, sent, outcome.changed | outcome.replaced),
            ("deletes", outcome.deleted_keys, deleted, outcome.deleted_keys),
            ("dead letters", outcome.letters, failed, outcome.letters),
        ):
            if lost := set(wanted) - stand:
                yield Finding("I1", f"{name}: {what} that were lost: {_some(lost)}")
            if invented := stand - allowed:
                yield Finding("I2", f"{name}: {what} that nobody made: {_some(invented)}")
        receipt = receipts.get(load.load_id)
        if receipt is None:
            yield Finding("I1", f"{name}: no receipt")
        elif load.is_complete:
            yield from _receipt(load, receipt, len(changes[load.load_id]))
    by_version = {(row["object_key"], row["object_version"]): row["status"] for row in evidence.loads}
    for file in files:
        status = by_version.get((file.object_key, file.etag), "")
        if file.ends and status not in file.ends:
            yield Finding("I1", f"{file.object_key}: its load is {status or 'not there'}, not {sorted(file.ends)}")


def _receipt(load: Load, receipt: dict[str, int], sent: int) -> Iterator[Finding]:
    outcome = load.outcome
    wanted = {
        "rows": len(load.file.rows),
        "dead_letters": len(outcome.letters),
        "inserted": outcome.inserted,
        "deleted": outcome.deleted,
        "stale": outcome.stale,
        "duplicates": outcome.duplicates,
        "sent": sent,
        "applied": sent,
        "dead_letters_applied": len(outcome.letters),
    }
    if not outcome.duplicates:  # else a lead may have been what the row before said, for a moment
        wanted |= {"unchanged": outcome.unchanged, "updated": len(outcome.changed) - outcome.inserted}
    wrong = {name: (receipt[name], value) for name, value in wanted.items() if receipt[name] != value}
    if wrong:
        yield Finding("I1", f"{load.file.object_key}: the receipt says (and it should be): {wrong}")
    parts = sum(receipt[name] for name in ("inserted", "updated", "unchanged", "stale", "dead_letters"))
    if parts != receipt["rows"]:
        yield Finding("I1", f"{load.file.object_key}: {receipt['rows']} rows, of which {parts} are accounted for")


def _order(evidence: Evidence) -> Iterator[Finding]:
    newest: dict[str, tuple[int, int]] = {}
    for change in sorted(evidence.changes, key=lambda change: change.place):
        if change.order <= newest.get(change.key, (-1, -1)):
            yield Finding("I3", f"{CANONICAL}: {change.key} goes back to {change.order}")
        newest[change.key] = change.order
    newest = {}
    for row in evidence.audit:
        if row["table_name"] == "leads" and row["op"] != "DELETE":
            order = (row["load_seq"], row["row_number"])
            if order <= newest.get(row["key"], (-1, -1)):
                yield Finding("I3", f"leads: {row['key']} goes back to {order}")
            newest[row["key"]] = order


def _equal(evidence: Evidence, models: dict[str, Model]) -> Iterator[Finding]:
    for source, model in models.items():
        wanted = {f"{source}:{key}": content for key, content in model.leads.items()}
        table = {
            row["lead_key"]: (row["company"], row["license_number"])
            for row in evidence.leads
            if row["source"] == source and row["deleted_at"] is None
        }
        folded: dict[str, tuple[str | None, str | None]] = {}
        for change in sorted(evidence.changes, key=lambda change: change.place):
            if change.key.startswith(f"{source}:"):
                folded[change.key] = change.content
                if change.op == "d":
                    del folded[change.key]
        for where, stand in (("leads", table), (CANONICAL, folded)):
            differing = {key for key in wanted.keys() | stand.keys() if wanted.get(key) != stand.get(key)}
            if differing:
                yield Finding("I4", f"{where} of {source}: {len(differing)} differ, as {_some(differing)}")
    places = {(row["canonical_partition"], row["canonical_offset"]): row for row in evidence.history}
    sent = {change.place: change for change in evidence.changes}
    if places.keys() != sent.keys():
        yield Finding("I4", f"lead_history: other versions than were sent: {_some(places.keys() ^ sent.keys())}")
    for place in places.keys() & sent.keys():
        row, change = places[place], sent[place]
        said = (row["lead_key"], row["op"], (row["load_seq"], row["row_number"]))
        if said != (change.key, change.op, change.order):
            yield Finding("I4", f"lead_history: the version at {place} is another")


def _audited(evidence: Evidence) -> Iterator[Finding]:
    writes = Counter(
        (row["table_name"], row["key"], row["load_seq"], row["row_number"])
        for row in evidence.audit
        if row["table_name"] == "leads" and row["op"] != "DELETE"
    )
    versions = Counter(
        (row["op"], row["place_partition"], row["place_offset"])
        for row in evidence.audit
        if row["table_name"] == "lead_history"
    )
    letters = Counter(
        row["key"] for row in evidence.audit if row["table_name"] == "dead_letters" and row["op"] == "INSERT"
    )
    for what, counts in (("leads", writes), ("lead_history", versions), ("dead_letters", letters)):
        yield from _twice(f"audit of {what}", counts)
    if taken_out := [row for row in evidence.audit if row["op"] == "DELETE"]:
        yield Finding("I2", f"audit: {len(taken_out)} rows were deleted from {taken_out[0]['table_name']}")


def _snapshots(evidence: Evidence) -> Iterator[Finding]:
    for snapshot in evidence.snapshots:
        places = evidence.written_places.get((snapshot.topic, snapshot.partition), [])
        wanted = bisect.bisect_left(places, snapshot.next_offset)
        if snapshot.written != wanted:
            where = f"{snapshot.topic}[{snapshot.partition}]"
            yield Finding(
                "I5", f"{where}: {snapshot.written} records written, {wanted} before offset {snapshot.next_offset}"
            )
    for (topic, partition), offset in evidence.last_offsets.items():
        stored = evidence.offsets.get((topic, partition), 0)
        if topic in (CANONICAL, LETTERS, LOADS) and stored != offset + 1:
            yield Finding("I5", f"{topic}[{partition}]: the stored offset is {stored}, the last record {offset}")


def _isolation(evidence: Evidence) -> Iterator[Finding]:
    aborted = evidence.uncommitted - evidence.committed.keys()
    if seen := aborted & evidence.live.keys():
        yield Finding("I6", f"aborted records were seen: {_some(seen)}")
    if wrong := {place for place, seen in evidence.live.items() if evidence.committed.get(place, seen) != seen}:
        yield Finding("I6", f"records were seen that stand otherwise: {_some(wrong)}")
    if evidence.live_twice:
        yield Finding("I6", f"{evidence.live_twice} records were seen twice")


def _twice(what: str, counts: Counter[tuple[object, ...]] | Counter[str]) -> Iterator[Finding]:
    if doubled := [name for name, count in counts.items() if count > 1]:
        yield Finding("I2", f"{what}: {len(doubled)} stand twice, as {_some(doubled)}")


def _some(things: Iterable[object]) -> str:
    named = sorted(map(str, itertools.islice(things, NAMED_AT_MOST)))
    return ", ".join(named)
