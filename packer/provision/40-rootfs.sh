#!/bin/bash
# Units, kernel settings, firewall, banner: what is in packer/rootfs, where it belongs. Files of an administrator
# in /etc are never touched: what is ours lies in /usr/lib and /opt, and the machine's settings in /etc/jibri-sip.
set -euo pipefail

release=$(cat "$JIBRI_SIP_PAYLOAD/release")
# Where another release runs its units stay until 80-release.sh, with which they can be gone back to.
if [ "$(readlink /opt/jibri-sip/current)" = "releases/$release" ]; then
  "/opt/jibri-sip/releases/$release/rootfs/usr/lib/jibri-sip/release" lay "$release"
fi
if [ ! -e /etc/jibri-sip/machine.conf ]; then
  install -m 0644 /usr/share/jibri-sip/machine.conf /etc/jibri-sip/machine.conf
fi
if [ "$JIBRI_SIP_KIND" = image ]; then
  cp -r --no-preserve=ownership,timestamps "$JIBRI_SIP_PACKER/rootfs-image/." /
fi
systemd-tmpfiles --create jibri-sip.conf || [ "$JIBRI_SIP_KIND" = image ]
