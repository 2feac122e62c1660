"""Every error of leadstream, and what a stage does when it meets one.

LeadstreamError                 what a user reads: what happened, where, what to do
├── TransientError              wait with backoff, then try the same thing again; never dead-lettered
│   └── FencedError             another process took over this lane: drop it, rejoin the group
├── BadRecordError              this row or file goes to the dead letters; the rest goes on
└── FatalError                  nothing sensible can be done: stop and say why
    ├── ConfigError             a setting is wrong or missing
    └── MappingError            a source's YAML is wrong: file, line, what to do
"""

from __future__ import annotations

from pathlib import Path


class LeadstreamError(Exception):
    """Root of all errors raised on purpose.

    ``message`` says what happened and where; ``hint`` says what to do about it.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} → {self.hint}" if self.hint else self.message


class TransientError(LeadstreamError):
    """A part is away or busy; the same step will work later."""


class FencedError(TransientError):
    """Another process owns this lane now; what we had open was aborted by the broker."""


class BadRecordError(LeadstreamError):
    """One row or one file cannot pass; ``code`` is the stable name of the reason."""

    def __init__(self, message: str, *, code: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code


class FatalError(LeadstreamError):
    """The process cannot go on."""


class ConfigError(FatalError):
    """A setting is wrong, missing, or points at something that is not there."""


class MappingError(FatalError):
    """A source's YAML cannot be used. Carries the file and the line (1-based) where it went wrong."""

    def __init__(self, message: str, *, file: Path, line: int = 0, hint: str = "") -> None:
        place = f"{file}:{line}" if line else str(file)
        super().__init__(f"{place}: {message}", hint=hint)
        self.file = file
        self.line = line
