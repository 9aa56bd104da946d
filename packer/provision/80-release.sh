#!/bin/bash
# The release of 30-gateway.sh is the one to be started from now on; what runs is started anew when it carries no call.
set -euo pipefail

/usr/lib/jibri-sip/release activate "$(cat "$JIBRI_SIP_PAYLOAD/release")"
