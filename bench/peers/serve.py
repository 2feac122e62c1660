"""A contestant's side of the wire: a JSON request a line, a JSON answer a line; see bench.contestants."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

Request = dict[str, Any]
Answer = dict[str, Any]


def serve(run: Callable[[Request], Answer]) -> None:
    """Say that everything is imported, then answer requests until standard input ends.

    What libraries print goes to standard error.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    print("{}", file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), file=answers, flush=True)
