"""The sources: what every stage needs to know of a vendor's YAML file.

``<name>.yaml`` in the sources directory is a source; ``_defaults.yaml`` beside it is laid under each of them.
Here the files are read and their structure is checked. What a transform does, ``processors`` alone knows.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError

from leadstream.errors import ConfigError, MappingError
from leadstream.log import get_logger
from leadstream.source_config import SourceConfig
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
    "read_sources",
    "read_trial",
]

DEFAULTS_FILE_NAME = "_defaults.yaml"

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
    names = [name for name, _, _ in _fingerprint(directory)]
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


def _meanings(configs: Mapping[str, SourceConfig]) -> dict[str, tuple[str, str]]:
    return {name: (config.version, config.title) for name, config in configs.items()}


def _fingerprint(directory: Path) -> tuple[tuple[str, int, int], ...]:
    try:
        with os.scandir(directory) as entries:
            return tuple(
                sorted(
                    (entry.name, (status := entry.stat()).st_mtime_ns, status.st_size)
                    for entry in entries
                    if entry.name.endswith(".yaml")
                )
            )
    except OSError as exc:
        hint = "set LEADSTREAM_SOURCES_DIR to the folder of the sources' YAML files"
        raise ConfigError(f"sources directory {directory}: {exc.strerror}", hint=hint) from exc


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
