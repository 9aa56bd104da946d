#!/bin/bash
# End the gateway for good, but let its session end by itself first; returns when it has gone.
#
# Usage: wait_graceful_shutdown.sh [-t SECONDS] [-w SECONDS] [-s]
#   -t  how long to wait for an answer (30)
#   -w  how long the session may go on; it is ended then (21600, six hours)
#   -s  print nothing but errors
#
# Exit status: 0 the gateway has gone; 1 it could not be told, or did not go.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR
source "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/internal_api.sh"

answer_s=30
session_s=21600
poll_s=10
gone_s=60
say() { echo "$@"; }
while getopts t:w:s option; do
  case $option in
    t) answer_s=$OPTARG ;;
    w) session_s=$OPTARG ;;
    s) say() { :; } ;;
    *) exit 1 ;;
  esac
done

# It has gone when nobody listens any more (curl's exit status 7), not when an answer takes too long.
is_there() {
  local status=0
  internal_api GET /jibri/api/v1.0/health "$answer_s" >/dev/null 2>&1 || status=$?
  [ "$status" != 7 ]
}

if ! "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/graceful_shutdown.sh"; then
  echo "the gateway could not be told to shut down" >&2
  exit 1
fi
say "graceful shutdown begun"
began=$SECONDS
stopped=
while is_there; do
  waited=$((SECONDS - began))
  if [ -z "$stopped" ] && [ "$waited" -ge "$session_s" ]; then
    say "waited $waited s, ending the session"
    # It may be gone before it has answered.
    internal_api POST /jibri/api/v1.0/stopService 3600 || true
    stopped=$SECONDS
    poll_s=1
  elif [ -n "$stopped" ] && [ $((SECONDS - stopped)) -ge "$gone_s" ]; then
    echo "the gateway is still there $gone_s s after its session was ended" >&2
    exit 1
  else
    say "a session goes on"
    sleep "$((session_s - waited > 0 && session_s - waited < poll_s ? session_s - waited : poll_s))"
  fi
done
say "the gateway has shut down"
