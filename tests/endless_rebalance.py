"""A worker whose Faust never comes back from a rebalance, and who notices within seconds instead of a minute.

python -m tests.endless_rebalance process
"""

from __future__ import annotations

import asyncio
from typing import Any

from faust.tables.recovery import Recovery

from leadstream.cli import main
from processors import standstill

LIMIT_CHECKS = 4


async def _never(_recovery: Recovery, *_arguments: Any, **_options: Any) -> None:
    await asyncio.Event().wait()


if __name__ == "__main__":
    standstill.LIMIT_CHECKS = LIMIT_CHECKS
    Recovery._resume_streams = _never
    main()
