"""pjsua.config: the argument file of the pjsua that Jibri starts, option by option."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jibri_sip.config.jibri_conf.fates import Fate, NoCounterpart, NotNeeded, Otherwise, TakenOver
from jibri_sip.config.jibri_conf.leaves import Value
from jibri_sip.config.jibri_conf.reading import read_text
from jibri_sip.config.jibri_conf.values import port, text, whole

CODECS = ("opus", "G722", "PCMA", "PCMU")
_TOKEN = re.compile(r"\"([^\"]*)\"?|'([^']*)'?|(\S+)")
_ALL = {"*", "all"}


@dataclass(frozen=True)
class Option:
    """What pjsua knows under a name.

    Attributes:
        fate: What becomes of it.
        valued: Whether a value follows.
    """

    fate: Fate
    valued: bool = True


@dataclass(frozen=True)
class Argument:
    """An option as it stands in the file.

    Attributes:
        line: Counted from 1.
        name: The option with its dashes, in full; what is no option at all has none.
        value: What follows; empty where nothing does. May be a secret.
        option: What pjsua knows under the name; None if nothing.
    """

    line: int
    name: str
    value: str
    option: Option | None


def _srtp(value: Value) -> str:
    found = {"0": "off", "1": "optional", "2": "required", "3": "optional"}.get(text(value))
    if found is None:
        raise ValueError("must be 0, 1, 2 or 3")
    return found


def _srtp_secure(value: Value) -> str:
    if text(value) == "0":
        raise Otherwise(NotNeeded("keys may travel over any transport here, too"))
    raise Otherwise(NoCounterpart("keys travel in SDP over any transport: have calls come and go over TLS"))


def _address(value: Value) -> str:
    """`user@domain` of `"Name" <sip:user@domain>`."""
    match = re.fullmatch(r"(?:[^<]*<)?sips?:([^>]+)>?\s*", text(value))
    if match is None:
        raise ValueError("must be a SIP address, as in sip:room7@provider.example.com")
    if _is_nobodys(match[1]):
        raise Otherwise(NotNeeded("nobody can be called at an address of loopback; calls show the gateway's own"))
    return match[1]


def _is_nobodys(address: str) -> bool:
    """Whether this is an address of loopback, as the one that Jibri's package comes with."""
    return re.search(r"@(127\.[0-9.]+|localhost|\[::1\])(?![\w.-])", address) is not None


def _yes(_value: Value) -> bool:
    return True


def _no(_value: Value) -> bool:
    return False


def _tcp(_value: Value) -> str:
    return "tcp"


_ONE_ACCOUNT = NoCounterpart("an instance has one account: see sip.account")
_NO_LOGIN = NoCounterpart(
    "an account registers with all of --id, --registrar, --username and --password, see sip.account"
)
_ACCOUNT_DETAIL = NoCounterpart("sip.account has no such setting")
_OF_ACCOUNT = NotNeeded("the gateway sees to it by itself")
_DEVICES = NotNeeded("picture and sound go through devices of the gateway's own")
_LOG = NotNeeded("the log goes to standard error and the journal, see [log]")
_ICE = NotNeeded("ICE is set up by itself, see sip.network.ice")
_TURN_TLS = NoCounterpart("TURN is spoken over UDP or TCP, see sip.network.turn")
_TURN_OFF = NotNeeded("TURN is used with both --use-turn and --use-ice only")
_ONE = NotNeeded("an instance carries one call")
_CONSOLE = NotNeeded("there is no console")
_TIMER = NotNeeded("session timers are used when the peer wants them")
_TUNING = NotNeeded("the gateway sets its media up by itself")
_ANSWERED = NotNeeded("Jibri says it call by call, and so does the gateway")
_PLAYS = NoCounterpart("the gateway carries a meeting, and plays or records nothing else")
_TLS = "with certificate and key peers can call over TLS, too; then it is not needed"

