"""The Java parts (Kafka, Apicurio Registry): downloaded once by Maven coordinates, checked by ``jars.lock``.

``jars.lock`` names every file as ``group:artifact:version[:classifier:packaging] sha256``. A file enters the
cache only after its hash was checked, by an atomic move: what is in the cache is whole.

    python -m leadstream.stack.jars fetch       downloads what is missing (``make install``)
    python -m leadstream.stack.jars classpath   prints Kafka's class path, for Kafka's own tools
    python -m leadstream.stack.jars lock        resolves the versions below, writes ``jars.lock`` (maintenance)
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
import sys
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import platformdirs
import requests
from jgo.maven import MavenContext, PythonResolver
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TransferSpeedColumn

from leadstream.errors import ConfigError, FatalError, LeadstreamError, TransientError

LOCK_FILE = Path(__file__).with_name("jars.lock")
LOCK_HEADER = "# Written by `python -m leadstream.stack.jars lock`; every download is checked against it.\n"
HTTP_TIMEOUT_SECONDS = 60
PARALLEL_DOWNLOADS = 4

KAFKA = "org.apache.kafka:kafka_2.13:4.1.1"
# Resolved together with Kafka, these two would pull its dependencies to other versions: added as they are.
KAFKA_EXTRAS = ("org.apache.kafka:kafka-tools:4.1.1", "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3")
APICURIO = "io.apicurio:apicurio-registry-app:3.0.9:all:tar.gz"


@dataclass(frozen=True)
class Artifact:
    """One file of a Maven repository, and what its bytes must hash to."""

    group: str
    name: str
    version: str
    classifier: str
    packaging: str
    sha256: str

    @property
    def coordinate(self) -> str:
        """``group:artifact:version[:classifier:packaging]``."""
        plain = f"{self.group}:{self.name}:{self.version}"
        return plain if self.packaging == "jar" else f"{plain}:{self.classifier}:{self.packaging}"

    @property
    def file_name(self) -> str:
        """The file's name as the repository has it."""
        suffix = f"-{self.classifier}" if self.classifier else ""
        return f"{self.name}-{self.version}{suffix}.{self.packaging}"

    @property
    def is_archive(self) -> bool:
        """Whether the file is unpacked in the cache instead of kept."""
        return self.packaging == "tar.gz"

    def place(self, cache: Path) -> Path:
        """Where the file (or the unpacked folder) lives in the cache; its hash is part of the path."""
        return cache / "jars" / f"{self.sha256[:16]}-{self.file_name.removesuffix('.tar.gz')}"


@dataclass(frozen=True)
class Downloads:
    """What the stack starts Java with: Kafka's class path and the folder Apicurio was unpacked to."""

    kafka_classpath: tuple[Path, ...]
    apicurio: Path


def cache_directory() -> Path:
    """The user's cache folder, or ``LEADSTREAM_CACHE``."""
    given = os.environ.get("LEADSTREAM_CACHE")
    return Path(given).absolute() if given else platformdirs.user_cache_path("leadstream")


def read_lock(file: Path = LOCK_FILE) -> list[Artifact]:
    """The files named by ``jars.lock``.

    Raises:
        ConfigError: a line cannot be understood.
    """
    lines = file.read_text().splitlines()
    return [_parse(file, number, line) for number, line in enumerate(lines, 1) if line and line[0] != "#"]


def ensure_downloads(console: Console | None = None) -> Downloads:
    """Download whatever of ``jars.lock`` is not in the cache yet (with a progress bar), and say where it is.

    Safe to call from several processes at once: one downloads, the others wait for it.

    Raises:
        TransientError: a file could not be downloaded; names the file and what to do.
        FatalError: a file's bytes are not the ones that were locked.
        ConfigError: the cache cannot be written.
    """
    cache = cache_directory()
    artifacts = read_lock()
    missing = [artifact for artifact in artifacts if not artifact.place(cache).exists()]
    if missing:
        try:
            _download_all(cache, artifacts, console or Console(stderr=True))
        except OSError as exc:
            raise ConfigError(
                f"cannot write the download cache {cache}: {exc}",
                hint="free some disk space (about 350 MB), or name another folder in LEADSTREAM_CACHE",
            ) from exc
    kafka = tuple(artifact.place(cache) for artifact in artifacts if not artifact.is_archive)
    apicurio = next(artifact.place(cache) for artifact in artifacts if artifact.is_archive)
    return Downloads(kafka, apicurio)


