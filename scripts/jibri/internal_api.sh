#!/bin/bash
# Sourced by its neighbours: how to ask the gateway's internal API.
#
# The port is that of JIBRI_SIP__JIBRI__INTERNAL_PORT, else of the configuration (JIBRI_SIP_CONFIG, else
# /etc/jibri-sip/jibri-sip.toml), else 3333.

internal_port() {
  if [ -n "${JIBRI_SIP__JIBRI__INTERNAL_PORT:-}" ]; then
    echo "$JIBRI_SIP__JIBRI__INTERNAL_PORT"
    return
  fi
  python3 - "${JIBRI_SIP_CONFIG:-/etc/jibri-sip/jibri-sip.toml}" <<'PYTHON'
import os, sys, tomllib
try:
    with open(sys.argv[1], "rb") as file:
        settings = tomllib.load(file)
except FileNotFoundError:
    settings = {}
number = os.environ.get("JIBRI_SIP__INSTANCE__NUMBER") or settings.get("instance", {}).get("number", 1)
print(settings.get("jibri", {}).get("internal_port", 3332 + int(number)))
PYTHON
}

# internal_api METHOD PATH [SECONDS]: prints what the gateway answers; fails when it does not answer 2xx.
internal_api() {
  local port
  port=$(internal_port) || return
  curl --silent --show-error --fail --noproxy '*' --max-time "${3:-30}" --request "$1" "http://127.0.0.1:$port$2"
}