OPTIONS: Mapping[str, Option] = {
    "--local-port": Option(TakenOver("sip.port", port)),
    "--bound-addr": Option(TakenOver("sip.host", text)),
    "--ip-addr": Option(TakenOver("sip.public_address", text)),
    "--no-tcp": Option(TakenOver("sip.tcp", _no, "providers and room systems often want TCP"), valued=False),
    "--no-udp": Option(NoCounterpart("UDP is always listened on"), valued=False),
    "--use-tls": Option(TakenOver("sip.tls.outgoing", _yes, _TLS), valued=False),
    "--tls-ca-file": Option(TakenOver("sip.tls.ca_file", text)),
    "--tls-cert-file": Option(TakenOver("sip.tls.certificate_file", text)),
    "--tls-privkey-file": Option(TakenOver("sip.tls.key_file", text)),
    "--tls-password": Option(NoCounterpart("the key's file must be without a passphrase")),
    "--tls-verify-server": Option(TakenOver("sip.tls.verify_peer", _yes), valued=False),
    "--tls-verify-client": Option(NoCounterpart("callers over TLS need no certificate"), valued=False),
    "--tls-neg-timeout": Option(NoCounterpart("PJSIP's own time is kept")),
    "--tls-cipher": Option(NoCounterpart("OpenSSL's own choice is kept")),
    "--rtp-port": Option(TakenOver("sip.rtp_port_first", whole, "100 ports from there")),
    "--use-srtp": Option(TakenOver("sip.srtp", _srtp)),
    "--srtp-secure": Option(TakenOver("sip.srtp", _srtp_secure)),
    "--srtp-keying": Option(NotNeeded("the gateway has both SDES and DTLS")),
    "--add-codec": Option(TakenOver("audio.codecs", text, "later ones are preferred")),
    "--dis-codec": Option(TakenOver("audio.codecs", text)),
    "--duration": Option(TakenOver("limits.max_duration_s", whole)),
    "--nameserver": Option(TakenOver("sip.network.nameservers", text)),
    "--ipv6": Option(NoCounterpart("say an IPv6 address as sip.host"), valued=False),
    "--config-file": Option(NoCounterpart("import that file, too, by --pjsua-config")),
    **{f"--{name}": Option(_TIMER) for name in ("use-timer", "timer-se", "timer-min-se")},
    "--use-100rel": Option(NoCounterpart("provisional answers are reliable where the peer wants it"), valued=False),
    "--set-qos": Option(NotNeeded("packets are marked, see sip.dscp_audio and its like"), valued=False),
    "--disable-stun": Option(NotNeeded("there is no STUN unless sip.network.stun_server names a server"), valued=False),
    "--auto-update-nat": Option(NotNeeded("an account's Contact follows what its registrar sees")),
    "--video": Option(NotNeeded("calls have video"), valued=False),
    "--auto-keyframe": Option(NotNeeded("keyframes are sent when asked for, and at the start")),
    "--quality": Option(_TUNING),
    "--max-calls": Option(_ONE),
    "--id": Option(TakenOver("sip.account.user", _address)),
    "--registrar": Option(TakenOver("sip.account.registrar", text)),
    "--realm": Option(NotNeeded("whatever realm asks is answered")),
    "--username": Option(TakenOver("sip.account.login", text)),
    "--password": Option(TakenOver("sip.account.password", text, secret=True)),
    "--proxy": Option(TakenOver("sip.account.proxy", text, "for all calls whose order names none")),
    "--outbound": Option(NoCounterpart("say a proxy as sip.account.proxy")),
    "--contact": Option(TakenOver("sip.account.contact", text)),
    **{f"--{name}": Option(_OF_ACCOUNT) for name in ("reg-timeout", "rereg-delay", "outb-rid")},
    "--next-account": Option(_ONE_ACCOUNT, valued=False),
    **{
        f"--{name}": Option(_ACCOUNT_DETAIL)
        for name in ("contact-params", "contact-uri-params", "reg-use-proxy", "aka-op", "aka-amf")
    },
    **{f"--{name}": Option(_ACCOUNT_DETAIL, valued=False) for name in ("next-cred", "publish", "mwi", "use-ims")},
    "--stun-srv": Option(TakenOver("sip.network.stun_server", text, "the first one")),
    "--use-ice": Option(TakenOver("sip.network.ice", _yes), valued=False),
    "--use-turn": Option(TakenOver("sip.network.turn", _yes, "if there is --use-ice, too"), valued=False),
    "--turn-srv": Option(TakenOver("sip.network.turn.server", text)),
    "--turn-tcp": Option(TakenOver("sip.network.turn.transport", _tcp), valued=False),
    "--turn-user": Option(TakenOver("sip.network.turn.user", text)),
    "--turn-passwd": Option(TakenOver("sip.network.turn.password", text, secret=True)),
    **{f"--{name}": Option(_ICE) for name in ("ice-trickle", "ice-max-hosts")},
    **{f"--{name}": Option(_ICE, valued=False) for name in ("ice-regular", "ice-no-rtcp")},
    "--rtcp-mux": Option(NotNeeded("RTCP has the port of RTP where the peer offers it"), valued=False),
    "--upnp": Option(NoCounterpart("open the ports in the router, and say sip.public_address"), valued=False),
    "--turn-tls": Option(_TURN_TLS, valued=False),
    **{
        f"--{name}": Option(_TURN_TLS)
        for name in (
            *("turn-tls-ca-file", "turn-tls-cert-file", "turn-tls-privkey-file", "turn-tls-privkey-pwd"),
            *("turn-tls-neg-timeout", "turn-tls-cipher"),
        )
    },
    **{
        f"--{name}": Option(_DEVICES)
        for name in (
            *("capture-dev", "playback-dev", "vcapture-dev", "vrender-dev", "capture-lat", "playback-lat"),
            *("snd-auto-close", "snd-clock-rate", "clock-rate"),
        )
    },
    **{f"--{name}": Option(_DEVICES, valued=False) for name in ("null-audio", "stereo", "no-tones")},
    **{f"--{name}": Option(_TUNING) for name in ("complexity", "ptime", "ec-tail", "ec-opt", "ilbc-mode")},
    **{f"--{name}": Option(_TUNING) for name in ("jb-max-size", "thread-cnt", "accept-redirect")},
    **{
        f"--{name}": Option(_TUNING, valued=False)
        for name in (
            *("no-vad", "no-mci", "norefersub", "no-supported-norefersub", "use-compact-form", "no-force-lr"),
            *("no-presence", "offer-x-ms-msg", "extra-audio"),
        )
    },
    **{f"--{name}": Option(_LOG) for name in ("log-file", "log-level", "app-log-level")},
    **{
        f"--{name}": Option(_LOG, valued=False)
        for name in ("log-append", "color", "no-color", "light-bg", "no-stderr", "stdout-no-buf")
    },
    **{f"--{name}": Option(_CONSOLE) for name in ("stdout-refresh", "stdout-refresh-text", "cli-telnet-port")},
    **{f"--{name}": Option(_CONSOLE, valued=False) for name in ("use-cli", "no-cli-console", "help", "version")},
    **{f"--{name}": Option(_ANSWERED) for name in ("auto-answer", "auto-answer-timer")},
    **{
        f"--{name}": Option(_PLAYS)
        for name in (
            *("add-buddy", "play-file", "play-tone", "rec-file", "play-avi", "rec-avi", "rec-avi-size", "text-red"),
            *("rx-drop-pct", "tx-drop-pct", "custom-sdp"),
        )
    },
    **{
        f"--{name}": Option(_PLAYS, valued=False)
        for name in (
            *("auto-play", "auto-play-hangup", "auto-rec", "auto-loop", "auto-conf", "auto-play-avi"),
            *("auto-rec-avi", "rec-avi-audio", "text"),
        )
    },
}
"""By name, in full: what is taken over first, then what the rest have in common."""

