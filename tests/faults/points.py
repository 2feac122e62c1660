"""A stage of leadstream that can be told to die, or to stop dead, at a named point. The product has no hook for that.

    FAULTS_FOLDER=… FAULTS_NAME=sink python -m tests.faults.points sink

The named functions are wrapped before the command runs. At each passage the stage looks for the file ``<name>.json``
in the folder; when that names the point, and the passage is the one it says, the stage sends itself the signal.
"""

from __future__ import annotations

import functools
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

WRAPPED = {
    "send": ("leadstream.transaction:TransactionalProducer", "deliver"),
    "offsets": ("aiokafka:AIOKafkaProducer", "send_offsets_to_transaction"),
    "commit": ("aiokafka:AIOKafkaProducer", "commit_transaction"),
    "delete": ("producer.sqs_arrivals:SqsArrivals", "_delete"),
    "copy": ("asyncpg.connection:Connection", "copy_to_table"),
    "COMMIT": ("asyncpg.transaction:Transaction", "_Transaction__commit"),
}
"""What is passed before and after, by the name of the point: ``before send``, ``after send``, …"""
POINTS_OF = {
    "produce": ("before send", "after send", "before commit", "after commit"),
    "process": ("before send", "after send", "before offsets", "after offsets", "before commit", "after commit"),
    "sink": ("before copy", "after copy", "before COMMIT", "after COMMIT"),
}
"""By stage. ``before delete`` and ``after delete`` are passed by a producer that is told of files by a queue."""

_passed: Counter[tuple[str, str]] = Counter()


def pass_point(point: str) -> None:
    """Die or stop here, if it was said so."""
    file = Path(os.environ["FAULTS_FOLDER"], f"{os.environ['FAULTS_NAME']}.json")
    try:
        told = json.loads(file.read_text())
    except FileNotFoundError:
        return
    if told["point"] != point:
        return
    _passed[told["id"], point] += 1
    if _passed[told["id"], point] == told["passage"]:
        file.rename(file.with_suffix(".done"))
        os.kill(os.getpid(), told["signal"])


def wrap_points() -> None:
    """Make every named function pass its two points."""
    for name, (place, function) in WRAPPED.items():
        module, _, owner = place.partition(":")
        target = getattr(__import__(module, fromlist=[owner]), owner)
        setattr(target, function, _wrapped(name, getattr(target, function)))


def main() -> None:
    """Run the command line of leadstream."""
    wrap_points()
    from leadstream.cli import main as run

    run()


def _wrapped(name: str, function: Any) -> Any:
    @functools.wraps(function)
    async def passing(*arguments: Any, **options: Any) -> Any:
        pass_point(f"before {name}")
        result = await function(*arguments, **options)
        pass_point(f"after {name}")
        return result

    return passing


if __name__ == "__main__":
    main()
