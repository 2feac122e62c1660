"""``python -m tests.fuzz TARGET [libFuzzer options]``: run a target under atheris, guided by coverage.

The corpus grows in ``.fuzz/TARGET/corpus``; an input that breaks a promise is written to ``.fuzz/TARGET/``.
"""

from __future__ import annotations

import hashlib
import sys
import warnings
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["producer", "processors", "leadstream.text"]):
    from tests.fuzz import splitter_target, transforms_target

TARGETS = {"splitter": splitter_target, "transforms": transforms_target}
FOLDER = Path(".fuzz")
LIMITS = ["-timeout=20", "-rss_limit_mb=2048", "-max_len=4096", "-print_final_stats=1"]


def main() -> None:
    """Write the seeds into the corpus, then fuzz."""
    name, *options = sys.argv[1:]
    target = TARGETS[name]
    corpus = FOLDER / name / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds():
        (corpus / hashlib.sha1(seed).hexdigest()).write_bytes(seed)
    words = FOLDER / name / "words"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.WORDS))
    arguments = [sys.argv[0], *LIMITS, f"-artifact_prefix={FOLDER / name}/", f"-dict={words}", *options, str(corpus)]
    warnings.simplefilter("error")
    atheris.Setup(arguments, target.check)
    atheris.Fuzz()


def _escaped(word: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word.encode())


main()