_LOGIN_OPTIONS = frozenset({"--registrar", "--username", "--password"})
_TURN_OPTIONS = frozenset({"--use-turn", "--turn-srv", "--turn-tcp", "--turn-user", "--turn-passwd"})
_ACCOUNT_OPTIONS = frozenset({"--id", "--proxy", "--contact"}) | _LOGIN_OPTIONS


def read_pjsua_config(file: Path) -> list[Argument]:
    """The options of the file, in order.

    Raises:
        ConfigProblems: It is too big, no plain file, or no text.
        FileUnreadable: It cannot be read.
    """
    return list(_arguments(_tokens(read_text(file))))


def _tokens(content: str) -> Iterator[tuple[int, str]]:
    """Words with their lines, as pjsua takes them: quotes only around a whole word, # ends the line."""
    for number, line in enumerate(content.splitlines(), 1):
        for match in _TOKEN.finditer(line):
            word = next(group for group in match.groups() if group is not None)
            if word.startswith("#"):
                break
            if word:
                yield number, word


def _arguments(tokens: Iterator[tuple[int, str]]) -> Iterator[Argument]:
    for line, token in tokens:
        if not token.startswith("--"):
            yield Argument(line, "", token, None)
            continue
        written, given, value = token.partition("=")
        name = _in_full(written)
        option = OPTIONS.get(name)
        if option is not None and option.valued and not given:
            value = next(tokens, (line, ""))[1]
        yield Argument(line, name, value, option)


