"""The catalogue of transforms: pure functions from a vendor's value to a canonical one."""

from __future__ import annotations

from processors.transforms import address, ages, contact, person, schedule, text, values
from processors.transforms.base import (
    CATALOGUE,
    KIND_NAMES,
    Step,
    Transform,
    TransformError,
    WrongUseError,
    build,
)

__all__ = [
    "CATALOGUE",
    "KIND_NAMES",
    "TOPICS",
    "Step",
    "Transform",
    "TransformError",
    "WrongUseError",
    "build",
]

TOPICS = (text, values, contact, address, person, schedule, ages)
"""The modules of the catalogue, in the order of the reference."""
