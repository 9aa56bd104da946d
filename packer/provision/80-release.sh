#!/bin/bash
# The release of 30-gateway.sh is the one to be started from now on; what runs is started anew when it carries no call.
set -euo pipefail

release=$(cat "$JIBRI_SIP_PAYLOAD/release")
"/opt/jibri-sip/releases/$release/rootfs/usr/lib/jibri-sip/release" activate "$release"

if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
systemctl --quiet enable jibri-sip.target jibri-sip-machine.service jibri-sip-banner.service
[ ! -e /usr/lib/systemd/system/systemd-timesyncd.service ] || systemctl --quiet enable systemd-timesyncd.service
if [ "$JIBRI_SIP_KIND" = image ]; then
  # On a server, the firewall is its administrator's: the rules lie ready there (jibri-sip-firewall.service).
  systemctl --quiet enable jibri-sip-firewall.service jibri-sip-first-boot.service jibri-sip-host-keys.service
fi
