"""Where the page library of the embedded meeting is."""

import subprocess
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "scripts" / "fetch-lib-jitsi-meet"


def library_directory() -> Path:
    """The directory that `scripts/fetch-lib-jitsi-meet` prints; fetched if it is missing."""
    return Path(subprocess.run([SCRIPT], check=True, stdout=subprocess.PIPE, text=True).stdout.strip())
