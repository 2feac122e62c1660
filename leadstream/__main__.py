"""``python -m leadstream``: the command line."""

from leadstream.cli import main

if __name__ == "__main__":
    main()
