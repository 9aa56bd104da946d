"""A Prosody (Debian's) with accounts and a brewery, as the authentication domain of a Jitsi deployment has them."""

import asyncio
import contextlib
import datetime as dt
import secrets
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from jibri_sip.clock import utc_now
from tests.meeting.prosody import lua_string
from tests.running_gateway import free_port

AUTH_DOMAIN = "auth.brewery.test"
BREWERY_DOMAIN = "internal.auth.brewery.test"
BREWERY = "sipbrewery"
_START_S = 15
_STOP_S = 5

_CONFIG = """\
data_path = {data}
pidfile = {pid}
run_as_root = true
log = {{ debug = {log} }}
storage = "internal"
modules_enabled = {{ "disco"; "saslauth"; "tls"; "ping"; "smacks"; "presence"; "message"; "iq" }}
modules_disabled = {{ "s2s"; "s2s_auth_certs"; "offline" }}
c2s_ports = {{ {port} }}
c2s_interfaces = {{ "127.0.0.1" }}
s2s_ports = {{ }}
http_ports = {{ }}
https_ports = {{ }}
c2s_require_encryption = {encryption}
smacks_hibernation_time = {hibernation}

VirtualHost "{auth}"
    authentication = "internal_plain"
    ssl = {{ certificate = {certificate}; key = {key} }}

Component "{muc}" "muc"
    muc_room_locking = false
    muc_room_default_public_jids = {public_jids}
"""


class BreweryServer:
    """One Prosody; an async context manager. It keeps its port and its accounts when it is started anew.

    Args:
        directory: for everything that it writes.
        accounts: users and passwords.
        encrypted: whether clients must use TLS.
        hibernation_s: how long a stream can be resumed (XEP-0198).
        public_jids: whether everybody in a new room sees who the others are; else only who may configure it.
    """

    def __init__(
        self,
        directory: Path,
        accounts: Mapping[str, str],
        *,
        encrypted: bool = True,
        hibernation_s: int = 60,
        public_jids: bool = True,
    ) -> None:
        self.port = free_port()
        self.authority = directory / "ca.pem"
        self._directory = directory
        self._accounts = accounts
        self._encrypted = encrypted
        self._hibernation_s = hibernation_s
        self._public_jids = public_jids
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        """Start."""
        self._write()
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        await self.stop()

    def environment(self, user: str, nickname: str, port: int = 0, **more: Any) -> dict[str, Any]:
        """An `[[xmpp]]` table of a gateway's configuration.

        Args:
            user: its account.
            nickname: its name in the brewery, and of the environment.
            port: of a wire that leads here; by default our own.
            more: the deployment's domain, and whatever else.
        """
        return {
            "name": nickname,
            "hosts": [f"127.0.0.1:{port or self.port}"],
            "strip_from_room_domain": "conference.",
            "ca_file": str(self.authority),
            "control_login": {"domain": AUTH_DOMAIN, "username": user, "password": self._accounts[user]},
            # Addresses are compared without regard to case (RFC 7622 section 3.2.1).
            "control_muc": {"domain": BREWERY_DOMAIN.title(), "room": BREWERY.upper(), "nickname": nickname},
            **more,
        }

    def _write(self) -> None:
        write_certificate(AUTH_DOMAIN, self.authority, self._directory / "key.pem")
        accounts = self._directory / "data" / AUTH_DOMAIN.replace(".", "%2e") / "accounts"
        accounts.mkdir(parents=True)
        for user, password in self._accounts.items():
            path = accounts / f"{user.replace('-', '%2d')}.dat"
            path.touch(mode=0o600)
            path.write_text(f'return {{ ["password"] = {lua_string(password)} }};\n')
        text = _CONFIG.format(
            data=lua_string(str(self._directory / "data")),
            pid=lua_string(str(self._directory / "prosody.pid")),
            log=lua_string(str(self._directory / "prosody.log")),
            port=self.port,
            encryption=str(self._encrypted).lower(),
            hibernation=self._hibernation_s,
            public_jids=str(self._public_jids).lower(),
            auth=AUTH_DOMAIN,
            muc=BREWERY_DOMAIN,
            certificate=lua_string(str(self.authority)),
            key=lua_string(str(self._directory / "key.pem")),
        )
        (self._directory / "prosody.cfg.lua").write_text(text)

    async def start(self) -> None:
        """Start the process; clients can connect on return.

        Raises:
            RuntimeError: it ended at once, or did not get ready.
        """
        with (self._directory / "prosody.out").open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *("setpriv", "--pdeathsig", "KILL", "prosody", "--config", "prosody.cfg.lua", "-F"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._directory,
            )
        async with asyncio.timeout(_START_S):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                    writer.close()
                    return
                if self._process.returncode is not None:
                    raise RuntimeError((self._directory / "prosody.out").read_text()[-2000:])
                await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """End the process as its operator would: streams are closed properly."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()

    async def kill(self) -> None:
        """End the process without a word to anybody."""
        assert self._process is not None
        self._process.kill()
        await self._process.wait()
        self._process = None


def write_certificate(name: str, certificate_file: Path, key_file: Path) -> None:
    """A certificate that is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = utc_now()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(secrets.randbits(64))
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=7))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.touch(mode=0o600)
    pem = serialization.PrivateFormat.PKCS8
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, pem, serialization.NoEncryption()))
