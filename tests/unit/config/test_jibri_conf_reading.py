"""HOCON as Jibri reads it, and files that are not what they should be."""

import os
import resource
import signal
import stat
import tempfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jibri_sip.config.jibri_conf.reading import LARGEST_BYTES, MOST_FILES, Read, read_jibri_conf
from jibri_sip.config.load import ConfigProblems
from jibri_sip.errors import FileUnreadable


def read(tmp_path: Path, text: str, **environment: str) -> Read:
    """The text, read as a jibri.conf."""
    file = tmp_path / "jibri.conf"
    file.write_text(text, encoding="utf-8")
    return read_jibri_conf(file, environment)


def values(found: Read) -> dict[str, object]:
    """Values by key."""
    return {leaf.name: leaf.value for leaf in found.leaves}


def refused(tmp_path: Path, text: str) -> str:
    """Why the text is refused."""
    with pytest.raises(ConfigProblems) as caught:
        read(tmp_path, text)
    return str(caught.value)


def test_the_parser_is_the_one_meant() -> None:
    """Two distributions have a module of this name; the other one reads other HOCON."""
    assert packages_distributions()["hocon"] == ["hocon-parser"]


def test_syntax(tmp_path: Path) -> None:
    """Comments, quotes, unquoted text, dotted keys, merging, appending, both signs."""
    text = """
        # comment
        a.b = 1 // comment
        a { c : two words, "d.e" = "x" }
        a.c = later
        list = [ 1
          2 ]
        list += three
        port = "5222"
        digits = 0042
        flag = on
        empty = null
    """
    assert values(read(tmp_path, text)) == {
        "a.b": "1",
        "a.c": "later",
        'a."d.e"': "x",
        "list": ("1", "2", "three"),
        "port": "5222",
        "digits": "0042",
        "flag": "on",
        "empty": None,
    }


def test_substitutions(tmp_path: Path) -> None:
    """From the file, from Jibri's defaults, from the environment; an optional one may find nothing."""
    text = """
        domain = example.com
        host = meet.${domain}
        port = ${jibri.api.http.external-api-port}
        secret = ${SET_OUTSIDE}
        kept = default
        kept = ${?NOBODY}
        gone = ${?NOBODY}
        command = ${jibri.ffmpeg.ffmpeg} [ -y ]
    """
    found = values(read(tmp_path, text, SET_OUTSIDE="from the environment"))
    assert found == {
        "domain": "example.com",
        "host": "meet.example.com",
        "port": "2222",
        "secret": "from the environment",
        "kept": "default",
        "command": ("-y",),
    }


def test_jibris_defaults_are_not_the_files(tmp_path: Path) -> None:
    """What substitutions may find does not appear among the file's keys."""
    assert values(read(tmp_path, "jibri.stats.host = ${jibri.sip.outbound-prefix}")) == {"jibri.stats.host": "out_"}


def test_includes(tmp_path: Path) -> None:
    """Relative to the file that includes, absolute, in a table, without the ending, and one of a file below."""
    below = tmp_path / "below"
    below.mkdir()
    (below / "one.conf").write_text('one = 1, include "two.conf"', encoding="utf-8")
    (below / "two.conf").write_text("two = 2", encoding="utf-8")
    (tmp_path / "three.json").write_text('{"three": 3}', encoding="utf-8")
    (tmp_path / "four.conf").write_text("four = 4", encoding="utf-8")
    text = f"""
        include "below/one.conf"
        include "three"
        table {{ include "{tmp_path}/four.conf" }}
        include "absent"
        include file("/nowhere/absent.conf")
    """
    found = read(tmp_path, text)
    assert values(found) == {"one": "1", "two": "2", "three": "3", "table.four": "4"}
    assert {path.name for path in found.missing} == {"absent.conf", "absent.json", "absent.properties"}
    assert Path("/nowhere/absent.conf") in found.missing


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        ("a = 1\nb = ${no.such}\n", ":2:5", "${no.such}"),
        ("a = ${b}\nb = ${a}\n", ":1:5", "circular"),
        ("a {\n  b = 1\n", ":3:1", "expected }"),
        ('a = "x\n', ":1:5", "unterminated"),
        ("a = [ 1, 2\nb = 3", ":2", "]"),
        ('include url("http://example.com/x.conf")', ":1", "only local files"),
        ('include classpath("reference.conf")', ":1", "not supported"),
        ('include required("absent.conf")', "jibri.conf", "not found"),
        ('include package("a", "b")', "jibri.conf", "not found"),
        ("[ 1 ]", ":1", "list"),
        ("a = {} [ 1 ]", "jibri.conf", "concatenate"),
    ],
)
def test_what_is_no_hocon(tmp_path: Path, text: str, place: str, what: str) -> None:
    """It is refused with file, line and column, and what is wrong."""
    message = refused(tmp_path, text)
    assert f"{tmp_path}/jibri.conf" in message or "circular" in message
    assert place in message
    assert what in message


def test_mistakes_in_an_included_file(tmp_path: Path) -> None:
    """Syntax and open substitutions are told with the file that has them."""
    (tmp_path / "xmpp.conf").write_text("ok = 1\nbad = {\n", encoding="utf-8")
    assert f"{tmp_path}/xmpp.conf:3:1" in refused(tmp_path, 'include "xmpp.conf"')
    (tmp_path / "xmpp.conf").write_text("\n\nbad = ${no.such}\n", encoding="utf-8")
    assert f"{tmp_path}/xmpp.conf:3:7" in refused(tmp_path, 'include "xmpp.conf"')


