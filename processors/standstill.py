"""Notices when Faust does not come back to its work: a rebalance that has no end.

Meanwhile no receipt is folded and no alert is raised, while the rows go on as if nothing were. What waits for Kafka or
for the registry does not stand still: a new process would wait for them as well.
"""

from __future__ import annotations

CHECK_SECONDS = 1.0
LIMIT_CHECKS = 60
"""A minute: the slowest rebalance that comes to an end takes the session timeout and the rebalance timeout of the group
(10 s and 20 s, ``processors/worker.py``). And a process that was up for so long counts as healthy for
``leadstream.stack.supervisor``, so that ending it again and again never looks like a start that fails."""


class Standstill:
    """Counts the checks at which Faust was not at work, in one generation of its group.

    Checks, not seconds: a process that was paused beyond every timeout has not had the time to come back.
    """

    def __init__(self) -> None:
        self._checks = 0
        self._generation: int | None = None

    def check(self, *, at_work: bool, others_wait: bool, generation: int) -> bool:
        """To be called every ``CHECK_SECONDS``; whether the limit has been reached, once each time it has.

        ``at_work``: Faust folds steps. ``others_wait``: the rest of the process is not ready either (a part is away,
        a lane reads back its state). ``generation``: that of the group, which grows with each rebalance.
        """
        if at_work or others_wait or generation != self._generation:
            self._checks, self._generation = 0, generation
            return False
        self._checks += 1
        if self._checks < LIMIT_CHECKS:
            return False
        self._checks = 0
        return True
