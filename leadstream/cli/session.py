"""What every command does first: the settings, the logs, and a loop for its asynchronous part."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from leadstream import log
from leadstream.settings import Settings, log_format, settings, stack_environment

Result = TypeVar("Result")

_verbose = False


def be_verbose(verbose: bool) -> None:
    """Whether this command line was given ``-v``."""
    global _verbose
    _verbose = verbose


def is_verbose() -> bool:
    """Whether errors come with their traceback, logs with their details."""
    return _verbose


def start(stage: str = "") -> Settings:
    """Settings of this command, with logs set up as they say; ``stage``: what its log lines are signed with.

    Raises:
        ConfigError: a setting cannot be used.
    """
    log.configure(log_format(), verbose=_verbose, stage=stage)
    return settings()


def use_stack(home: Path) -> Settings:
    """From here on, the settings are those of the embedded stack under ``home``."""
    os.environ.update({"LEADSTREAM_HOME": str(home)} | stack_environment(home))
    settings.cache_clear()
    return start()


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run the asynchronous part of a command to its end."""
    return asyncio.run(work)
