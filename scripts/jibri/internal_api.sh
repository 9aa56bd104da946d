#!/bin/bash
# Sourced by its neighbours: how to ask the gateway's internal API.
#
# Address and port are those of JIBRI_SIP__JIBRI__INTERNAL_HOST and …_PORT, else of the configuration (JIBRI_SIP_CONFIG,
# else /etc/jibri-sip/jibri-sip.toml), else 127.0.0.1 and 3333.

internal_address() {
  python3 - "${JIBRI_SIP_CONFIG:-/etc/jibri-sip/jibri-sip.toml}" <<'PYTHON'
import os, sys, tomllib
try:
    with open(sys.argv[1], "rb") as file:
        settings = tomllib.load(file)
except FileNotFoundError:
    settings = {}
except (OSError, ValueError) as error:
    sys.exit(f"{sys.argv[1]}: {error}")
number = os.environ.get("JIBRI_SIP__INSTANCE__NUMBER") or settings.get("instance", {}).get("number", 1)
found = {"internal_host": "127.0.0.1", "internal_port": 3332 + int(number), **settings.get("jibri", {})}
host, port = (os.environ.get(f"JIBRI_SIP__JIBRI__{name.upper()}") or found[name] for name in ("internal_host", "internal_port"))
print(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
PYTHON
}

# internal_api METHOD PATH [SECONDS]: prints what the gateway answers; fails when it does not answer 2xx.
internal_api() {
  local address
  address=$(internal_address) || return
  curl --silent --show-error --fail --noproxy '*' --max-time "${3:-30}" --request "$1" "http://$address$2"
}
