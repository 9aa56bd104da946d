"""From what Jibri's files say to our settings, with a verdict on every key. Decides, and reads and writes nothing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jibri_sip.config.jibri_conf import pjsua
from jibri_sip.config.jibri_conf.fates import Fate, NoCounterpart, NotNeeded, Otherwise, Setting, TakenOver, Verdict
from jibri_sip.config.jibri_conf.leaves import Leaf, Value, dotted, pattern_of
from jibri_sip.config.jibri_conf.leaves import Path as KeyPath
from jibri_sip.config.jibri_conf.table import ENVIRONMENTS, FLAGS, HABITS, OTHER_FLAG, fate_of
from jibri_sip.config.jibri_conf.values import flag, text
from jibri_sip.config.problems import Problem

_ROOT: KeyPath = tuple(ENVIRONMENTS.split("."))
_FLAGS_PATH: KeyPath = ("jibri", "chrome", "flags")
_STATS: KeyPath = ("jibri", "stats")
_OFF = {"false", "no", "off"}
_STATSD_HOST = "localhost"
_RECORDINGS = NotNeeded("recordings are ordered there; SIP calls are ordered in sip-control-muc")
_NAMESERVER = "--nameserver"
_NOT_THE_FIRST = NoCounterpart("one STUN server is asked, the first one")
_CODEC_OPTIONS = {"--add-codec", "--dis-codec"}
_TLS_WITH_KEY = TakenOver("sip.tls", text, "SIP over TLS listens as soon as there are certificate and key")


@dataclass
class Mapped:
    """What became of the keys so far.

    Attributes:
        settings: By path, in the order they were found.
        verdicts: One for each key.
        problems: Values that are not what Jibri takes under their key.
    """

    settings: dict[KeyPath, Setting] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def decide(self, fate: Fate | None, *, file: Path, key: str, where: str, path: KeyPath, value: Value) -> None:
        """Note what becomes of one key.

        Args:
            fate: What usually does; None for a key that nobody knows.
            file: Where it stands.
            key: As the operator wrote it.
            where: The same, with the line if it is known, for problems.
            path: Of the key; its indices go into the setting's path.
            value: What was written.
        """
        if isinstance(fate, TakenOver):
            try:
                converted = fate.convert(value)
            except Otherwise as otherwise:
                fate = otherwise.fate
            except ValueError as error:
                self.problems.append(Problem(where, key, str(error), "mend it, or leave it out"))
                return
            else:
                setting = setting_path(fate.setting, path)
                self.settings[setting] = Setting(setting, converted, key, fate.secret)
        self.verdicts.append(verdict_on(fate, file, key, path))

    def put(self, setting: str, value: object, origin: str) -> None:
        """Set what no single key says."""
        path = setting_path(setting, ())
        self.settings[path] = Setting(path, value, origin)


def verdict_on(fate: Fate | None, file: Path, key: str, path: KeyPath = ()) -> Verdict:
    """The fate of the key at this path, in the words of the report."""
    match fate:
        case TakenOver():
            return Verdict(str(file), key, "taken-over", dotted(setting_path(fate.setting, path)), fate.note)
        case NotNeeded():
            return Verdict(str(file), key, "not-needed", "", fate.because)
        case NoCounterpart():
            return Verdict(str(file), key, "no-counterpart", "", fate.because)
        case None:
            return Verdict(str(file), key, "unknown", "", "")


def setting_path(setting: str, path: KeyPath) -> KeyPath:
    """`xmpp[].name` with the indices of this path: `("xmpp", 0, "name")`."""
    indices = iter([part for part in path if isinstance(part, int)])
    found: KeyPath = ()
    for part in setting.split("."):
        found = (*found, part.removesuffix("[]"))
        if part.endswith("[]"):
            found = (*found, next(indices))
    return found


def map_leaves(mapped: Mapped, leaves: Sequence[Leaf], file: Path) -> None:
    """Decide on every key of a jibri.conf."""
    exceptions = _exceptions(leaves)
    for leaf in leaves:
        if leaf.path == _FLAGS_PATH and isinstance(leaf.value, tuple):
            for flag in leaf.value:
                mapped.verdicts.append(_on_flag(flag or "", file))
            continue
        fate = exceptions.get(leaf.path) or fate_of(pattern_of(leaf.path))
        if fate is not None and leaf.value is None:
            fate = NotNeeded("it is null, which is as if it were not there")
        elif leaf.path == _ROOT and leaf.value != ():
            mapped.problems.append(Problem(str(file), leaf.name, "must be a list of tables", ""))
            continue
        mapped.decide(fate, file=file, key=leaf.name, where=f"{file}: {leaf.name}", path=leaf.path, value=leaf.value)


def _on_flag(flag: str, file: Path) -> Verdict:
    name = flag.partition("=")[0]
    return verdict_on(FLAGS.get(name, OTHER_FLAG), file, f"jibri.chrome.flags {name}")


def _exceptions(leaves: Iterable[Leaf]) -> Mapping[KeyPath, Fate]:
    """Fates that depend on other keys, or on what is written."""
    given = {leaf.path: leaf.value for leaf in leaves}
    found: dict[KeyPath, Fate] = {}
    for path, value in given.items():
        if path[-1] == "base-url" and value == "":
            found[path] = NotNeeded("it is empty; the address follows from xmpp-domain")
        elif path[-2:] == ("sip-control-muc", "room-name"):
            control_muc = (*path[:-2], "control-muc")
            found |= {(*control_muc, key): _RECORDINGS for key in ("domain", "room-name")}
            found[(*control_muc, "nickname")] = TakenOver("xmpp[].sip_control_muc.nickname", text)
    host = given.get((*_STATS, "host"))

    def statsd_host(value: Value) -> str:
        return (host if isinstance(host, str) else _STATSD_HOST) if flag(value) else ""

    found[(*_STATS, "enable-stats-d")] = TakenOver("metrics.statsd_host", statsd_host)
    statsd = given.get((*_STATS, "enable-stats-d"))
    if isinstance(statsd, str) and statsd.lower() in _OFF:
        found |= {(*_STATS, key): NotNeeded("StatsD is switched off") for key in ("host", "port")}
    return found


def map_arguments(mapped: Mapped, arguments: Sequence[pjsua.Argument], file: Path) -> None:
    """Decide on every option of a pjsua.config."""
    names = {argument.name for argument in arguments}
    for argument in arguments:
        fate = _unusual(argument, arguments, names)
        if fate is not None:
            # Of codecs and nameservers, all together are one setting.
            key = f"{argument.name} {argument.value}" if argument.name in _CODEC_OPTIONS else argument.name
            mapped.verdicts.append(verdict_on(fate, file, key))
            continue
        key = argument.name or f"line {argument.line}, a word that belongs to no option"
        mapped.decide(
            argument.option.fate if argument.option is not None else None,
            file=file,
            key=key,
            where=f"{file}:{argument.line}",
            path=(),
            value=argument.value,
        )
    if names & _CODEC_OPTIONS:
        mapped.put("audio.codecs", pjsua.codec_order(arguments), "--add-codec, --dis-codec")
    if nameservers := [argument.value for argument in arguments if argument.name == _NAMESERVER]:
        mapped.put("sip.network.nameservers", nameservers, _NAMESERVER)
    local_port = mapped.settings.get(("sip", "port"))
    if local_port is not None and "--tls-cert-file" in names:
        mapped.put("sip.tls_port", local_port.value + 1, "one above --local-port")


def _unusual(argument: pjsua.Argument, arguments: Sequence[pjsua.Argument], names: set[str]) -> Fate | None:
    """The fate of an option that depends on others, or is not a setting by itself; None for the usual one."""
    name = argument.name
    if name in _CODEC_OPTIONS:
        return pjsua.codec_fate(argument)
    if name == "--use-tls" and {"--tls-cert-file", "--tls-privkey-file"} <= names:
        return _TLS_WITH_KEY
    fate = pjsua.account_fate(argument, arguments) or pjsua.turn_fate(argument, arguments)
    if fate is None and argument.option is not None and name in {_NAMESERVER, "--use-turn"}:
        return argument.option.fate
    first = next(one for one in arguments if one.name == name)
    return _NOT_THE_FIRST if fate is None and name == "--stun-srv" and argument is not first else fate


def follow_habits(mapped: Mapped) -> list[Setting]:
    """Set what Jibri does by itself and we do not, where the files say nothing else; those settings are returned."""
    silent = [habit for habit in HABITS if setting_path(habit.setting, ()) not in mapped.settings]
    for habit in silent:
        mapped.put(habit.setting, habit.value, habit.because)
    return [mapped.settings[setting_path(habit.setting, ())] for habit in silent]


def find_base_url(mapped: Mapped, given: str | None) -> bool:
    """Set `meeting.base_url`: what was given, else that of the first environment, else what its domain makes.

    Returns:
        Whether there is any.
    """
    if given is not None:
        mapped.put("meeting.base_url", given, "--base-url")
    elif (setting := mapped.settings.get(("xmpp", 0, "base_url"))) is not None:
        mapped.put("meeting.base_url", setting.value, setting.origin)
    elif (setting := mapped.settings.get(("xmpp", 0, "domain"))) is not None:
        mapped.put("meeting.base_url", f"https://{setting.value}", setting.origin)
    else:
        return False
    return True
