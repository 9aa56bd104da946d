#!/bin/bash
# Tell the gateway to take no more sessions and to end for good (exit code 255) when it is idle. Returns at once.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/internal_api.sh"

internal_api POST /jibri/api/internal/v1.0/gracefulShutdown
