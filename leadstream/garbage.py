"""How often Python looks for reference cycles: rarely, in the stages.

A batch makes hundreds of thousands of objects that live until it is written; none of them is in a cycle, they go when
the last reference does. With its defaults the collector walks all of them again and again as they grow, which took a
quarter of the processors' time.
"""

from __future__ import annotations

import gc

YOUNG_OBJECTS = 300_000
"""So many more container objects made than freed start a look at these; some ten milliseconds, once a few batches."""


def collect_rarely() -> None:
    """For a process that is one stage, once it has imported and compiled what it needs."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 10, 10)
