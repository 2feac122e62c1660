"""Whether this process works: what it waits for, and when each of its loops last turned."""

from __future__ import annotations

import time
from collections.abc import Callable

STALE_AFTER_SECONDS = 30.0
"""A loop that has not turned for so long is not at work."""
STUCK_AFTER_SECONDS = 30.0
"""An event loop that has not turned for so long will not do so again by itself."""
EVENT_LOOP = "event loop"


class Health:
    """Written by the stage's loops, read by whoever asks (from another thread, too).

    A *part* is a loop that should turn again and again: a lane, the membership in a group.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._expected: dict[str, float] = {}
        self._turned: dict[str, float] = {}
        self._outages: dict[object, tuple[str, float]] = {}
        self._loop_turned = clock()

    def expect(self, part: str) -> None:
        """This part starts (again); until it turns for the first time the process is not ready."""
        self._turned.pop(part, None)
        self._expected[part] = self._clock()

    def turned(self, part: str) -> None:
        """This part has done its work once, or seen that there is none."""
        if part in self._expected:
            self._turned[part] = self._clock()

    def forget(self, part: str) -> None:
        """This part is not ours any more."""
        self._expected.pop(part, None)
        self._turned.pop(part, None)

    def outage_begins(self, key: object, dependency: str) -> None:
        """``key`` waits for a part that is away, until :meth:`outage_ends`."""
        self._outages[key] = (dependency, self._clock())

    def outage_ends(self, key: object) -> None:
        """It waits no longer."""
        self._outages.pop(key, None)

    def loop_turned(self) -> None:
        """The event loop runs what is due."""
        self._loop_turned = self._clock()

    def stuck_seconds(self) -> float:
        """How long the event loop has not turned; 0.0 while that is no reason to worry."""
        seconds = self._clock() - self._loop_turned
        return seconds if seconds > STUCK_AFTER_SECONDS else 0.0

    def outages(self) -> dict[str, float]:
        """For how many seconds each dependency has been waited for; empty when none is."""
        now, found = self._clock(), dict[str, float]()
        for dependency, since in self._outages.copy().values():
            found[dependency] = max(found.get(dependency, 0.0), now - since)
        return found

    def waits_for(self, *, besides: str | None = None) -> list[str]:
        """Everything that keeps the process from being ready, in words; empty when it is ready.

        ``besides``: a part that is not looked at.
        """
        now = self._clock()
        reasons = [f"{dependency}, away for {seconds:.0f} s" for dependency, seconds in self.outages().items()]
        if stuck := self.stuck_seconds():
            reasons.append(f"{EVENT_LOOP}, silent for {stuck:.0f} s")
        expected, turned = self._expected.copy(), self._turned.copy()
        if not expected:
            reasons.append("the first step of its start")
        for part, since in expected.items():
            if part == besides:
                continue
            if part not in turned:
                reasons.append(f"{part}, starting for {now - since:.0f} s")
            elif now - turned[part] > STALE_AFTER_SECONDS:
                reasons.append(f"{part}, silent for {now - turned[part]:.0f} s")
        return reasons


HEALTH = Health()
"""That of this process."""
