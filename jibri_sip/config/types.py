"""The kinds of values that settings are made of, and what makes one valid."""

import re
import stat
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

_SECRET_BYTES = 64 * 1024


class Section(BaseModel):
    """A table of the configuration: frozen, strict about types, and unknown keys are errors."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, validate_default=True, hide_input_in_errors=True
    )


def one_of(section: Section, *names: str) -> None:
    """Raise ValueError when more than one of the settings is given."""
    given = [name for name in names if getattr(section, name) is not None]
    if len(given) > 1:
        raise ValueError(f"give {' or '.join(given)}, not both")


def _read_secret(value: Any) -> SecretStr:
    """The content of the file, without the newline at its end; none but owner and group may be able to read it."""
    if isinstance(value, SecretStr):
        return value
    if not isinstance(value, str) or not value:
        raise ValueError("must be the path of a file")
    path = Path(value)
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise ValueError(f"{value} is not a plain file")
        if mode & stat.S_IRWXO:
            raise ValueError(f"{value} can be read by everyone on this machine; mend it: chmod o= {value}")
        with path.open("rb") as file:
            content = file.read(_SECRET_BYTES + 1)
        text = content.decode()
    except OSError as error:
        raise ValueError(f"{value} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{value} is not UTF-8 text") from None
    text = text.rstrip("\r\n")
    if not text or len(content) > _SECRET_BYTES:
        raise ValueError(f"{value} must hold one secret, and holds nothing or more than {_SECRET_BYTES} bytes")
    return SecretStr(text)


SecretFile = Annotated[SecretStr, BeforeValidator(_read_secret)]
"""Given as the path of a file, it holds what is in the file."""


def _regex(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"is not a regular expression: {error}") from None
    return value


Regex = Annotated[str, AfterValidator(_regex)]
"""A regular expression of Python, which must match the whole text."""


def _base_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise ValueError("must be a URL like https://meet.example.com")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user or password: use meeting.jwt_file or meeting.xmpp_login")
    if parts.query or parts.fragment:
        raise ValueError("must end before ? or #: settings for the page belong into meeting.config_overrides")
    if re.search(r"[\s\"'<>\\^`{|}]", value):
        raise ValueError("must not hold spaces, quotes or brackets")
    try:
        _ = parts.port
    except ValueError:
        raise ValueError("has a port that is not a number from 0 to 65535") from None
    return value.rstrip("/")


BaseUrl = Annotated[str, AfterValidator(_base_url)]
"""Scheme, host, perhaps port and path; without the slash at the end."""


def _tenant(value: str) -> str:
    if value and not re.fullmatch(r"[\w-]+(?:[./][\w-]+)*", value):
        raise ValueError("must be a path like `customer` or `customer/team`, without slashes around it")
    return value


Tenant = Annotated[str, AfterValidator(_tenant)]


def _callee_pattern(value: str) -> str:
    user, at, host = value.rpartition("@")
    if not at or not user or not host or "@" in user or value != value.strip() or value.startswith(("sip:", "sips:")):
        raise ValueError("must be user@host with * for anything, as in *@rooms.example.com")
    return value


CalleePattern = Annotated[str, AfterValidator(_callee_pattern)]

LenientPath = Annotated[Path, Field(strict=False)]
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=7 * 86400)]
SecondsOrNever = Annotated[float, Field(ge=0, le=7 * 86400)]
Dscp = Annotated[int, Field(ge=0, le=63)]
