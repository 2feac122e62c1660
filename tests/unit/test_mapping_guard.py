"""A load waits for the mapping that let it go, wherever its messages are cut into batches, and not for ever."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from leadstream.errors import TransientError
from leadstream.sources import SourceCatalog
from processors.change_state import PartitionState
from processors.changes import BatchChanges
from processors.mapping_guard import MappingGuard, by_load
from processors.raw_rows import RowReaders
from producer.raw_output import encode_row, end_headers, load_headers, raw_schema, row_headers
from producer.splitter import Column
from schemas.codec import frame
from schemas.headers import Kind
from schemas.registry import Registry
from tests.unit.changing import Message

BEFORE = "key: [{column: Id}]\nrequired: []\nfields: {company: Name, county: County}\n"
RENAMED = BEFORE.replace("company: Name", "company: Facility")
OTHERWISE = BEFORE.replace("county: County", "county: Id")
BROKEN = RENAMED.replace("county: County", "county: {column: County, transforms: [no_such_transform]}")
OLD_HEADER, NEW_HEADER = ["Id", "Name", "County"], ["Id", "Facility", "County"]
HEADERS = {1: OLD_HEADER, 2: NEW_HEADER}


class HeaderRegistry(Registry):
    """A registry that knows two raw schemas; nothing is asked over the network."""

    def __init__(self) -> None: ...

    async def get(self, schema_id: int) -> dict[str, Any]:
        """The schema of a header."""
        return raw_schema("acme", [Column(name=name, field=name) for name in HEADERS[schema_id]])


class Worker:
    """What a lane has at hand, with a folder of YAML files of its own."""

    def __init__(self, folder: Path, text: str = BEFORE, patience_seconds: float = 30.0) -> None:
        self.file = folder / "acme.yaml"
        self.file.write_text(text)
        self.catalog = SourceCatalog(folder)
        self.readers = RowReaders(HeaderRegistry())
        self.guard = MappingGuard(self.catalog, self.readers, patience_seconds=patience_seconds)
        self.state = PartitionState("acme", 0)
        self.version = self.catalog.configs["acme"].version

    async def take(self, messages: list[Message]) -> BatchChanges:
        """As the lane does it, up to the commit."""
        await self.readers.prepare([message.value for message in messages if message.value is not None])
        outcome = BatchChanges(self.state, self.catalog.configs["acme"], self.readers)
        for run in by_load(messages):
            outcome.source = await self.guard.wait(self.state, run)
            outcome.take(run)
        for key, entry in outcome.entries.items():
            self.state.put(key, entry._replace(canonical_offset=0))
        return outcome

    async def take_when(self, text: str, messages: list[Message]) -> BatchChanges:
        """Take messages while the YAML arrives only after they have waited a while."""
        work = asyncio.create_task(self.take(messages))
        await asyncio.sleep(0.5)
        assert not work.done()
        self.file.write_text(text)
        return await asyncio.wait_for(work, 10)


def load(number: int, header: int, *outdated: str, rows: int = 2) -> list[Message]:
    """The messages of a load."""
    place = (f"load-{number}", number, "landing", "acme/a.csv", "v1", outdated)
    found = []
    for row in range(1, rows + 1):
        cells = [f"K{row}", "little sprouts", "clark"]
        where = row_headers(load_headers(Kind.ROW, *place), row, row + 1)
        found.append(Message(cells[0].encode(), encode_row(frame(header), cells), where))
    constant = load_headers(Kind.END, *place)
    marker = end_headers(constant, rows=rows, status="complete", refresh="complete", hold="")
    return [*found, Message(b"", None, marker)]


def companies(outcome: BatchChanges) -> list[str]:
    """The names of the companies of what was sent."""
    return [change.body["company"] for change in outcome.changes if change.body is not None]


async def test_rows_of_a_renamed_column_wait_for_the_yaml_that_knows_it(tmp_path: Path) -> None:
    """No row is mapped without its company, though a company is not required of a lead."""
    worker = Worker(tmp_path)
    outcome = await worker.take_when(RENAMED, load(1, 2, worker.version))
    assert (companies(outcome), outcome.dead_letters) == (["little sprouts"] * 2, [])


async def test_the_same_columns_mapped_otherwise_wait_too(tmp_path: Path) -> None:
    """Nothing is missing in the rows; only the load itself can say that the mapping at hand is outdated."""
    worker = Worker(tmp_path)
    outcome = await worker.take_when(OTHERWISE, load(1, 1, worker.version))
    assert [change.body["county"] for change in outcome.changes if change.body] == ["K1", "K2"]


@pytest.mark.parametrize("taken", [0, 1, 2])
@pytest.mark.parametrize("more", [1, 2, 3])
async def test_a_load_that_begins_inside_a_batch_waits_and_the_one_before_it_does_not(
    tmp_path: Path, taken: int, more: int
) -> None:
    """Each is mapped by its own mapping, though the new one could not map the older rows, nor the old one the newer."""
    worker = Worker(tmp_path)
    one, two = load(1, 1), load(2, 2, worker.version)
    if taken:
        assert (await worker.take(one[:taken])).dead_letters == []
    outcome = await worker.take_when(RENAMED, one[taken:] + two[:more])
    assert outcome.dead_letters == [] and outcome.ended[0].counts.inserted == 2
    rest = await worker.take(two[more:]) if two[more:] else outcome
    assert rest.dead_letters == [] and rest.ended[-1].counts.unchanged == 2


async def test_a_load_of_no_rows_here_passes_the_news_on_to_the_next(tmp_path: Path) -> None:
    """Only the first load under a new mapping says what it replaced; its end marker is in every lane."""
    worker = Worker(tmp_path)
    outcome = await worker.take_when(OTHERWISE, load(1, 1, worker.version, rows=0) + load(2, 1))
    assert [change.body["county"] for change in outcome.changes if change.body] == ["K1", "K2"]


async def test_a_worker_that_is_ahead_or_was_never_behind_does_not_wait(tmp_path: Path) -> None:
    """A YAML that was edited again, or one that has other versions for other reasons, maps at once."""
    for text in (RENAMED, RENAMED.replace("county: County", "county: Id")):
        worker = Worker(tmp_path, text)
        outcome = await asyncio.wait_for(worker.take(load(1, 2, "0123456789ab")), 0.4)
        assert companies(outcome) == ["little sprouts"] * 2


async def test_a_mapping_that_comes_back_is_waited_for_again(tmp_path: Path) -> None:
    """That it was in use once does not make it the newest."""
    worker = Worker(tmp_path)
    await worker.take(load(1, 1))
    await worker.take_when(RENAMED, load(2, 2, worker.version))
    renamed = worker.catalog.configs["acme"].version
    outcome = await worker.take_when(BEFORE, load(3, 1, renamed))
    assert outcome.dead_letters == [] and outcome.ended[0].counts.unchanged == 2


async def test_on_one_machine_the_newest_yaml_is_read_before_a_load_begins(tmp_path: Path) -> None:
    """Also without a word from the producer: its folder is ours, and it has read it before."""
    worker = Worker(tmp_path)
    worker.file.write_text(OTHERWISE)
    outcome = await asyncio.wait_for(worker.take(load(1, 1)), 0.4)
    assert [change.body["county"] for change in outcome.changes if change.body] == ["K1", "K2"]


@pytest.mark.parametrize("text", [BEFORE, BROKEN])
async def test_rows_whose_mapping_never_comes_cost_no_lead_its_values(tmp_path: Path, text: str) -> None:
    """Patience ends, it is said once, and rows that lack a needed column go to the dead letters; no lead is deleted."""
    worker = Worker(tmp_path, patience_seconds=0.3)
    await worker.take(load(1, 1))
    worker.file.write_text(text)
    with capture_logs() as logs:
        outcome = await worker.take(load(2, 2, worker.version))
        await worker.take(load(3, 2, worker.version))
    assert [entry["columns_missing"] for entry in logs if entry["event"] == "mapping_outdated"] == [["Name"]]
    assert [letter.reasons[0].message for letter in outcome.dead_letters] == [
        "the file lacks column 'Name', which the mapping in use needs"
    ] * 2
    assert outcome.changes == [] and outcome.ended[0].counts.dead_letters == 2


async def test_an_outdated_mapping_that_lacks_nothing_maps_when_patience_ends(tmp_path: Path) -> None:
    """A YAML whose edit is broken stays in use as it was; files go on coming."""
    worker = Worker(tmp_path, patience_seconds=0.3)
    outcome = await worker.take(load(1, 1, worker.version))
    assert companies(outcome) == ["little sprouts"] * 2


async def test_a_source_whose_yaml_is_gone_starts_the_lane_anew(tmp_path: Path) -> None:
    """It waits for nothing."""
    worker = Worker(tmp_path)
    (tmp_path / "other.yaml").write_text(BEFORE)
    worker.file.unlink()
    with pytest.raises(TransientError, match="the YAML of source acme is gone"):
        await worker.take(load(1, 1))
