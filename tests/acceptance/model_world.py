"""One source on the real stages beside the plain-Python model of it: every step is taken in both and compared."""

from __future__ import annotations

import asyncio
import datetime
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from processors.progress import Counts
from processors.replay_state import REPLAY, RETRY, Replay
from tests.system import System
from tests.unit.changing import File
from tests.unit.lead_model import Model
from tests.unit.replay_oracle import Row, Standing, foretell

FORMATS = ("%m/%d/%Y", "%d/%m/%Y")
COLUMNS = ("Issued", "Issued#")
"""The vendor calls the column of the date now this, now that."""
DATES = ("01/02/2024", "02/01/2024", "01/13/2024", "13/01/2024", "no date")
"""Cells: some fail by one format, some give by one what another gives by the other, one always fails."""
FIRST_DAY = datetime.date(2024, 1, 1)
DAYS_BETWEEN_FILES = 10
SOURCES_SECONDS = 2.5
"""After that the stages have taken notice of a changed YAML."""
YAML = """title: Model
key: [{{column: Id}}]
required: [license_issued]
date_in_key: {{pattern: '\\d{{4}}-\\d{{2}}-\\d{{2}}', format: '%Y-%m-%d'}}
fields:
  company: Name
  license_issued: {{column: {column}, transforms: [{{date: "{format}"}}]}}
"""

Rows = Sequence[tuple[str, str]]


