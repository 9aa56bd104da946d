"""The JSON that Jibri was configured with before jibri.conf, in the words of jibri.conf."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from jibri_sip.config.jibri_conf.leaves import Leaf, Path, pattern_of
from jibri_sip.config.jibri_conf.table import ENVIRONMENTS

_LOGIN = ("domain", "port", "username", "password")
_MUC = {"domain": "domain", "room_name": "room-name", "nickname": "nickname"}
_ROOT: Path = tuple(ENVIRONMENTS.split("."))

KEYS: Mapping[str, str] = {
    "jibri_id": "jibri.id",
    "single_use_mode": "jibri.single-use-mode",
    "enable_stats_d": "jibri.stats.enable-stats-d",
    "recording_directory": "jibri.recording.recordings-directory",
    "finalize_recording_script_path": "jibri.recording.finalize-script",
    "xmpp_environments": ENVIRONMENTS,
    **{
        f"xmpp_environments[].{old}": f"{ENVIRONMENTS}[].{new}"
        for old, new in {
            "name": "name",
            "xmpp_server_hosts": "xmpp-server-hosts",
            "xmpp_domain": "xmpp-domain",
            "baseUrl": "base-url",
            **{f"control_muc.{old}": f"control-muc.{new}" for old, new in _MUC.items()},
            **{f"sip_control_muc.{old}": f"sip-control-muc.{new}" for old, new in _MUC.items()},
            **{f"control_login.{name}": f"control-login.{name}" for name in _LOGIN},
            **{f"call_login.{name}": f"call-login.{name}" for name in _LOGIN},
            "control_login.randomizeUsername": "control-login.randomize-username",
            "call_login.randomizeUsername": "call-login.randomize-username",
            "room_jid_domain_string_to_strip_from_start": "strip-from-room-domain",
            "usage_timeout": "usage-timeout",
            "always_trust_certs": "trust-all-xmpp-certs",
            "security_mode": "security-mode",
        }.items()
    },
}
"""Old pattern to new."""


def in_present_words(leaves: Sequence[Leaf]) -> list[Leaf]:
    """The leaves with the paths that jibri.conf would have them at; their names stay.

    A file that has `jibri`, or none of the old keys, is in the present layout already.
    """
    roots = {leaf.path[0] for leaf in leaves}
    if "jibri" in roots or not roots & KEYS.keys():
        return list(leaves)
    found = [_translated(leaf) for leaf in leaves]
    environments = {leaf.path[: len(_ROOT) + 1] for leaf in found if _in_environment(leaf.path)}
    given = {leaf.path for leaf in found}
    for path in sorted(environments, key=str):
        trusted = (*path, "trust-all-xmpp-certs")
        if trusted not in given:
            name = f"xmpp_environments[{path[-1]}].always_trust_certs"
            found.append(Leaf(trusted, f"{name} (not given, which is true)", "true"))
    return found


def _in_environment(path: Path) -> bool:
    return path[: len(_ROOT)] == _ROOT and len(path) > len(_ROOT) and isinstance(path[len(_ROOT)], int)


def _translated(leaf: Leaf) -> Leaf:
    pattern = KEYS.get(pattern_of(leaf.path))
    if pattern is None:
        return leaf
    indices = iter([part for part in leaf.path if isinstance(part, int)])
    path: Path = ()
    for part in pattern.split("."):
        path = (*path, part.removesuffix("[]"))
        if part.endswith("[]"):
            path = (*path, next(indices))
    if path[-1] == "usage-timeout" and isinstance(leaf.value, str):
        # A bare number was minutes; now it would be milliseconds.
        return replace(leaf, path=path, value=f"{leaf.value} minutes")
    return replace(leaf, path=path)
