#!/bin/bash
# Tell the gateway that its configuration has changed: when idle it ends with exit code 0, for systemd to start it
# anew (Restart=always, RestartPreventExitStatus=255). Returns at once.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/internal_api.sh"

internal_api POST /jibri/api/internal/v1.0/notifyConfigChanged
