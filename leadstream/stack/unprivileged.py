"""What PostgreSQL needs when leadstream runs as root, as which it refuses to run: a user who can reach it.

A home or an installation under a folder closed to others (``/root``) is out of that user's reach. Opening
such a folder is not ours to do: the data and a copy of the binaries then live in ``/var/lib/leadstream``, and
a link in the home leads there.
"""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

USER = "nobody"  # every Unix has it
PUBLIC_FOLDER = Path("/var/lib/leadstream")
READ_BY_OTHERS = 0o004
PASS_BY_OTHERS = 0o001
RUN_BY_OWNER = 0o100


def unprivileged_user() -> tuple[int, int] | None:
    """User and group id to run as, or ``None`` when this process is not root and so can run it itself."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam(USER)
    return entry.pw_uid, entry.pw_gid


def own_folder(folder: Path, user: tuple[int, int]) -> Path:
    """Make ``folder`` (or a link to a folder in reach) and give it to ``user``; returns the real folder."""
    if not folder.exists():
        if _can_pass(folder.parent):
            folder.mkdir(mode=0o700)
        else:
            _make_public_folder()
            folder.unlink(missing_ok=True)  # a link to a folder that somebody removed
            folder.symlink_to(tempfile.mkdtemp(dir=PUBLIC_FOLDER, prefix=f"{folder.name}-"))
        os.chown(folder, *user)
    return folder.resolve()


def readable_copy(base: Path, folders: Sequence[str], name: str) -> Path:
    """``base`` if other users can use ``folders`` in it, else a copy of those (made once) called ``name``."""
    if all(_can_pass(base / folder) and _can_read(base / folder) for folder in folders):
        return base
    copy = PUBLIC_FOLDER / name
    if not copy.exists():
        _make_public_folder()
        new = Path(tempfile.mkdtemp(dir=PUBLIC_FOLDER, prefix="new-"))
        for folder in folders:
            shutil.copytree(base / folder, new / folder, symlinks=True)
        for path in (new, *new.rglob("*")):
            if not path.is_symlink():
                path.chmod(_mode(path) | (0o055 if _mode(path) & RUN_BY_OWNER else 0o044))
        new.rename(copy)
    return copy


def _can_pass(folder: Path) -> bool:
    real = folder.resolve()
    return all(_mode(step) & PASS_BY_OTHERS for step in (real, *real.parents))


def _can_read(folder: Path) -> bool:
    return all(_mode(path) & READ_BY_OTHERS for path in folder.rglob("*") if path.exists())


def _make_public_folder() -> None:
    PUBLIC_FOLDER.mkdir(parents=True, exist_ok=True)
    PUBLIC_FOLDER.chmod(0o711)


def _mode(path: Path) -> int:
    return path.stat().st_mode
