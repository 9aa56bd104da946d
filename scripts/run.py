"""`make run`: the gateway against your Jitsi Meet, or with an embedded meeting where no configuration is given."""

import argparse
import asyncio
import os
import sys
from pathlib import Path

from jibri_sip import app
from jibri_sip.config import find_file, load
from jibri_sip.errors import ConfigInvalid, GatewayError
from jibri_sip.log import configure
from tests.library import library_directory
from tests.meeting import EmbeddedMeeting, MeetingError

BASE_URL = "JIBRI_SIP__MEETING__BASE_URL"
EX_CONFIG = 78
INTERRUPTED = 130


def main() -> int:
    """Run until Ctrl-C; the exit status."""
    parser = argparse.ArgumentParser(prog="make run", description=__doc__)
    parser.add_argument("--config", type=Path, help="TOML file; without one an embedded meeting is started")
    file = find_file(parser.parse_args().config, os.environ)
    if file is not None or BASE_URL in os.environ:
        command = [sys.executable, "-m", "jibri_sip", "run", *(("--config", str(file)) if file else ())]
        os.execv(sys.executable, command)  # noqa: S606  (no shell is wanted)
    try:
        asyncio.run(_with_embedded_meeting())
    except KeyboardInterrupt:
        # Before the gateway was there to take it.
        return INTERRUPTED
    except ConfigInvalid as error:
        print(error.message, file=sys.stderr)
        return EX_CONFIG
    except (GatewayError, MeetingError) as error:
        print(". ".join(filter(None, (str(error), getattr(error, "remedy", "")))), file=sys.stderr)
        return 1
    return 0


async def _with_embedded_meeting() -> None:
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
        await app.serve_until_stopped(settings)


if __name__ == "__main__":
    sys.exit(main())
