"""Replays and retries against a model made of plain dicts: cut anywhere, live rows and crashes in between."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test

from processors.replay_state import REPLAY, RETRY, Phase, Replay, from_json, to_json
from tests.unit.changing import BAD, DAMAGED, FIRST_MAPPING, MANGLED, File, Message
from tests.unit.replay_oracle import Foretold, Row, Standing, foretell
from tests.unit.replaying import ReplayLane, counts_of
from tests.unit.test_changes_model import SEQ_STEP, ChangeDetection

SETTINGS = settings(
    max_examples=150, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
ROWS = st.lists(
    st.tuples(st.sampled_from("AAB"), st.sampled_from(["one", "two", "three", BAD, BAD, MANGLED, DAMAGED])), max_size=4
)
MAPPINGS = [FIRST_MAPPING, {BAD: "two", "two": "three", "three": None}]
"""Under the second some names that failed pass, some that passed fail, and some give what another gave before."""


class Replays(ChangeDetection):
    """As there, with replays of what came. A second lane, in which nothing ever crashes, is given the same."""

    lane: ReplayLane

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.lane = ReplayLane(loop=loop)
        self.calm = ReplayLane(loop=loop)
        self.number = 0
        self.foretold = Foretold()
        self.is_disturbed = False
        """Whether anything else changed leads since the replay began."""
        self.named: dict[str, int] = {}
        """Keys that live rows named since then, with the seq of the newest file."""
        self.mixed: set[str] = set()
        """Loads that were under way together with a replay: how they are counted depends on who was faster."""
        self.is_settled = False
        """Whether a replay of everything ended, and nothing happened since."""

    @rule(
        rows=ROWS,
        refresh=st.sampled_from(["complete", "partial"]),
        status=st.sampled_from(["complete", "complete", "abandoned", ""]),
        hold=st.sampled_from(["", "it shrank"]),
        lost_rows=st.just(0),
    )
    def a_new_file(self, rows: list[tuple[str, str]], refresh: str, status: str, hold: str, lost_rows: int) -> None:
        super().a_new_file(rows, refresh, status, hold, lost_rows)

    @rule(rows=ROWS, back=st.integers(1, 2 * SEQ_STEP), refresh=st.sampled_from(["complete", "partial"]))
    def an_older_file_that_comes_late(self, rows: list[tuple[str, str]], back: int, refresh: str) -> None:
        super().an_older_file_that_comes_late(rows, back, refresh)

    @precondition(lambda self: self.lane.next_offset < len(self.places))
    @rule(size=st.integers(1, 12))
    def the_lane_takes_all_there_is(self, size: int) -> None:
        while self.lane.next_offset < len(self.places):
            self.the_lane_takes_a_batch(size)

    @precondition(lambda self: self.lane.next_offset < len(self.places))
    @rule(size=st.integers(1, 6))
    def the_lane_takes_a_batch(self, size: int) -> None:
        for file, at in self.places[self.lane.next_offset : self.lane.next_offset + size]:
            self._disturb(file)
            if at < len(file.rows):
                key = file.rows[at][0]
                self.named[key] = max(file.seq, self.named.get(key, -1))
        self.calm.work(size)
        super().the_lane_takes_a_batch(size)

    @precondition(lambda self: self.lane.next_offset < len(self.places))
    @rule(size=st.integers(1, 6))
    def a_batch_is_lost_and_a_successor_takes_over(self, size: int) -> None:
        super().a_batch_is_lost_and_a_successor_takes_over(size)

    @precondition(lambda self: self.model.held)
    @rule(kind=st.sampled_from(["approve", "reject"]), which=st.integers(0, 20))
    def an_operator_settles_held_deletes(self, kind: str, which: int) -> None:
        candidates = [file for file in self.files if file.load_id in self.model.held.values()]
        file = candidates[which % len(candidates)]
        self._disturb(file)
        wanted = self.model.settle(kind, file)
        self.calm.settle(kind, file)
        step = self.lane.settle(kind, file)
        if self.lane.replay is None:
            assert (step.counts.deletes_held, step.counts.deleted) == wanted
        assert step.counts.sent == step.counts.deleted
        self.fresh_steps = len(self.lane.steps)

    @precondition(lambda self: self.lane.replay is None and self.model.reading is None)
    @rule(which=st.sampled_from([0, 1, 1]))
    def the_mapping_is_changed(self, which: int) -> None:
        self.is_settled = self.is_settled and self.model.meanings is MAPPINGS[which]
        self.model.meanings = MAPPINGS[which]
        for lane in (self.lane, self.calm):
            lane.readers.meanings, lane.readers.mapping_version = MAPPINGS[which], f"m{which + 1}"

    @precondition(lambda self: self.lane.replay is None)
    @rule(share=st.floats(0, 1))
    def the_raw_topic_forgets(self, share: float) -> None:
        active = self.lane.state.active
        end = self.lane.next_offset if active is None else active.first_offset
        self.lane.forgotten += int(share * (end - self.lane.forgotten))
        self.calm.forgotten = self.lane.forgotten
        self.is_settled = False

    @precondition(lambda self: self.lane.replay is None and self.files)
    @rule(scope=st.sampled_from(["", "", "", "load", "since"]), which=st.integers(0, 20))
    def a_replay_is_asked_for(self, scope: str, which: int) -> None:
        file = self.files[which % len(self.files)]
        self._accept(
            Replay(
                self._next_id(),
                REPLAY,
                load_id=file.load_id if scope == "load" else "",
                since_load_seq=file.seq if scope == "since" else 0,
            )
        )

    @precondition(lambda self: self.lane.replay is None and self.model.letters)
    @rule(data=st.data())
    def a_retry_is_asked_for(self, data: st.DataObject) -> None:
        names = sorted(self.model.letters)
        chosen = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=len(names), unique=True))
        self._accept(Replay(self._next_id(), RETRY), sorted(chosen))

    @precondition(lambda self: self.lane.replay is not None)
    @rule(size=st.integers(1, 12))
    def the_replay_takes_a_batch(self, size: int) -> None:
        replay = self.lane.replay
        assert replay is not None
        if replay.phase is Phase.WAITING:
            self._begin(replay)
        for lane in (self.lane, self.calm):
            lane.replay_batch(size)
        if self.model.reading is not None:
            self.mixed.add(self.model.reading.file.load_id)
        if self.lane.replay is None:
            self._compare_replay(self.lane.finished[-1])

    @precondition(lambda self: self.lane.replay is not None)
    @rule(size=st.integers(1, 12))
    def the_replay_comes_to_its_end(self, size: int) -> None:
        while self.lane.replay is not None:
            self.the_replay_takes_a_batch(size)

    @precondition(lambda self: self.lane.replay is not None)
    @rule(size=st.integers(1, 12))
    def a_batch_of_the_replay_is_lost_and_a_successor_takes_over(self, size: int) -> None:
        self.lane.lose_replay_batch(size)

    @precondition(lambda self: self.lane.replay is not None)
    @rule()
    def the_replay_is_cancelled(self) -> None:
        self.is_settled = False
        for lane in (self.lane, self.calm):
            lane.cancel()
        if self.lane.finished[-1].phase is not Phase.WAITING:
            self._follow(set(self.foretold.companies))
            self._follow_letters()

    @invariant()
    def the_records_sent_give_the_models_leads(self) -> None:
        passed_over = set(self.model.reading.names) if self.model.reading is not None else set()
        if self.lane.replay is not None and self.lane.replay.phase is not Phase.WAITING:
            passed_over |= set(self.foretold.companies)
        names, wanted = self.lane.names(), self.model.leads
        assert {k: v for k, v in names.items() if k not in passed_over} == {
            k: v for k, v in wanted.items() if k not in passed_over
        }

    @invariant()
    def the_dead_letters_that_are_open_are_the_models(self) -> None:
        if self.lane.replay is None or self.lane.replay.phase is Phase.WAITING:
            assert self.lane.open_letters().keys() == self.model.letters

    @invariant()
    def a_crash_leaves_no_trace(self) -> None:
        assert self.lane.sent_by_lead() == self.calm.sent_by_lead()
        assert [letter.headers for letter in self.lane.letters] == [letter.headers for letter in self.calm.letters]
        assert [vars(replay) for replay in self.lane.finished] == [vars(replay) for replay in self.calm.finished]

    @invariant()
    def what_is_kept_of_replays_is_all(self) -> None:
        assert from_json(to_json(self.lane.state.replays)) == self.lane.state.replays

    def teardown(self) -> None:
        """Whatever is left is taken."""
        try:
            self.the_replay_comes_to_its_end(5)
            super().teardown()
            self.the_dead_letters_that_are_open_are_the_models()
            self.a_crash_leaves_no_trace()
        finally:
            self.lane.close()
            self.calm.close()

    def _next_id(self) -> str:
        self.number += 1
        return f"replay-{self.number}"

    def _disturb(self, file: File) -> None:
        self.is_disturbed = True
        self.is_settled = False
        if self.lane.replay is not None:
            self.mixed.add(file.load_id)

    def _accept(self, replay: Replay, names: list[tuple[str, int]] | None = None) -> None:
        for lane in (self.lane, self.calm):
            letters = lane.open_letters()
            lane.accept(replace(replay, counts=replace(replay.counts)), [letters[name] for name in names or ()])

    def _begin(self, replay: Replay) -> None:
        """What the replay must come to, as everything stands now."""
        lane, reading = self.lane, self.model.reading
        retried = [letter for letter in lane.retried if replay.kind == RETRY]
        letters = {name: letter.offset for name, letter in lane.open_letters().items()}
        retried_offsets = {letter.offset for letter in retried}
        rows = []
        for offset, (file, at) in enumerate(self.places[: lane.next_offset]):
            row = Row(file, at + 1, is_gone=offset < lane.forgotten)
            is_there = not row.is_gone or letters.get(row.name) in retried_offsets
            if at < len(file.rows) and is_there and (reading is None or reading.file is not file):
                rows.append(row)
        entries = {key: lane.state.get(key.encode()) for key in self.model.said_by}
        self.foretold = foretell(
            replay,
            rows,
            floor=self.model.newest_complete,
            meanings=self.model.meanings,
            standing={
                key: Standing((entry.load_seq, entry.row_number), None if entry.deleted else lane.names()[key])
                for key, entry in entries.items()
                if entry is not None
            },
            letters=set(letters),
            reading=None if reading is None else reading.file,
            read=set() if reading is None else reading.named,
            keys={letter.key.decode() for letter in retried if letter.key} if replay.kind == RETRY else None,
        )
        self.is_disturbed = False
        self.named = {}

    def _compare_replay(self, replay: Replay) -> None:
        got, foretold, model = counts_of(replay), self.foretold, self.model
        sent = [record for record in self.lane.sent if record is not None and record.replay_id == replay.replay_id]
        assert got.sent == len(sent)
        assert all(record.op != "d" for record in sent)
        if not self.is_disturbed:
            wanted = foretold.counts
            for name in ("rows", "stale", "duplicates", "dead_letters", "fixed", "failed_again", "overtaken"):
                assert getattr(got, name) == getattr(wanted, name), name
            if not wanted.duplicates:
                assert vars(got) == vars(wanted) | {"sent": got.sent}
                assert got.sent == got.inserted + got.updated
            model.letters = (model.letters - foretold.settled) | foretold.failed
        else:
            self._follow_letters()
        unclear = set()
        for key, (company, row) in foretold.leads.items():
            if model.said_by.get(key, -1) > row.file.seq:
                continue  # a newer file has spoken
            if self.is_disturbed and max(model.newest_complete, self.named.get(key, -1)) > row.file.seq:
                unclear.add(key)  # a newer file came and has nothing good to say of it: who was faster?
                continue
            model.leads[key] = company
            model.said_by[key] = row.file.seq
            if key in foretold.freed:
                model.held.pop(key, None)
        self._follow(unclear)
        if self.is_settled:
            assert (got.sent, got.dead_letters) == (0, 0)
        is_all = replay.kind == REPLAY and not replay.load_id and not replay.since_load_seq
        self.is_settled = not self.is_disturbed and (self.is_settled or is_all)

    def _follow(self, keys: set[str]) -> None:
        """Take over from the lane what only it can know, if it is one of the things that may be."""
        names, model = self.lane.names(), self.model
        read = model.reading.names if model.reading is not None else {}
        for key in keys:
            entry = self.lane.state.get(key.encode())
            company = names.get(key)
            assert company in {model.leads.get(key), *self.foretold.companies[key], read.get(key)}
            model.held.pop(key, None)
            if entry is not None and entry.held_by:
                model.held[key] = entry.held_by
            if company is None:
                model.leads.pop(key, None)
            else:
                model.leads[key] = company
            if entry is not None:
                model.said_by[key] = max(entry.load_seq, model.said_by.get(key, -1))

    def _follow_letters(self) -> None:
        rows = {row.name for row in self.foretold.rows}
        self.model.letters = (self.model.letters - rows) | (self.lane.open_letters().keys() & rows)

    def _put(self, file: File) -> None:
        super()._put(file)
        self.repeats.clear()  # under another mapping they may well send something
        messages: list[Message] = file.messages()
        self.calm.put_messages(messages)

    def _compare_steps(self) -> None:
        mixed = {reading.file.load_id for reading, _reason in self.model.ended} & self.mixed
        for step in self.lane.steps[self.fresh_steps :]:
            if step.load_id in mixed:
                counts = step.counts
                parts = (counts.inserted, counts.updated, counts.unchanged, counts.stale, counts.dead_letters)
                assert counts.rows == sum(parts)
        if mixed:
            self.model.ended = []
            self.fresh_steps = len(self.lane.steps)
        super()._compare_steps()


def test_whatever_is_replayed_the_lane_does_what_the_model_does() -> None:
    """Every row is counted once, every letter settled once, order never goes back, nothing is sent twice."""
    run(settings(SETTINGS, derandomize=True))


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_whatever_else_is_replayed_the_lane_does_what_the_model_does() -> None:
    """The same, with new examples each time."""
    run(settings(SETTINGS, max_examples=20_000))


def run(how: settings) -> None:
    """Replays at random."""
    with asyncio.Runner() as runner:
        run_state_machine_as_test(lambda: Replays(runner.get_loop()), settings=how)
