"""Certificates of our own, for SIP and for the API: they end one day."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509

from jibri_sip.clock import utc_now
from jibri_sip.config.model import Settings
from jibri_sip.doctor.finding import Finding, Patient, ok, warning, wrong

_CHECK = "certificates"
SOON = dt.timedelta(days=14)
_REMEDY = "Renew it and start the gateway anew."


async def examine(patient: Patient) -> list[Finding]:
    """They are valid, and for some time yet."""
    now = utc_now()
    return [_judge(name, path, now) for name, path in _own(patient.settings)]


def _own(settings: Settings) -> Iterator[tuple[str, Path]]:
    for name, path in (
        ("sip.tls", settings.sip.tls.certificate_file),
        ("api.tls", settings.api.tls.certificate_file),
    ):
        if path is not None:
            yield name, path


def _judge(name: str, path: Path, now: dt.datetime) -> Finding:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as error:
        return wrong(_CHECK, f"{name}: {path} is no certificate: {error}", "Give a PEM file, our certificate first.")
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now < begins:
        return wrong(_CHECK, f"{name}: {path} is not valid before {begins:%Y-%m-%d}", "See whether the clock is right.")
    if now > ends:
        return wrong(_CHECK, f"{name}: {path} has ended on {ends:%Y-%m-%d}; peers refuse it", _REMEDY)
    if now > ends - SOON:
        return warning(_CHECK, f"{name}: {path} ends on {ends:%Y-%m-%d}", _REMEDY)
    return ok(_CHECK, f"{name}: valid until {ends:%Y-%m-%d}")
