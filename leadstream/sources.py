"""The sources: what every stage needs to know of a vendor's YAML file.

``<name>.yaml`` in the sources directory is a source; ``_defaults.yaml`` beside it is laid under each of them.
Here the files are read and their structure is checked. What a transform does, ``processors`` alone knows.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import TypeAdapter, ValidationError

from leadstream.errors import ConfigError, MappingError
from leadstream.log import get_logger
from leadstream.source_config import CanonicalField, FieldSpec, GroupSpec, SourceConfig, Transforms
from leadstream.source_errors import explain
from leadstream.source_yaml import Places, merge, merge_places, parse_yaml, place_of, read_yaml
from leadstream.text import clean_header
from schemas.topics import SOURCE_NAME

__all__ = [
    "SourceCatalog",
    "SourceConfig",
    "check_sources",
    "clean_header",
    "load_sources",
    "read_in_part",
    "read_sources",
    "read_trial",
    "unread_files",
]

DEFAULTS_FILE_NAME = "_defaults.yaml"
SUFFIX = ".yaml"
UNREAD_SUFFIX = ".yml"

_FIELDS = TypeAdapter(dict[CanonicalField, FieldSpec])
_TRANSFORMS = TypeAdapter(dict[CanonicalField, Transforms])
_GROUPS = TypeAdapter(tuple[GroupSpec, ...])

log = get_logger("sources")


def load_sources(directory: Path) -> dict[str, SourceConfig]:
    """All sources of a directory by name.

    Raises:
        MappingError: the first thing that is wrong, with file and line.
        ConfigError: the directory is missing.
    """
    configs, errors = read_sources(directory)
    if errors:
        raise errors[0]
    return configs


def check_sources(directory: Path) -> list[MappingError]:
    """Everything that is wrong with the structure of a directory's files; empty when all is well.

    Raises:
        ConfigError: the directory is missing.
    """
    return read_sources(directory)[1]


def read_sources(
    directory: Path, known: Mapping[str, SourceConfig] = MappingProxyType({})
) -> tuple[dict[str, SourceConfig], list[MappingError]]:
    """The sources that can be used, by name, and everything that is wrong with the structure of the others.

    A source in use (``known``) whose file is wrong now stays as it was, and keeps its prefix against newcomers.

    Raises:
        ConfigError: the directory is missing.
    """
    names = [name for name, _, _ in _fingerprint(directory) if name.endswith(SUFFIX)]
    defaults: dict[str, Any] = {}
    default_places: Places = {}
    if DEFAULTS_FILE_NAME in names:
        try:
            defaults, default_places = read_yaml(directory / DEFAULTS_FILE_NAME)
        except MappingError as exc:
            return dict(known), [exc]
    configs: dict[str, SourceConfig] = {}
    errors: list[MappingError] = []
    for name in names:
        if name == DEFAULTS_FILE_NAME:
            continue
        config, found = _read_source(directory / name, Path(name).stem, defaults, default_places)
        # What is wrong in the defaults is wrong in every source: say it once.
        errors += [error for error in found if str(error) not in {str(other) for other in errors}]
        config = config or known.get(Path(name).stem)
        if config is not None:
            configs[config.name] = config
    for error in _overlaps(configs, known):
        errors.append(error)
        name = error.file.stem
        del configs[name]
        if name in known:
            configs[name] = known[name]
    return dict(sorted(configs.items())), errors


def unread_files(directory: Path) -> list[MappingError]:
    """Files that are meant for sources and are none, because of what their names end in.

    Raises:
        ConfigError: the directory is missing.
    """
    return _unread(directory, [name for name, _, _ in _fingerprint(directory)])


def read_in_part(directory: Path, known: Mapping[str, SourceConfig]) -> list[SourceConfig]:
    """Of each source that is not ``known``, because of its mistakes: the fields and groups that can be read.

    Only fit for a check of their transforms.

    Raises:
        ConfigError: the directory is missing.
    """
    names = {name for name, _, _ in _fingerprint(directory) if name.endswith(SUFFIX)}
    defaults_file = directory / DEFAULTS_FILE_NAME
    parts = []
    for name in sorted(names - {DEFAULTS_FILE_NAME, *(f"{name}{SUFFIX}" for name in known)}):
        with contextlib.suppress(MappingError):  # said by whoever reads the whole
            defaults, default_places = read_yaml(defaults_file) if DEFAULTS_FILE_NAME in names else ({}, {})
            own, own_places = read_yaml(directory / name)
            document = merge(defaults, own)
            part = SourceConfig.model_construct(
                name=Path(name).stem,
                fields=_good_entries(_FIELDS, document.get("fields")),
                transforms=_good_entries(_TRANSFORMS, document.get("transforms")),
                groups=(),
                key=(),
                places=merge_places(default_places, own_places),
            )
            with contextlib.suppress(ValidationError):
                part = part.model_copy(update={"groups": _GROUPS.validate_python(document.get("groups"))})
            parts.append(part)
    return parts


def read_trial(file: Path, directory: Path, name: str, text: str | None = None) -> SourceConfig:
    """A mapping that is not in use yet: ``file``, read as if it were the YAML of source ``name`` in ``directory``.

    ``text``: instead of what the file holds.

    Raises:
        MappingError: the first thing that is wrong, with file and line.
    """
    defaults_file = directory / DEFAULTS_FILE_NAME
    defaults, places = read_yaml(defaults_file) if defaults_file.exists() else ({}, {})
    config, errors = _read_source(file, name, defaults, places, text)
    if config is None:
        raise errors[0]
    return config


class SourceCatalog:
    """The sources of a directory, kept up to date while a stage runs.

    A file that cannot be used costs its own source alone: the source keeps its last good configuration, or is
    left out when it never had one (see ``errors``).
    """

    def __init__(self, directory: Path) -> None:
        """Read the directory.

        Raises:
            ConfigError: the directory is missing.
            MappingError: none of its files can be used.
        """
        self._directory = directory
        self._fingerprint = _fingerprint(directory)
        self._configs, self._errors = read_sources(directory)
        if self._errors and not self._configs:
            raise self._errors[0]
        self._named_unread: set[Path] = set()
        self._log_errors()

    @property
    def configs(self) -> Mapping[str, SourceConfig]:
        """The sources in use, by name."""
        return self._configs

    @property
    def errors(self) -> list[MappingError]:
        """What is wrong with the files as they stand now."""
        return list(self._errors)

    def get(self, name: str) -> SourceConfig | None:
        """The source called ``name``."""
        return self._configs.get(name)

    def match(self, object_key: str) -> SourceConfig | None:
        """The source under whose prefix an object stands."""
        return next((config for config in self._configs.values() if object_key.startswith(config.prefix)), None)

    def refresh(self) -> bool:
        """Read again what changed since the last call; whether any source changed.

        A bad edit is logged once and leaves its source as it was.
        """
        try:
            fingerprint = _fingerprint(self._directory)
            if fingerprint == self._fingerprint:
                return False
            fresh, errors = read_sources(self._directory, self._configs)
        except ConfigError as exc:
            if self._fingerprint:
                log.error("sources_unreadable", error=str(exc))
            self._fingerprint = ()
            return False
        self._fingerprint = fingerprint
        self._errors = errors
        self._log_errors()
        changed = _meanings(fresh) != _meanings(self._configs)
        self._configs = fresh
        return changed

    def _log_errors(self) -> None:
        for error in self._errors:
            log.error("source_rejected", file=str(error.file), line=error.line, error=str(error))
        for error in _unread(self._directory, [name for name, _, _ in self._fingerprint]):
            if error.file not in self._named_unread:
                self._named_unread.add(error.file)
                log.warning("source_not_read", file=str(error.file), error=str(error))


def _meanings(configs: Mapping[str, SourceConfig]) -> dict[str, tuple[str, str]]:
    return {name: (config.version, config.title) for name, config in configs.items()}


def _fingerprint(directory: Path) -> tuple[tuple[str, int, int], ...]:
    try:
        with os.scandir(directory) as entries:
            return tuple(
                sorted(
                    (entry.name, (status := entry.stat()).st_mtime_ns, status.st_size)
                    for entry in entries
                    if entry.name.endswith((SUFFIX, UNREAD_SUFFIX))
                )
            )
    except OSError as exc:
        hint = "set LEADSTREAM_SOURCES_DIR to the folder of the sources' YAML files"
        raise ConfigError(f"sources directory {directory}: {exc.strerror}", hint=hint) from exc


def _unread(directory: Path, names: Iterable[str]) -> list[MappingError]:
    known = set(names)
    errors = []
    for name in sorted(name for name in known if name.endswith(UNREAD_SUFFIX)):
        right = Path(name).with_suffix(SUFFIX).name
        hint = f"{right} beside it is read: remove one of them" if right in known else f"name it {right}"
        errors.append(MappingError(f"is not read: a source's file ends in {SUFFIX}", file=directory / name, hint=hint))
    return errors


def _good_entries(adapter: TypeAdapter[dict[str, Any]], entries: object) -> dict[str, Any]:
    good: dict[str, Any] = {}
    for name, value in entries.items() if isinstance(entries, dict) else ():
        with contextlib.suppress(ValidationError):
            good |= adapter.validate_python({name: value})
    return good


def _read_source(
    file: Path, name: str, defaults: dict[str, Any], default_places: Places, text: str | None = None
) -> tuple[SourceConfig | None, list[MappingError]]:
    if not SOURCE_NAME.fullmatch(name):
        hint = "name the file with at most 63 lower-case letters, digits, - and _"
        return None, [MappingError(f"{name!r} cannot be the name of a source", file=file, hint=hint)]
    try:
        own, own_places = read_yaml(file) if text is None else parse_yaml(text, file)
    except MappingError as exc:
        return None, [exc]
    document = merge(defaults, own)
    places = merge_places(default_places, own_places)
    if "name" in document:
        where, line = place_of(places, ("name",))
        return None, [MappingError("unknown key 'name'", file=where, line=line, hint="the file's name is the name")]
    try:
        return SourceConfig.model_validate({"prefix": f"{name}/"} | document | {"name": name, "places": places}), []
    except ValidationError as exc:
        return None, explain(exc, places)


def _overlaps(configs: Mapping[str, SourceConfig], known: Mapping[str, SourceConfig]) -> list[MappingError]:
    """Who claims objects that another source claims: who came later, and where that is not known, the inner prefix."""
    errors = []
    accepted: list[SourceConfig] = []
    settled = {(config.name, config.prefix) for config in known.values()}
    in_order = sorted(configs.values(), key=lambda one: ((one.name, one.prefix) not in settled, one.prefix, one.name))
    for config in in_order:
        other = next((one for one in accepted if _share_objects(one.prefix, config.prefix)), None)
        if other is None:
            accepted.append(config)
            continue
        message = f"prefix {config.prefix!r} overlaps prefix {other.prefix!r} of source {other.name!r}"
        errors.append(config.error(("prefix",), message, hint="give each source a prefix of its own"))
    return errors


def _share_objects(prefix: str, other: str) -> bool:
    return prefix.startswith(other) or other.startswith(prefix)
