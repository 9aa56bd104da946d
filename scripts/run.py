"""`make run`: the gateway against your Jitsi Meet, or with an embedded meeting where no configuration is given."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from jibri_sip import app
from jibri_sip.config import find_file, load
from jibri_sip.errors import GatewayError
from jibri_sip.log import configure
from tests.library import library_directory
from tests.meeting import EmbeddedMeeting

BASE_URL = "JIBRI_SIP__MEETING__BASE_URL"


def main() -> int:
    """Run until Ctrl-C; the exit status."""
    parser = argparse.ArgumentParser(prog="make run", description=__doc__)
    parser.add_argument("--config", type=Path, help="TOML file; without one an embedded meeting is started")
    file = find_file(parser.parse_args().config, os.environ)
    if file is not None or BASE_URL in os.environ:
        command = [sys.executable, "-m", "jibri_sip", "run", *(("--config", str(file)) if file else ())]
        os.execv(sys.executable, command)  # noqa: S606  (no shell is wanted)
    return asyncio.run(_with_embedded_meeting())


async def _with_embedded_meeting() -> int:
    async with EmbeddedMeeting(None, library_directory()) as meeting:
        os.environ[BASE_URL] = meeting.base_url
        settings = load(None, os.environ)
        configure(settings.log.format, settings.log.level)
        sip = f"{settings.sip.host}:{settings.sip.port}"
        print(
            f"\n"
            f"Dial           sip:demo@{sip}   any name is a room; sip:echo@{sip} is a test call\n"
            f"See the room   {meeting.base_url}/demo   in a browser on this machine\n"
            f"Ask            scripts/jibri-sip status\n"
            f"Stop           Ctrl-C\n",
            flush=True,
        )
        try:
            await app.serve_until_stopped(settings)
        except GatewayError as error:
            print(f"{error.message}. {error.remedy}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