def _in_full(written: str) -> str:
    """getopt_long takes any beginning of a name that is the beginning of no other."""
    if written in OPTIONS:
        return written
    found = [name for name in OPTIONS if name.startswith(written)]
    return found[0] if len(found) == 1 else written


def codec_order(arguments: Sequence[Argument]) -> list[str]:
    """The codecs that pjsua would offer with these options and we have, the best first.

    pjsua disables first and adds then, in whatever order the file has them; each one added goes over those before.
    """
    disabled = {name for argument in arguments if argument.name == "--dis-codec" for name in meant(argument.value)}
    added: dict[str, None] = {}
    for argument in arguments:
        if argument.name == "--add-codec":
            for name in meant(argument.value):
                added.pop(name, None)
                added[name] = None
    return [*reversed(added), *(name for name in CODECS if name not in disabled and name not in added)]


def meant(value: str) -> list[str]:
    """Ours among the codecs that this means to pjsua: the beginning of an id such as `opus/48000/2`."""
    ids = {"opus": "opus/48000/2", "G722": "g722/16000/1", "PCMA": "pcma/8000/1", "PCMU": "pcmu/8000/1"}
    wanted = value.lower()
    return [name for name, codec in ids.items() if wanted in _ALL or (wanted and codec.startswith(wanted))]


def account_fate(argument: Argument, arguments: Sequence[Argument]) -> Fate | None:
    """What becomes of an option where `sip.account` cannot be what all of them say; None where it is the usual."""
    if argument.name not in _ACCOUNT_OPTIONS:
        return None
    names = {one.name for one in arguments if not (one.name == "--id" and _is_nobodys(one.value))}
    if "--next-account" in names:
        return _ONE_ACCOUNT
    registers = {"--id", *_LOGIN_OPTIONS} <= names
    return _NO_LOGIN if argument.name in _LOGIN_OPTIONS and not registers else None


def turn_fate(argument: Argument, arguments: Sequence[Argument]) -> Fate | None:
    """What becomes of an option of TURN that pjsua would pass over; None where it is the usual."""
    used = {"--use-turn", "--use-ice"} <= {one.name for one in arguments}
    return _TURN_OFF if argument.name in _TURN_OPTIONS and not used else None


def codec_fate(argument: Argument) -> Fate:
    """What becomes of one --add-codec or --dis-codec."""
    adds = argument.name == "--add-codec"
    if meant(argument.value):
        return OPTIONS[argument.name].fate
    video = argument.value.lower().startswith("h264")
    if adds:
        return NotNeeded("pictures are H.264") if video else NoCounterpart(f"the gateway has {', '.join(CODECS)}")
    return NoCounterpart("pictures are H.264") if video else NotNeeded("the gateway does not have it")
