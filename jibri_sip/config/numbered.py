"""What follows from the instance's number where nobody says otherwise: ports, names, directories."""

import os
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

RTP_PORTS = 100
"""UDP ports that an instance has for media; a call uses two for each stream, and a stream is not reused at once."""
_MOST = 99


def derived_defaults(data: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The defaults that the raw settings lead to, by section."""
    number = _number(data)
    offset = number - 1
    sip: dict[str, Any] = {"rtp_port_first": 10000 + RTP_PORTS * offset}
    first = 5060
    if _is_proxied(data):
        # The proxy has the first ports, and nobody else is to reach the instances.
        first += 10
        sip["signalling_host"] = "127.0.0.1"
        sip["access"] = {"dispatchers": ["127.0.0.1", "::1"]}
    return {
        "instance": {
            "runtime_dir": str(default_runtime_dir(number, os.environ)),
            "state_dir": str(default_state_dir(os.environ)),
        },
        "sip": {**sip, "port": first + 10 * offset, "tls_port": first + 1 + 10 * offset},
        "camera": {"label": f"SIP_Room_{number}"},
        "api": {"port": 2222 + offset},
        "jibri": {"internal_port": 3333 + offset},
    }


def merged(defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What is given, and the defaults where nothing is; the tables within it alike."""
    both = {
        key: merged(value, given[key])
        for key, value in defaults.items()
        if isinstance(value, dict) and isinstance(given.get(key), dict)
    }
    return {**defaults, **given, **both}


def named(data: dict[str, Any]) -> dict[str, Any]:
    """Fill number and host in where each instance needs a name of its own, so that one file does for all of them."""
    number = _number(data)

    def filled(table: Any, key: str) -> Any:
        if not isinstance(table, dict) or not isinstance(table.get(key), str):
            return table
        name = table[key].replace("{number}", str(number)).replace("{host}", socket.gethostname())
        return {**table, key: name}

    if "jibri" in data:
        data["jibri"] = filled(data["jibri"], "id")
    if isinstance(data.get("xmpp"), list):
        data["xmpp"] = [
            {key: filled(value, "nickname") for key, value in environment.items()}
            if isinstance(environment, dict)
            else environment
            for environment in data["xmpp"]
        ]
    return data


def _number(data: Mapping[str, Any]) -> int:
    """The number that the raw settings give; 1 where they give none, or nonsense that validation will refuse."""
    number = _value(data, "instance", "number")
    return number if isinstance(number, int) and 1 <= number <= _MOST else 1


def _is_proxied(data: Mapping[str, Any]) -> bool:
    return _value(data, "proxy", "enabled") is True


def _value(data: Mapping[str, Any], section: str, key: str) -> Any:
    table = data.get(section)
    return table.get(key) if isinstance(table, dict) else getattr(table, key, None)


def default_runtime_dir(number: int, environment: Mapping[str, str]) -> Path:
    """Where this instance keeps what does not outlive it."""
    if given := environment.get("RUNTIME_DIRECTORY"):
        return Path(given.split(":")[0])
    if given := environment.get("XDG_RUNTIME_DIR"):
        return Path(given) / "jibri-sip" / str(number)
    return Path(tempfile.gettempdir()) / f"jibri-sip-{os.getuid()}" / str(number)


def default_state_dir(environment: Mapping[str, str]) -> Path:
    """Where the installation keeps what outlives its instances."""
    if given := environment.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0])
    state = environment.get("XDG_STATE_HOME") or Path(environment.get("HOME", "/")) / ".local/state"
    return Path(state) / "jibri-sip"
