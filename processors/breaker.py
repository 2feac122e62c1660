"""Whether so many of a load's rows fail that taking the rest would do harm: the lane then halts. Pure.

Each partition is judged alone, by its own rows. If the whole load is above the limit then so is at least one of its
partitions, and that one is judged at its end at the latest: no load above the limit gets through.
"""

from __future__ import annotations

from collections import Counter

from leadstream.alerts import percent
from processors.changes import BatchChanges
from processors.progress import ActiveLoad, Counts, EndedLoad

MIN_ROWS = 100
"""Before so many rows of a load were looked at in a partition, or all, their failures say too little."""


def judged(outcome: BatchChanges) -> BatchChanges:
    """What is to be written of a batch (of one load, where the source holds loads): ``outcome``, or nothing but the
    step that the load is halted.

    A halted load's batch is thrown away: the state is as before it, and is to be looked at again before reading on.
    """
    state, version = outcome.state, outcome.source.version
    loads = [ended.load for ended in outcome.ended] + ([state.active] if state.active else [])
    for load in loads:
        if reason := _reason_to_halt(outcome, load):
            state.halt(load.load_id, version)
            halted = EndedLoad(load, Counts(), reason, version, "halted")
            return BatchChanges(state, outcome.source, outcome.readers, ended=[halted])
        if load.load_id == state.halted_load:
            state.halted_load = ""
            outcome.ended.insert(0, EndedLoad(load, Counts(), "", version, "resumed"))
    return outcome


def _reason_to_halt(outcome: BatchChanges, load: ActiveLoad) -> str:
    """Why the load must not go on, and what to do; empty: it may."""
    source, limit = outcome.source, outcome.source.dead_letter_rate
    if not source.hold_dead_letters or limit is None or load.load_id == outcome.state.approved_load:
        return ""
    rows = load.counts.rows - load.counts_before.rows
    failed = load.counts.dead_letters - load.counts_before.dead_letters
    if rows == 0 or failed / rows <= limit or (rows < MIN_ROWS and load is outcome.state.active):
        return ""
    found = Counter((reason.field, reason.code) for letter in outcome.dead_letters for reason in letter.reasons)
    most = "".join(
        f", most often {f'{field}: ' if field else ''}{code} ({count:,} of this batch)"
        for (field, code), count in found.most_common(1)
    )
    return (
        f"{percent(failed / rows)} of {rows:,} rows in partition {outcome.state.partition} failed{most}; the source's "
        f"dead_letter_rate is {percent(limit)} → mend {source.place(('key',))[0].name} and the load goes on by itself, "
        f"or let it through: `leadstream loads approve {load.load_id}`"
    )
