"""Change detection against a model made of plain dicts: random files, cut anywhere, with crashes in between."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from processors.changes import MAX_RELEASED
from processors.progress import Counts
from tests.unit.changing import BAD, DAMAGED, MANGLED, File, Lane, Message, Step
from tests.unit.lead_model import Model, check_stream

SEQ_STEP = 10
"""Between two new files there is room for this many that come late, less one."""
SETTINGS = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
ROWS = st.lists(
    st.tuples(st.sampled_from("ABCDE"), st.sampled_from(["one", "two", "three", BAD, MANGLED, DAMAGED])), max_size=9
)


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

    @rule(dies=st.booleans())
    def successors_take_over_while_parked_changes_go_out(self, dies: bool) -> None:
        self.lane.dies_while_it_releases = dies

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
        check_stream(self.lane.sent)

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


@pytest.mark.parametrize("at_once", [1, 2, MAX_RELEASED])
def test_whatever_comes_the_lane_does_what_the_model_does(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts add up, nothing is lost or sent twice, order never goes back, whatever is cut or crashes where; also when
    what waited for the end of a file goes out in many transactions.
    """
    monkeypatch.setattr("processors.changes.MAX_RELEASED", at_once)
    run_state_machine_as_test(ChangeDetection, settings=SETTINGS)
