#!/bin/bash
# Chromium and its driver: of one version, and able to start with the sandbox on. apt may only replace both at once
# (chromium-driver depends on the very version), from Debian and nowhere else.
set -euo pipefail

cat >/etc/apt/preferences.d/jibri-sip-chromium <<'PREFERENCES'
Package: chromium chromium-common chromium-driver chromium-sandbox
Pin: release o=Debian
Pin-Priority: 600

Package: chromium chromium-common chromium-driver chromium-sandbox
Pin: release *
Pin-Priority: -1
PREFERENCES
/usr/lib/jibri-sip/check-browser
