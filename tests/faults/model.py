"""What must come of files, in plain Python: no batches, no restarts, and none of the product's code."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from tests.faults.files import Content, File

Order = tuple[int, int]
"""load_seq and row number; row 0: a delete."""


@dataclass
class Outcome:
    """What one load must have come to."""

    inserted: int = 0
    deleted: int = 0
    stale: int = 0
    duplicates: int = 0
    changed: set[Order] = field(default_factory=set)
    """The rows, and deletes by key in ``deleted_keys``, that must stand on the canonical topic."""
    deleted_keys: set[str] = field(default_factory=set)
    letters: set[int] = field(default_factory=set)
    """Rows that must be dead letters."""
    unchanged: int = 0
    replaced: set[Order] = field(default_factory=set)
    """Rows of a lead that stands twice in the file: what it said for a moment may have been seen, or not."""


class Model:
    """One source: its leads as its files, in the order in which they were read, leave them."""

    def __init__(self) -> None:
        self.leads: dict[str, Content] = {}
        self.spoke: dict[str, int] = {}
        """load_seq of the file that spoke of a lead last, deleted ones included."""
        self.newest_complete = -1

    def take(self, file: File, load_seq: int, taken: Collection[int], is_complete: bool) -> Outcome:
        """Read a file, of which the row numbers ``taken`` arrived; an incomplete one deletes nothing."""
        outcome = Outcome()
        is_stale = load_seq < self.newest_complete
        good: dict[str, tuple[int, Content]] = {}
        named: set[str] = set()
        repeated: set[str] = set()
        for number, row in enumerate(file.rows, start=1):
            if number not in taken:
                continue
            named.add(row.key)
            if row.kind in ("short", "huge"):
                outcome.letters.add(number)
            elif is_stale or (row.kind == "good" and self.spoke.get(row.key, -1) > load_seq):
                outcome.stale += 1
            elif row.kind != "good":
                outcome.letters.add(number)
            else:
                if row.key in good:
                    outcome.stale += 1
                    outcome.duplicates += 1
                    outcome.replaced.add((load_seq, good[row.key][0]))
                    repeated.add(row.key)
                good[row.key] = (number, row.content)
        for key, (number, content) in good.items():
            before = self.leads.get(key)
            if before == content:
                outcome.unchanged += 1
                if key in repeated:
                    outcome.replaced.add((load_seq, number))  # back to what it was, if the one before was seen
            else:
                outcome.inserted += before is None
                outcome.changed.add((load_seq, number))
            self.leads[key] = content
            self.spoke[key] = load_seq
        if is_complete and not is_stale:
            for key in [key for key in self.leads if key not in named and self.spoke[key] < load_seq]:
                del self.leads[key]
                self.spoke[key] = load_seq
                outcome.deleted += 1
                outcome.deleted_keys.add(key)
            self.newest_complete = load_seq
        return outcome
