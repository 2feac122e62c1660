"""When a worker decides that Faust will not come back to its work by itself."""

from __future__ import annotations

from leadstream.stack.supervisor import HEALTHY_AFTER_SECONDS
from processors.standstill import CHECK_SECONDS, LIMIT_CHECKS, Standstill


def _checks(standstill: Standstill, times: int, *, others_wait: bool = False, generation: int = 0) -> list[bool]:
    return [standstill.check(at_work=False, others_wait=others_wait, generation=generation) for _ in range(times)]


def test_a_rebalance_without_end_is_told_when_the_limit_is_reached_and_again_after_another() -> None:
    """Whoever is told may find that Kafka does not answer: then it is told again as late as the first time."""
    standstill = Standstill()
    found = _checks(standstill, 2 * LIMIT_CHECKS + 1)
    assert [number for number, told in enumerate(found) if told] == [LIMIT_CHECKS, 2 * LIMIT_CHECKS]


def test_work_begins_the_count_anew() -> None:
    """A rebalance now and then adds up to nothing."""
    standstill = Standstill()
    for _ in range(3):
        assert not any(_checks(standstill, LIMIT_CHECKS - 1))
        assert not standstill.check(at_work=True, others_wait=False, generation=0)


def test_each_rebalance_begins_the_count_anew() -> None:
    """However many members come and go."""
    standstill = Standstill()
    assert not any(found for number in range(3) for found in _checks(standstill, LIMIT_CHECKS, generation=number))


def test_what_waits_for_a_part_that_is_away_does_not_stand_still() -> None:
    """A new process would wait as well; when the part is back, Faust has the whole time to find its way."""
    standstill = Standstill()
    assert not any(_checks(standstill, LIMIT_CHECKS - 1))
    assert not any(_checks(standstill, 5 * LIMIT_CHECKS, others_wait=True))
    assert _checks(standstill, LIMIT_CHECKS) == [False] * (LIMIT_CHECKS - 1) + [True]


def test_a_worker_that_ends_for_it_is_always_started_again() -> None:
    """The supervisor gives up a part that dies too often, but not one that was up for a while each time."""
    assert CHECK_SECONDS * LIMIT_CHECKS >= HEALTHY_AFTER_SECONDS
