"""Structured logs: a stable event name and key-value fields, never a line per good row, never personal data."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

from leadstream.masking import MASK, PERSONAL_FIELDS, masked_text

_stage = ""
_is_json = False


def configure(log_format: Literal["console", "json"], *, verbose: bool = False, stage: str = "") -> None:
    """Set up structlog and the standard library's logging (libraries: warnings and up) on standard error.

    Every line has ``time``, ``level``, ``stage`` and ``event``; with ``json`` it is one JSON object. ``stage``: what
    this process is; without it, the stage is what the logger is called.
    """
    global _stage, _is_json
    _stage, _is_json = stage, log_format == "json"
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if _is_json
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            timestamp_key="time",
            exception_formatter=structlog.dev.plain_traceback,  # the default shows the values of variables
        )
    )
    common: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _name_stage,
        structlog.processors.format_exc_info,
        mask_personal_data,
    ]
    structlog.configure(
        processors=[*common, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if verbose else logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *common],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.INFO if verbose else logging.WARNING, force=True)
    logging.captureWarnings(_is_json)
    # aiokafka reports each retry of a broker that is away as an error; the stages say it once, in their own words.
    logging.getLogger("aiokafka").setLevel(logging.WARNING if verbose else logging.CRITICAL)


def mask_personal_data(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """The last step before a line is written: whoever logs a value by mistake (in an error's text) tells no address."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = MASK if name in PERSONAL_FIELDS else masked_text(value)
    return event


def last_words(message: str) -> None:
    """Say on standard error why this process ends: ``error: …``, or the event ``stopped``."""
    if _is_json:
        get_logger(_stage or "leadstream").error("stopped", error=message)
    else:
        print(f"error: {message}", file=sys.stderr, flush=True)  # noqa: T201 -- for people


def _name_stage(_logger: object, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """The process's stage, and in ``part`` what of it speaks (the name of a logger of ours, or of a library)."""
    part = event.pop("stage", None) or event.pop("logger", None) or "leadstream"
    event["stage"] = _stage or part
    if part != event["stage"]:
        event["part"] = part
    return event


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger whose lines carry the stage's ``name``."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(stage=name)
    return logger