def write_lock(file: Path = LOCK_FILE) -> int:
    """Resolve Kafka's dependencies, download all, and write ``jars.lock``; returns the number of files."""
    with tempfile.TemporaryDirectory() as repository:
        context = MavenContext(repo_cache=Path(repository), timeout=HTTP_TIMEOUT_SECONDS)
        inputs, transitive = context.resolver.resolve([context.create_dependency(KAFKA)])
        runtime = [dependency for dependency in transitive if dependency.scope in ("compile", "runtime")]
        resolved = [dependency.artifact for dependency in [*inputs, *runtime]]
        for coordinate in (*KAFKA_EXTRAS, APICURIO):
            group, name, version, *rest = coordinate.split(":")
            resolved.append(context.project(group, name).at_version(version).artifact(*rest))
        locked = [
            Artifact(
                item.groupId,
                item.artifactId,
                item.version,
                item.classifier,
                item.packaging,
                _sha256(item.resolve()),
            )
            for item in resolved
        ]
    lines = sorted(f"{artifact.coordinate} {artifact.sha256}\n" for artifact in locked)
    file.write_text(LOCK_HEADER + "".join(lines))
    return len(lines)


def main(arguments: list[str]) -> int:
    """``fetch``, ``classpath`` or ``lock``; returns the exit code."""
    console = Console(stderr=True)
    if arguments == ["lock"]:
        console.print(f"{LOCK_FILE.name}: {write_lock()} files")
        return 0
    if arguments not in (["fetch"], ["classpath"]):
        console.print("usage: python -m leadstream.stack.jars fetch|classpath|lock")
        return 2
    try:
        downloads = ensure_downloads(console)
    except LeadstreamError as exc:
        console.print(f"[red]{exc}[/red]", soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        return 130
    if arguments == ["classpath"]:
        sys.stdout.write(os.pathsep.join(map(str, downloads.kafka_classpath)) + "\n")
        return 0
    console.print(f"Java parts are in {cache_directory()}", soft_wrap=True)
    return 0


def _parse(file: Path, number: int, line: str) -> Artifact:
    try:
        coordinate, sha256 = line.split()
        group, name, version, *rest = coordinate.split(":")
        classifier, packaging = rest or ("", "jar")
    except ValueError as exc:
        raise ConfigError(
            f"{file}:{number}: not `group:artifact:version[:classifier:packaging] sha256`",
            hint="run `python -m leadstream.stack.jars lock`",
        ) from exc
    return Artifact(group, name, version, classifier, packaging, sha256)


def _download_all(cache: Path, artifacts: list[Artifact], console: Console) -> None:
    (cache / "jars").mkdir(parents=True, exist_ok=True)
    with _locked(cache / "lock"):
        missing = [artifact for artifact in artifacts if not artifact.place(cache).exists()]
        for leftover in cache.glob("partial-*"):
            shutil.rmtree(leftover)
        if not missing:
            return
        # On the cache's own file system, so that the move into place is atomic.
        with (
            tempfile.TemporaryDirectory(dir=cache, prefix="partial-") as folder,
            _progress(console) as progress,
        ):
            files = progress.add_task("Java parts, once", total=None)
            given_up = threading.Event()
            context = MavenContext(
                repo_cache=Path(folder),
                timeout=HTTP_TIMEOUT_SECONDS,
                resolver=PythonResolver(progress_callback=_reporter(progress, files, given_up)),
            )
            with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
                done = [pool.submit(download, context, artifact, cache) for artifact in missing]
                try:
                    for future in done:
                        future.result()
                finally:
                    given_up.set()
                    for future in done:
                        future.cancel()


def download(context: MavenContext, artifact: Artifact, cache: Path) -> None:
    project = context.project(artifact.group, artifact.name).at_version(artifact.version)
    try:
        file: Path = project.artifact(artifact.classifier, artifact.packaging).resolve()
    # jgo says "not found" with a bare RuntimeError; its transport is requests.
    except (requests.RequestException, RuntimeError) as exc:
        raise TransientError(
            f"could not download {artifact.coordinate}: {exc}",
            hint="check the network and HTTPS_PROXY, then run `python -m leadstream.stack.jars fetch`; "
            f"without a network, copy {cache} from a machine that has it",
        ) from exc
    found = _sha256(file)
    if found != artifact.sha256:
        raise FatalError(
            f"{artifact.coordinate} arrived with sha256 {found}, not as locked: {artifact.sha256}",
            hint="try again; if it stays, a proxy or the repository changes the file: do not use it",
        )
    if artifact.is_archive:
        unpacked = file.with_name("unpacked")
        with tarfile.open(file) as archive:
            archive.extractall(unpacked, filter="data")
        file.unlink()
        file = unpacked
    file.rename(artifact.place(cache))


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=console,
    )


def _reporter(
    progress: Progress, task: TaskID, given_up: threading.Event
) -> Callable[[str, int], contextlib.AbstractContextManager[Callable[[int], None]]]:
    lock = threading.Lock()
    total = 0

    @contextlib.contextmanager
    def report(_file_name: str, size: int) -> Iterator[Callable[[int], None]]:
        nonlocal total
        with lock:
            total += size
            progress.update(task, total=total)
        yield advance

    def advance(count: int) -> None:
        if given_up.is_set():  # another download failed, or the user pressed Ctrl-C: do not finish this one
            raise RuntimeError("the download was given up")
        progress.advance(task, count)

    return report


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _sha256(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


if __name__ == "__main__":
    logging.getLogger("jgo").setLevel(logging.ERROR)
    sys.exit(main(sys.argv[1:]))
