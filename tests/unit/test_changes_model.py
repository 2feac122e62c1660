"""Change detection against a model made of plain dicts: random files, cut anywhere, with crashes in between."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from processors.progress import Counts
from tests.unit.changing import BAD, DAMAGED, MANGLED, File, Lane, Message, Sent, Step

SEQ_STEP = 10
"""Between two new files there is room for this many that come late, less one."""
SETTINGS = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
ROWS = st.lists(
    st.tuples(st.sampled_from("ABCDE"), st.sampled_from(["one", "two", "three", BAD, MANGLED, DAMAGED])), max_size=9
)


@dataclass
class Reading:
    """What the model knows of the load under way."""

    file: File
    is_stale: bool
    counts: Counts = field(default_factory=Counts)
    named: set[str] = field(default_factory=set)
    names: dict[str, str] = field(default_factory=dict)
    """The name in the last good row of each key."""


class Model:
    """What must come of it, message by message: no batches, no restarts, no state packed into bytes."""

    def __init__(self) -> None:
        self.leads: dict[str, str] = {}
        self.said_by: dict[str, int] = {}
        """seq of the file that has the last word on a lead, deleted ones included."""
        self.held: dict[str, str] = {}
        self.newest_complete = -1
        self.reading: Reading | None = None
        self.ended: list[tuple[Reading, str]] = []
        """With the reason to hold deletes."""

    def take(self, file: File, at: int) -> None:
        """The message at index ``at`` of a file; the one after its rows is the end marker."""
        if self.reading is None or self.reading.file is not file:
            if self.reading is not None:
                self._leave(self.reading)
            self.reading = Reading(file, file.seq < self.newest_complete)
        if at < len(file.rows):
            self._row(self.reading, *file.rows[at])
        else:
            self._end(self.reading)

    def settle(self, kind: str, file: File) -> tuple[int, int]:
        """How many deletes were held and how many leads are deleted now."""
        keys = [key for key, load_id in self.held.items() if load_id == file.load_id]
        for key in keys:
            del self.held[key]
            if kind == "approve":
                self._delete(key, file.seq)
        return len(keys), len(keys) if kind == "approve" else 0

    def _row(self, reading: Reading, key: str, name: str) -> None:
        counts, seq = reading.counts, reading.file.seq
        if name != DAMAGED:
            counts.rows += 1
        if reading.is_stale:
            counts.stale += name != DAMAGED
            return
        reading.named.add(key)
        if name in {BAD, MANGLED}:
            counts.dead_letters += 1
        elif name != DAMAGED and self.said_by.get(key, -1) > seq:
            counts.stale += 1
            return
        elif name != DAMAGED:
            counts.stale += key in reading.names
            counts.duplicates += key in reading.names
            reading.names[key] = name
        self.held.pop(key, None)

    def _leave(self, reading: Reading) -> None:
        """An end without a word about absent leads."""
        for key, name in reading.names.items():
            before = self.leads.get(key)
            fate = "inserted" if before is None else "unchanged" if before == name else "updated"
            setattr(reading.counts, fate, getattr(reading.counts, fate) + 1)
            self.leads[key] = name
            self.said_by[key] = reading.file.seq

    def _end(self, reading: Reading) -> None:
        file = reading.file
        reason = file.hold
        self._leave(reading)
        if file.status == "complete" and file.refresh == "complete" and not reading.is_stale:
            reason = reason or "rows lost" * (file.lost_rows > 0)
            for key in [key for key in self.leads if key not in reading.named and self.said_by[key] < file.seq]:
                if reason:
                    self.held[key] = file.load_id
                    reading.counts.deletes_held += 1
                else:
                    self._delete(key, file.seq)
                    reading.counts.deleted += 1
            self.newest_complete = max(self.newest_complete, file.seq)
        self.ended.append((reading, reason))
        self.reading = None

    def _delete(self, key: str, seq: int) -> None:
        del self.leads[key]
        self.held.pop(key, None)
        self.said_by[key] = seq


class ChangeDetection(RuleBasedStateMachine):
    """A producer that sends files, a lane that takes them in batches and dies now and then, an operator."""

    def __init__(self) -> None:
        super().__init__()
        self.lane = Lane()
        self.model = Model()
        self.files: list[File] = []
        self.repeats: list[File] = []
        """Files with the rows of the file before, which had the last word."""
        self.places: list[tuple[File, int]] = []
        """Of each raw message, its file and its index there."""
        self.fresh_steps = 0

    @rule(
        rows=ROWS,
        refresh=st.sampled_from(["complete", "complete", "partial"]),
        status=st.sampled_from(["complete", "complete", "complete", "abandoned", ""]),
        hold=st.sampled_from(["", "", "it shrank"]),
        lost_rows=st.sampled_from([0, 0, 0, 2]),
    )
    def a_new_file(self, rows: list[tuple[str, str]], refresh: str, status: str, hold: str, lost_rows: int) -> None:
        self._put(File(self._newest() + SEQ_STEP, rows, refresh, status, hold, lost_rows))

    @rule(rows=ROWS, back=st.integers(1, 3 * SEQ_STEP), refresh=st.sampled_from(["complete", "partial"]))
    def an_older_file_that_comes_late(self, rows: list[tuple[str, str]], back: int, refresh: str) -> None:
        seq = self._newest() - back
        if all(file.seq != seq for file in self.files):
            self._put(File(seq, rows, refresh))

    @precondition(lambda self: self.files and self.files[-1].seq == self._newest())
    @rule()
    def the_same_file_again(self) -> None:
        again = replace(self.files[-1], seq=self._newest() + SEQ_STEP)
        self.repeats.append(again)
        self._put(again)

    @rule(size=st.integers(1, 12))
    def the_lane_takes_a_batch(self, size: int) -> None:
        for file, at in self.places[self.lane.next_offset : self.lane.next_offset + size]:
            self.model.take(file, at)
        self.lane.work(size)
        self._compare_steps()

    @rule(size=st.integers(1, 12))
    def a_batch_is_lost_and_a_successor_takes_over(self, size: int) -> None:
        self.lane.crash(size)

    @precondition(lambda self: self.lane.steps)
    @rule(kind=st.sampled_from(["approve", "reject"]), which=st.integers(0, 20))
    def an_operator_settles_held_deletes(self, kind: str, which: int) -> None:
        held = [file for file in self.files if file.load_id in self.model.held.values()]
        candidates = held or self.files
        file = candidates[which % len(candidates)]
        wanted = self.model.settle(kind, file)
        step = self.lane.settle(kind, file)
        assert (step.counts.deletes_held, step.counts.deleted) == wanted
        assert step.counts.sent == step.counts.deleted
        self.fresh_steps = len(self.lane.steps)

    @invariant()
    def the_records_sent_give_the_models_leads(self) -> None:
        reading = self.model.reading
        open_keys = set(reading.names) if reading is not None else set()
        names, wanted = self.lane.names(), self.model.leads
        assert {k: v for k, v in names.items() if k not in open_keys} == {
            k: v for k, v in wanted.items() if k not in open_keys
        }

    @invariant()
    def every_record_says_what_happened_to_its_lead(self) -> None:
        newest: dict[str, Sent] = {}
        last: Sent | None = None
        for record in self.lane.sent:
            assert (record is None) == (last is not None and last.op == "d")
            last = record
            if record is None:
                continue
            before = newest.get(record.key)
            is_live = before is not None and before.op != "d"
            assert (record.op == "c") == (not is_live)
            if before is not None:
                assert record.order > before.order
            if record.op == "u":
                assert before is not None
                differing = [name for name, value in record.body.items() if before.body[name] != value]
                assert record.changed_fields == differing != []
            elif record.op == "d":
                assert before is not None
                assert record.body == before.body
            newest[record.key] = record

    @invariant()
    def every_record_is_counted_and_a_file_put_again_sends_none(self) -> None:
        counted: dict[str, int] = {}
        for step in self.lane.steps:
            assert min(step.counts.to_list()) >= 0
            counted[step.load_id] = counted.get(step.load_id, 0) + step.counts.sent
        reported = {step.load_id for step in self.lane.steps if step.kind == "mapped"}
        active = self.lane.state.active
        if active is not None:
            reported.add(active.load_id)
            assert min(active.counts.to_list()) >= 0
            counted[active.load_id] = active.counts.sent
        for file in self.files:
            if file.load_id in reported:  # one without an end marker never reports
                assert len(self.lane.sent_for(file)) == counted[file.load_id]
        for file in self.repeats:
            assert [record for record in self.lane.sent_for(file) if record.op != "d"] == []

    def teardown(self) -> None:
        """Whatever is left is taken, and all is compared once more."""
        self.the_lane_takes_a_batch(len(self.places))
        self.the_records_sent_give_the_models_leads()
        self.every_record_says_what_happened_to_its_lead()
        self.every_record_is_counted_and_a_file_put_again_sends_none()

    def _newest(self) -> int:
        return max((file.seq for file in self.files), default=1_000)

    def _put(self, file: File) -> None:
        messages: list[Message] = file.messages()
        self.files.append(file)
        self.places += [(file, at) for at in range(len(messages))]
        self.lane.put_messages(messages)

    def _compare_steps(self) -> None:
        steps, ended = self.lane.steps[self.fresh_steps :], self.model.ended
        assert [step.load_id for step in steps] == [reading.file.load_id for reading, _reason in ended]
        for step, (reading, reason) in zip(steps, ended, strict=True):
            _compare(step, reading.counts)
            assert bool(step.reason) == bool(reason)
        self.model.ended = []
        self.fresh_steps = len(self.lane.steps)


def _compare(step: Step, wanted: Counts) -> None:
    got = step.counts
    for name in ("rows", "dead_letters", "inserted", "stale", "duplicates", "deleted", "deletes_held"):
        assert getattr(got, name) == getattr(wanted, name), name
    assert got.rows == got.inserted + got.updated + got.unchanged + got.stale + got.dead_letters
    # A lead that an earlier batch took to a new content, and a later one back, was updated.
    assert got.updated >= wanted.updated
    if not wanted.duplicates:
        assert got.updated == wanted.updated


def test_whatever_comes_the_lane_does_what_the_model_does() -> None:
    """Counts add up, nothing is lost or sent twice, order never goes back, whatever is cut or crashes where."""
    run_state_machine_as_test(ChangeDetection, settings=SETTINGS)
