"""Ports of a home: chosen free at the first start, remembered, chosen anew when somebody else took one."""

from __future__ import annotations

import json
import os
import random
import socket
from collections.abc import Iterable
from pathlib import Path

from leadstream.errors import ConfigError

# Below the range the kernel takes a client's own ports from (Linux: from 32768): a client that knocks at a
# part that is down could otherwise get the part's port as its own, connect to itself, and block the part.
LOWEST_PORT = 12_000
HIGHEST_PORT = 32_000
HOST = "127.0.0.1"


def choose_ports(file: Path, names: Iterable[str]) -> dict[str, int]:
    """A free port for each name: from ``LEADSTREAM_<NAME>_PORT``, else the remembered one, else any.

    Args:
        file: where the ports are remembered (JSON); written.
        names: what needs a port.

    Raises:
        ConfigError: a port given by the environment is no number or is in use.
    """
    try:
        remembered: dict[str, int] = json.loads(file.read_text())
    except (OSError, ValueError):
        remembered = {}
    ports: dict[str, int] = {}
    for name in names:
        given = os.environ.get(f"LEADSTREAM_{name.upper()}_PORT")
        if given is not None:
            ports[name] = _given_port(name, given)
            continue
        port = remembered.get(name, 0)
        while not port or port in ports.values() or not is_free(port):
            port = random.randint(LOWEST_PORT, HIGHEST_PORT)
        ports[name] = port
    file.write_text(json.dumps(ports, indent=2))
    return ports


def is_free(port: int) -> bool:
    """Whether a server could listen on the port."""
    with socket.socket() as probe:
        # As the servers do it: connections of the past that linger on the port do not keep it taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _given_port(name: str, given: str) -> int:
    variable = f"LEADSTREAM_{name.upper()}_PORT"
    if not given.isdecimal() or not 0 < int(given) < 65536:
        raise ConfigError(f"{variable}={given!r} is no port number", hint="give a number from 1 to 65535")
    if not is_free(int(given)):
        raise ConfigError(f"{variable}: port {given} is in use", hint="stop what listens there, or unset it")
    return int(given)