@dataclass
class World:
    """The source ``source`` of a system, and what must have become of it."""

    system: System
    source: str
    model: Model = field(default_factory=Model)
    files: dict[int, File] = field(default_factory=dict)
    """By seq, in the order in which they came: days since the first day."""
    load_ids: dict[int, str] = field(default_factory=dict)
    format: int = 0
    column: int = 0

    async def begin(self) -> None:
        """Make the source known."""
        text = YAML.format(column=COLUMNS[self.column], format=FORMATS[self.format])
        (self.system.sources_dir / f"{self.source}.yaml").write_text(text)
        self._take_meanings()
        await asyncio.sleep(SOURCES_SECONDS)

    async def refresh(self, rows: Rows, kill: str = "") -> None:
        """A newer file; ``kill``: a stage that dies meanwhile."""
        await self._put(self._newest() + DAYS_BETWEEN_FILES, rows, kill)

    async def late(self, rows: Rows, back: int) -> None:
        """An older file."""
        seq = self._newest() - back
        if self.files and seq not in self.files:
            await self._put(seq, rows)

    async def rename(self, rows: Rows) -> None:
        """A newer file with another name for a column that is mapped: held, until the mapping is patched."""
        self.column = 1 - self.column
        seq = self._newest() + DAYS_BETWEEN_FILES
        held = await self.system.load(self.source, self._csv(rows), _name(seq))
        assert held["status"] == "held", held
        patched = await self.system.command("sources", "drift", self.source, "--apply")
        if patched.returncode == 1:  # cells too unlike those before for a suggestion: by hand
            self._edit_yaml(f"column: {COLUMNS[1 - self.column]},", f"column: {COLUMNS[self.column]},")
        await self._put(seq, rows)

    async def remap(self) -> None:
        """Another date format in the YAML. What stands is not mapped again."""
        self.format = 1 - self.format
        self._edit_yaml(FORMATS[1 - self.format], FORMATS[self.format])

    async def replay(self) -> None:
        """Everything through today's mapping, as its dry run says."""
        await self._remap_history(REPLAY, "replay", "--source", self.source)

    async def retry(self) -> None:
        """All open dead letters through today's mapping."""
        if self.model.letters:
            await self._remap_history(RETRY, "dlq", "retry", "--source", self.source)

    async def settle(self, kind: str) -> None:
        """An operator approves or rejects held deletes, of the newest load that has some."""
        held = [file for file in self.files.values() if file.load_id in self.model.held.values()]
        if not held:
            return
        file = max(held, key=lambda file: file.seq)
        count, deleted = self.model.settle(kind, file)
        before = (await self._load(file))["deleted"]
        answer = await self._answer("loads", kind, self.load_ids[file.seq])
        assert answer["deleted"] - before == deleted and count >= deleted

    async def check(self) -> None:
        """Topic, tables and model agree."""
        await self._check_leads_and_history()
        open_letters = await self.system.sql(
            "select load_id, row_number from dead_letters where source = $1 and status = 'open' and row_number > 0",
            self.source,
        )
        seqs = {load_id: seq for seq, load_id in self.load_ids.items()}
        found = sorted((f"load-{seqs[row['load_id']]}", row["row_number"]) for row in open_letters)
        assert found == sorted(self.model.letters)
        for file in self.files.values():
            load = await self._load(file)
            parts = ("inserted", "updated", "unchanged", "stale", "dead_letters")
            assert load["status"] == "done" and load["rows"] == sum(load[part] for part in parts), load

    async def _put(self, seq: int, rows: Rows, kill: str = "") -> None:
        etag = await self.system.put(self.source, self._csv(rows), _name(seq))
        if kill:
            await asyncio.sleep(0.3)
            self.system.kill_and_restart(kill)
        load = await self.system.finished(self.source, etag, among={"done", "broken", "failed"}, name=_name(seq))
        assert load["status"] == "done", load
        named = [(key, f"{cell}|{COLUMNS[self.column]}") for key, cell in rows]
        file = self.files[seq] = File(seq, named, hold=load["reason"] or "")
        self.load_ids[seq] = load["load_id"]
        self._take_meanings()
        for at in range(len(rows) + 1):
            self.model.take(file, at)
        (reading, _reason), self.model.ended = self.model.ended[-1], []
        _compare(load, reading.counts)

    async def _remap_history(self, kind: str, *words: str) -> None:
        leads = await self._fold()
        replay = Replay("any", kind)
        letters = set(self.model.letters)
        floor = self.model.newest_complete
        rows = [Row(file, at + 1) for file in self.files.values() for at in range(len(file.rows))]
        foretold = foretell(
            replay,
            rows,
            floor=floor,
            meanings=self.model.meanings,
            standing={key: lead for key, lead in leads.items() if isinstance(lead, Standing)},
            letters=letters,
            reading=None,
            read=set(),
            keys={row.cells[0] for row in rows if row.name in letters} if kind == RETRY else None,
        )
        dry = await self._answer(*words, "--dry-run")
        done = await self._answer(*words)
        if kind == RETRY:
            (dry,), (done,) = dry["retries"], done["retries"]
        wanted = foretold.counts
        names = ("rows", "inserted", "updated", "unchanged", "stale", "fixed", "failed_again", "newly_failed", "sent")
        assert done["status"] == "done" and {n: done[n] for n in names} == {n: dry[n] for n in names}, (dry, done)
        for name in ("rows", "stale", "fixed", "failed_again"):
            assert done[name] == getattr(wanted, name), (name, done, foretold)
        assert done["newly_failed"] == wanted.dead_letters
        self.model.letters = (letters - foretold.settled) | foretold.failed
        for key, (company, row) in foretold.leads.items():
            self.model.leads[key] = company
            self.model.said_by[key] = row.file.seq
            if key in foretold.freed:
                self.model.held.pop(key, None)

    async def _fold(self) -> dict[str, Standing]:
        """How each lead stands, by the topic from its start; order never goes back."""
        seqs = {load["load_seq"]: seq for seq, load in (await self._loads()).items()}
        found: dict[str, Standing] = {}
        for record, lead in await self.system.records("leads.canonical", self.source):
            key = record.key.decode().partition(":")[2]
            if lead is None:
                assert found[key].company is None, "a tombstone follows a delete"
                continue
            order = (seqs[lead["load_seq"]], lead["row_number"])
            before = found.get(key)
            assert before is None or order > before.order or (order == before.order and lead["replay_id"])
            assert (lead["op"] == "c") == (before is None or before.company is None)
            found[key] = Standing(order, None if lead["op"] == "d" else str(lead["license_issued"]))
        return found

    async def _check_leads_and_history(self) -> None:
        folded = {key: lead.company for key, lead in (await self._fold()).items() if lead.company is not None}
        live = {row["lead_key"].partition(":")[2]: row for row in await self.system.leads(self.source)}
        assert folded == self.model.leads
        assert {key: str(row["license_issued"]) for key, row in live.items()} == self.model.leads
        assert {key: row["company"] for key, row in live.items()} == {key: _company(key) for key in live}
        versions = await self.system.sql(
            "select * from lead_history where source = $1 order by canonical_partition, canonical_offset", self.source
        )
        places = {(row["canonical_partition"], row["canonical_offset"]): row for row in versions}
        records = await self.system.records("leads.canonical", self.source)
        sent = {(record.partition, record.offset): lead for record, lead in records if lead is not None}
        assert len(places) == len(versions) and places.keys() == sent.keys()
        chains: dict[str, list[dict[str, Any]]] = {}
        for place, row in sorted(places.items()):
            for name in ("lead_key", "op", "load_id", "load_seq", "row_number", "replay_id", "license_issued"):
                assert row[name] == sent[place][name], (name, row)
            chains.setdefault(row["lead_key"], []).append(row)
        for chain in chains.values():
            for version, following in itertools.pairwise(chain):
                assert version["valid_to"] == max(version["valid_from"], following["valid_from"])
            assert chain[-1]["valid_to"] is None

    async def _load(self, file: File) -> dict[str, Any]:
        return (await self._loads())[file.seq]

    async def _loads(self) -> dict[int, dict[str, Any]]:
        rows = await self.system.sql("select * from loads where source = $1", self.source)
        by_id = {row["load_id"]: row for row in rows}
        loads = {seq: by_id[load_id] for seq, load_id in sorted(self.load_ids.items())}
        ages = [load["load_seq"] for load in loads.values()]
        assert ages == sorted(set(ages)), "load_seq grows with the date in the key"
        return loads

    async def _answer(self, *words: str) -> Any:
        done = await self.system.command(*words, "--json")
        assert done.returncode == 0, done.stderr or done.stdout
        return json.loads(done.stdout)

    def _newest(self) -> int:
        return max(self.files, default=0)

    def _csv(self, rows: Rows) -> bytes:
        lines = [f"Id,Name,{COLUMNS[self.column]}"] + [f"{key},{_company(key)},{cell}" for key, cell in rows]
        return ("\n".join(lines) + "\n").encode()

    def _edit_yaml(self, old: str, new: str) -> None:
        file = self.system.sources_dir / f"{self.source}.yaml"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))
        self._take_meanings()

    def _take_meanings(self) -> None:
        """What each cell gives today, by the column's name in its file: rows of another name cannot be mapped."""
        now = COLUMNS[self.column]
        self.model.meanings = {
            f"{cell}|{column}": _date(cell, FORMATS[self.format]) if column == now else None
            for cell in DATES
            for column in COLUMNS
        }


def _compare(load: dict[str, Any], wanted: Counts) -> None:
    for name in ("rows", "dead_letters", "inserted", "stale", "duplicates", "deleted", "deletes_held"):
        assert load[name] == getattr(wanted, name), (name, load, wanted)
    # A lead that an earlier batch took to a new content, and a later one back, was updated.
    assert load["updated"] >= wanted.updated
    if not wanted.duplicates:
        assert load["updated"] == wanted.updated


def _date(cell: str, written: str) -> str | None:
    try:
        return datetime.datetime.strptime(cell, written).date().isoformat()
    except ValueError:
        return None


def _name(seq: int) -> str:
    return f"{FIRST_DAY + datetime.timedelta(days=seq)}.csv"


def _company(key: str) -> str:
    return f"Day Nursery {key}"
