"""Structured logs: a stable event name and key-value fields, never a line per good row, never personal data."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

PERSONAL_FIELDS = frozenset(
    {"phone", "phone2", "email", "first_name", "last_name", "licensee_name", "address1", "address2"}
)
"""Fields of a lead that are masked wherever people read: logs, and the commands unless they are told otherwise."""


def configure(log_format: Literal["console", "json"], *, verbose: bool = False) -> None:
    """Set up structlog and the standard library's logging (libraries: warnings and up) on standard error."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _mask_personal_fields,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if verbose else logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(stream=sys.stderr, level=logging.INFO if verbose else logging.WARNING, force=True)
    # aiokafka reports each retry of a broker that is away as an error; the stages say it once, in their own words.
    logging.getLogger("aiokafka").setLevel(logging.WARNING if verbose else logging.CRITICAL)


def _mask_personal_fields(
    _logger: object, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    for name in PERSONAL_FIELDS & event.keys():
        event[name] = "***"
    return event


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger whose lines carry the stage's ``name``."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(stage=name)
    return logger
