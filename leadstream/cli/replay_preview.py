"""What a replay would change, summed up: what ``replay --dry-run`` and ``dlq retry --dry-run`` print."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import typer

from leadstream.cli.output import print_pairs, print_table, text
from leadstream.masking import masked_lead
from leadstream.settings import Settings
from leadstream.sources import SourceConfig
from schemas.replays import REPLAY_COUNTS

if TYPE_CHECKING:
    from processors.preview import Preview, PreviewedChange
    from processors.replay_run import Restored
    from processors.replay_state import Replay

MAX_EXAMPLES = 3
COUNT_NAMES = {"dead_letters": "newly_failed"}
"""Where a document's name of a count differs from that of the steps."""

Letters = Mapping[int, set[int]]
"""Partition of leads.dlq → offsets."""


@dataclass
class Summary:
    """The sums of a dry run, and with ``keep_leads`` every lead that would change."""

    keep_leads: bool
    unmasked: bool
    counts: Counter[str] = field(default_factory=Counter)
    under_way: set[str] = field(default_factory=set)
    leads: list[dict[str, Any]] = field(default_factory=list)
    _changed: Counter[str] = field(default_factory=Counter)
    _examples: defaultdict[str, list[dict[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    _failed: Counter[tuple[str, str]] = field(default_factory=Counter)
    _failures: defaultdict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))

    def take(self, batch: Preview) -> None:
        """Add what a batch would do."""
        for change in batch.changes:
            shown = self._lead(change)
            if self.keep_leads:
                self.leads.append(shown)
            for name, values in shown["changes"].items() if change.op == "u" else ():
                self._changed[name] += 1
                if len(self._examples[name]) < MAX_EXAMPLES:
                    self._examples[name].append({"lead_key": change.lead_key, **values})
        for failure in batch.failures:
            kind = (failure.reasons[0].field, failure.reasons[0].code)
            self._failed[kind] += 1
            if len(self._failures[kind]) < MAX_EXAMPLES:
                self._failures[kind].append(failure.lead_key)

    def end(self, replay: Replay) -> None:
        """Add the counts of a partition that is done."""
        self.counts.update({name: getattr(replay.counts, name) for name in REPLAY_COUNTS})
        if replay.under_way:
            self.under_way.add(replay.under_way)

    def document(self) -> dict[str, Any]:
        """As ``--json`` prints it."""
        return {
            **counts_document(self.counts),
            "loads_under_way": sorted(self.under_way),
            "fields": [
                {"field": name, "count": count, "examples": self._examples[name]}
                for name, count in self._changed.most_common()
            ],
            "new_failures": [
                {"field": kind[0], "code": kind[1], "count": count, "examples": self._failures[kind]}
                for kind, count in self._failed.most_common()
            ],
            "leads": self.leads,
        }

    def print(self) -> None:
        """For people."""
        print_counts(counts_document(self.counts), is_dry=True)
        for load_id in sorted(self.under_way):
            typer.echo(f"load {load_id} is under way and left alone: replay it when it is done")
        if self._changed:
            typer.echo("\nfields that would change")
            rows = [
                (count, name, example["lead_key"], _shown(example["before"]), _shown(example["after"]))
                for name, count in self._changed.most_common()
                for example in self._examples[name][:1]
            ]
            print_table(("leads", "field", "e.g.", "before", "after"), rows, empty="")
        if self._failed:
            typer.echo("\nrows that would newly fail (their leads stay as they are)")
            failed = [(count, *kind, ", ".join(self._failures[kind])) for kind, count in self._failed.most_common()]
            print_table(("rows", "field", "code", "e.g."), failed, empty="")

    def _lead(self, change: PreviewedChange) -> dict[str, Any]:
        mask: Callable[[Mapping[str, Any]], dict[str, Any]] = dict if self.unmasked else masked_lead
        before, after = mask(change.before or {}), mask(change.after)
        names = change.changed_fields if change.op == "u" else [name for name, value in after.items() if value]
        return {
            "lead_key": change.lead_key,
            "op": change.op,
            "load_id": change.load_id,
            "row": change.row_number,
            "changes": {name: {"before": before.get(name), "after": after.get(name)} for name in names},
        }


def counts_document(counts: Mapping[str, int]) -> dict[str, int]:
    """The counts of a replay under the names that every document uses."""
    return {COUNT_NAMES.get(name, name): counts[name] for name in REPLAY_COUNTS}


def print_counts(counts: Mapping[str, int], *, is_dry: bool) -> None:
    """The counts of a replay for people."""
    would = "would be " if is_dry else ""
    shown = {
        "rows looked at": counts["rows"],
        f"leads {would}inserted": counts["inserted"],
        f"leads {would}updated": counts["updated"],
        "rows that say what is known": counts["unchanged"],
    }
    rare = {
        "rows a newer one has overtaken": counts["stale"],
        f"rows that {'would newly fail' if is_dry else 'newly failed'}": counts["newly_failed"],
        "dead letters that fail again": counts["failed_again"],
        f"dead letters {would}fixed": counts["fixed"],
        "dead letters overtaken": counts["overtaken"],
    }
    shown |= {name: count for name, count in rare.items() if count}
    shown[f"change records {'to send' if is_dry else 'sent'}"] = counts["sent"]
    print_pairs({name: text(count) for name, count in shown.items()})


async def previewed(
    settings: Settings,
    source: SourceConfig,
    make_replay: Callable[[], Replay],
    partitions: Iterable[int],
    summary: Summary,
    letters: Mapping[int, Letters] | None = None,
    restored: Restored | None = None,
) -> Summary:
    """Fill ``summary`` with what a replay would do in ``partitions``; ``letters``: by raw partition, those of a retry.

    Raises:
        TransientError: Kafka or the registry is away.
        MappingError: the mapping cannot be compiled.
    """
    # The mappings belong to the processors, and are slow to import.
    from processors.preview import preview

    for partition in partitions:
        replay = make_replay()
        of_partition = letters.get(partition, {}) if letters is not None else None
        async for batch in preview(settings, source, replay, partition, of_partition, restored):
            summary.take(batch)
        summary.end(replay)
    return summary


def _shown(value: object) -> str:
    return "(empty)" if value in (None, "", []) else text(value)
