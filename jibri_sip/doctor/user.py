"""As whom the gateway would run."""

import os
import pwd

from jibri_sip.doctor.finding import Finding, Patient, ok, wrong

_CHECK = "user"


async def examine(_patient: Patient) -> list[Finding]:
    """Not as root: neither Chromium's sandbox nor PulseAudio has it."""
    if os.geteuid() == 0:
        return [
            wrong(
                _CHECK,
                "examined as root, as which neither browser nor sound server run",
                "Run it as the service's user: runuser -u jibri-sip -- jibri-sip doctor.",
            )
        ]
    return [ok(_CHECK, f"examined as {_name(os.geteuid())}")]


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
