"""The command line: ``leadstream`` (or ``python -m leadstream``)."""

from __future__ import annotations

import sys

EXIT_INTERRUPTED = 130


def main() -> None:
    """Run the command given on the command line and exit: 0 ok, 1 failed, 2 wrong use, 130 interrupted."""
    # Imported here, so that `import leadstream.cli` by a tool does not load every command; Ctrl-C may come meanwhile.
    try:
        from leadstream.cli.app import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    sys.exit(code)