def test_a_password_without_its_quote_is_not_told(tmp_path: Path) -> None:
    """The parser's messages may hold what it stumbled over."""
    for text in (
        'password = canary"\n',
        'password = "canary\n',
        "{ a = 1 } canary",
        "password = can@ary$x",
        "[1] canary",
    ):
        with pytest.raises(ConfigProblems) as caught:
            read(tmp_path, text)
        assert "canary" not in str(caught.value)


def test_include_loops(tmp_path: Path) -> None:
    """A file that includes itself, two that include each other, and many that include more have an end."""
    assert "circular include" in refused(tmp_path, 'include "jibri.conf"')
    (tmp_path / "other.conf").write_text('include "jibri.conf"', encoding="utf-8")
    assert "circular include" in refused(tmp_path, 'include "other.conf"')
    for number in range(20):
        following = f'include "n{number + 1}.conf"\n'
        (tmp_path / f"n{number}.conf").write_text(f"a {{ {following} }} \n b {{ {following} }}", encoding="utf-8")
    assert f"after {MOST_FILES} others" in refused(tmp_path, 'include "n0.conf"')


@pytest.mark.parametrize("text", ["a { " * 3000, "a = " + "[" * 3000, "a { " * 100 + "b = 1" + " }" * 100])
def test_deep_nesting(tmp_path: Path, text: str) -> None:
    """Too deep is refused; deep is read or refused, and nothing else happens."""
    try:
        found = str(len(read(tmp_path, text).leaves))
    except ConfigProblems as problems:
        found = str(problems)
    assert found == "1" or "nested too deeply" in found


def test_files_that_are_none(tmp_path: Path) -> None:
    """Too big, binary, not UTF-8, a directory, a pipe, a device: refused at once, included or not."""
    file = tmp_path / "odd.conf"
    pipe = tmp_path / "pipe.conf"
    os.mkfifo(pipe)
    cases: list[tuple[bytes | Path, str]] = [
        (b"# " + b"x" * LARGEST_BYTES, "more than"),
        (b"\x7fELF\x00\x01", "odd.conf:1"),
        (b"a = 1\nb = \xff\xfe", "odd.conf:2"),
        (tmp_path, "not a plain file"),
        (pipe, "not a plain file"),
        (Path("/dev/zero"), "not a plain file"),
    ]
    for case, message in cases:
        path = case
        if isinstance(path, bytes):
            file.write_bytes(path)
            path = file
        with pytest.raises(ConfigProblems, match=message):
            read_jibri_conf(path, {})
    with pytest.raises(ConfigProblems, match="not a plain file"):
        read(tmp_path, 'include "pipe.conf"')


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    """Not there, a name that is none, not permitted: an error of its own; what an include names is not passed over."""
    for path in (tmp_path / "absent", tmp_path / ("x" * 300), Path("nul\0"), tmp_path / "absent" / "x"):
        with pytest.raises(FileUnreadable):
            read_jibri_conf(path, {})
    secret = tmp_path / "secret.conf"
    secret.write_text("a = 1", encoding="utf-8")
    secret.chmod(0)
    if not os.access(secret, os.R_OK):
        with pytest.raises(FileUnreadable, match=r"secret\.conf"):
            read(tmp_path, 'include "secret.conf"')
    assert stat.S_IMODE(secret.stat().st_mode) == 0


def test_a_byte_order_mark(tmp_path: Path) -> None:
    """As editors of other systems put it in front."""
    assert values(read(tmp_path, "\N{ZERO WIDTH NO-BREAK SPACE}a = 1")) == {"a": "1"}


_BOMBS = {
    "text": "a0 = x\n" + "".join(f"a{number + 1} = ${{a{number}}}${{a{number}}}\n" for number in range(60)),
    "tables": "a0 = {x: 1}\n"
    + "".join(f"a{number + 1} = {{l = ${{a{number}}}, r = ${{a{number}}}}}\n" for number in range(60)),
    "nothing": "".join(f"a{number + 1} = ${{?a{number}}}${{?a{number}}}\n" for number in range(60)),
}


@pytest.mark.parametrize("bomb", _BOMBS)
def test_substitutions_without_end(tmp_path: Path, bomb: str) -> None:
    """A file of 2 KiB that asks for more than all memory, or for all time, is refused; all is as before then."""
    limit = resource.getrlimit(resource.RLIMIT_AS)
    found = refused(tmp_path, _BOMBS[bomb])
    assert "too much to read" in found
    assert "substitutions" in found
    assert resource.getrlimit(resource.RLIMIT_AS) == limit
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
    assert values(read(tmp_path, "a = 1\nb = ${a}${a}")) == {"a": "1", "b": "11"}


_WORDS = st.sampled_from(
    [
        *("jibri", "a", "é", "5222", "1 hour", "null", "include ", 'include "x"', "required("),
        *("{", "}", "[", "]", "=", ":", ",", "\n", ".", '"', '"""', "$", "${", "${?", "+=", "-", "+"),
        *("#", "//", "/*", "\\", "\\u00", "\0", "\ud800"),
    ]
)


@given(st.lists(_WORDS, max_size=40).map("".join))
@settings(max_examples=400, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    """Whatever stands in the file, the outcome is one of the two."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "jibri.conf"
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            outcome: Read | ConfigProblems = read_jibri_conf(file, {})
        except ConfigProblems as problems:
            outcome = problems
        assert isinstance(outcome, Read) or str(file) in str(outcome)
