"""Workers that get a source's YAML later than the producer, as on another machine: held loads wait for it there."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from leadstream.samples import write_sample
from tests.system import System

ROWS = 60


class LateWorker:
    """The processors with a folder of YAML files of their own, which follows the producer's only when told."""

    def __init__(self, system: System, folder: Path) -> None:
        self.system = system
        self.folder = folder
        shutil.copytree(system.sources_dir, folder)

    def follow(self, source: str) -> None:
        """The YAML arrives."""
        shutil.copy(self.system.sources_dir / f"{source}.yaml", self.folder / f"{source}.new")
        (self.folder / f"{source}.new").replace(self.folder / f"{source}.yaml")

    async def first_load(self, source: str, data: bytes, **changes: str) -> None:
        """A source that both know, and its first file."""
        self.system.add_source(source, "nevada", **changes)
        self.follow(source)
        load = await self.system.load(source, data, "week1.csv")
        assert (load["status"], load["inserted"]) == ("done", ROWS), load

    async def split_before_following(self, source: str, load_id: str, data: bytes) -> None:
        """The producer has let a held load go; the worker hears of it a good while later. No other source waits."""
        await self.system.until(f"select 1 from loads where load_id = '{load_id}' and split_at is not null", 30)
        await self.first_load(f"beside-{source}", data)
        assert (await self.system.sql("select status from loads where load_id = $1", load_id))[0]["status"] != "done"
        self.follow(source)


@pytest.fixture
async def late(system: System, tmp_path: Path) -> AsyncIterator[LateWorker]:
    """The only worker is late."""
    worker = LateWorker(system, tmp_path / "late")
    system.stop("process")
    system.start("process", LEADSTREAM_SOURCES_DIR=str(worker.folder))
    yield worker
    system.stop("process")
    system.start("process")


@pytest.mark.long
async def test_a_held_load_is_mapped_by_the_yaml_that_let_it_go_wherever_the_worker_runs(
    system: System, late: LateWorker, tmp_path: Path
) -> None:
    """Renamed columns, required or not, and the same columns mapped another way: never by the mapping before."""
    write_sample("nevada", tmp_path / "week1.csv", rows=ROWS, seed=31, damage=False)
    first = (tmp_path / "week1.csv").read_bytes()
    renamed = first.replace(b"Phone#", b"Phone", 1).replace(b"County", b"County Name", 1)

    for turn, required in enumerate(["", "required_columns: [Phone#]\n"] * 2):
        source = f"late-{turn}"
        await late.first_load(source, first, **{"title: Nevada": f"{required}title: Nevada"})
        held = await system.load(source, renamed, "week2.csv")
        assert held["status"] == "held", held
        applied = await system.command("sources", "drift", source, "--apply")
        assert applied.returncode == 0, applied
        await late.split_before_following(source, held["load_id"], first)
        done = await system.finished(source, held["object_version"], among={"done", "broken"}, name="week2.csv")
        assert (done["status"], done["unchanged"]) == ("done", ROWS), done

    await late.first_load("late-again", first)
    system.add_source("late-again", "nevada", **{"county: County": "county: Parish"})
    held = await system.load("late-again", first + b"\n", "week2.csv")
    assert held["status"] == "held", held
    system.add_source("late-again", "nevada", **{"county: County": "county: Status"})
    await late.split_before_following("late-again", held["load_id"], first)
    done = await system.finished("late-again", held["object_version"], among={"done", "broken"}, name="week2.csv")
    assert (done["status"], done["updated"]) == ("done", ROWS), done
    assert {lead["county"] for lead in await system.leads("late-again")} == {"Active"}
