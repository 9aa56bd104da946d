"""Why a TLS server's certificate was refused, in words; PJSIP's calls only say that it was (RFC 5922)."""

import re
import ssl
from pathlib import Path

import pjsua2 as pj
import structlog

log = structlog.get_logger(__name__)

_DEBIAN_AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
"""Of Debian's package ca-certificates."""

_TO_SIPS = re.compile(r"\S+ sips:", re.IGNORECASE)
_REFUSED = "PJSIP_TLS_ECERTVERIF"
_FAULTS = {
    pj.PJ_SSL_CERT_EISSUER_NOT_FOUND: "no authority that we trust has issued it",
    pj.PJ_SSL_CERT_EUNTRUSTED: "no authority that we trust has issued it",
    pj.PJ_SSL_CERT_EVALIDITY_PERIOD: "it has expired, or is not valid yet",
    pj.PJ_SSL_CERT_EREVOKED: "it was revoked",
    pj.PJ_SSL_CERT_ECHAIN_TOO_LONG: "too many authorities lie between it and one that we trust",
    pj.PJ_SSL_CERT_EIDENTITY_NOT_MATCH: "it is not for the name that was called",
}


def system_authorities() -> Path:
    """Whom this machine trusts: OpenSSL's file, which SSL_CERT_FILE names, or Debian's."""
    return Path(ssl.get_default_verify_paths().cafile or _DEBIAN_AUTHORITIES)


class Stack(pj.Endpoint):
    """PJSIP, which remembers what was wrong with the last certificate refused.

    Attributes:
        secure_account: number of the account that takes calls to `sips:`; None for no such calls.
        ipv6_account: number of the account that takes calls by IPv6, where IPv4 is spoken too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.secure_account: int | None = None
        self.ipv6_account: int | None = None
        self._refusal = ""

    def onTransportState(self, prm: pj.OnTransportStateParam) -> None:  # noqa: N802  (PJSIP's name)
        """A connection came about, or ended."""
        try:
            info = prm.tlsInfo
            if prm.state == pj.PJSIP_TP_STATE_DISCONNECTED and not info.isEmpty() and info.verifyStatus:
                self._refusal = f"{info.remoteAddr} ({info.remoteCertInfo.subjectCn}): {faults(info.verifyStatus)}"
                log.warning("tls_certificate_refused", reason=self._refusal)
        except Exception:
            log.exception("transport_callback_failed")

    def onSelectAccount(self, prm: pj.OnSelectAccountParam) -> None:  # noqa: N802
        """A request came in."""
        if self.secure_account is not None and _TO_SIPS.match(prm.rdata.wholeMsg):
            prm.accountIndex = self.secure_account
        if self.ipv6_account is not None and prm.rdata.srcAddress.startswith("["):
            prm.accountIndex = self.ipv6_account

    def certificate_refused(self, reason: str) -> str:
        """What was wrong with the certificate of a peer, if this is how its call ended; else nothing.

        Args:
            reason: the phrase that PJSIP ended the call with.
        """
        return self._refusal if _REFUSED in reason else ""


def faults(status: int) -> str:
    """The flags of PJSIP's verification (`pj_ssl_cert_verify_flag_t`) in words."""
    words = dict.fromkeys(text for flag, text in _FAULTS.items() if status & flag)
    return "; ".join(words) or f"its verification failed ({status:#x})"
