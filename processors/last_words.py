"""How a worker ends whose work cannot go on: with one line, at once."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from leadstream import log
from leadstream.errors import LeadstreamError


@contextlib.contextmanager
def ending_the_process() -> Iterator[None]:
    """End the process with one line, and exit code 1, when what is done in here cannot go on."""
    try:
        yield
    except* LeadstreamError as group:
        # There is nothing to tidy up: what was not committed is aborted by the lane's next owner. Faust would
        # print the same error as several pages of tracebacks, and end with exit code 0.
        log.last_words(str(_first_error(group)))
        os._exit(1)


def _first_error(group: BaseExceptionGroup[LeadstreamError]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
