#!/bin/bash
# Units, kernel settings, firewall, banner: what is in packer/rootfs, where it belongs. Files of an administrator
# in /etc are never touched: what is ours lies in /usr/lib and /opt, and the machine's settings in /etc/jibri-sip.
set -euo pipefail

cp -r --no-preserve=ownership,timestamps "$JIBRI_SIP_PACKER/rootfs/." /
# What scripts/install --uninstall takes away.
(cd "$JIBRI_SIP_PACKER/rootfs" && find . ! -type d | sed 's,^\.,,' | sort) >/usr/share/jibri-sip/files.txt
if [ ! -e /etc/jibri-sip/machine.conf ]; then
  install -m 0644 /usr/share/jibri-sip/machine.conf /etc/jibri-sip/machine.conf
fi
if [ "$JIBRI_SIP_KIND" = image ]; then
  cp -r --no-preserve=ownership,timestamps "$JIBRI_SIP_PACKER/rootfs-image/." /
fi
systemd-tmpfiles --create jibri-sip.conf || [ "$JIBRI_SIP_KIND" = image ]

if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
systemctl --quiet enable jibri-sip.target jibri-sip-machine.service jibri-sip-banner.service
[ ! -e /usr/lib/systemd/system/systemd-timesyncd.service ] || systemctl --quiet enable systemd-timesyncd.service
if [ "$JIBRI_SIP_KIND" = image ]; then
  # On a server, the firewall is its administrator's: the rules lie ready there (jibri-sip-firewall.service).
  systemctl --quiet enable jibri-sip-firewall.service jibri-sip-first-boot.service jibri-sip-host-keys.service
fi
