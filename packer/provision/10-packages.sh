#!/bin/bash
# Debian packages, the kernel's headers among them (v4l2loopback is compiled for each kernel).
set -euo pipefail

wanted=("linux-headers-$(dpkg --print-architecture)" systemd-timesyncd)
while read -r name where; do
  [ -z "$where" ] || [ "$where" = "$JIBRI_SIP_KIND" ] || continue
  wanted+=("$name")
done < <(grep -v '^#' "$JIBRI_SIP_PACKER/provision/packages.txt")
mapfile -t -O "${#wanted[@]}" wanted < <(grep -v '^#' "$JIBRI_SIP_PAYLOAD/libraries.txt")
# The cloud kernel has no video at all.
if [ "$JIBRI_SIP_KIND" = image ]; then wanted+=("linux-image-$(dpkg --print-architecture)"); fi

missing=()
for name in "${wanted[@]}"; do
  dpkg-query --show --showformat '${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed || missing+=("$name")
done
[ "${#missing[@]}" -gt 0 ] || exit 0
# Kamailio runs as jibri-sip-proxy.service. Debian's unit would take the SIP port at once, with an example's rules; that
# of somebody who had it before stays as it is.
case " ${missing[*]} " in *" kamailio "*) systemctl --quiet mask kamailio.service ;; esac
apt-get -q -o Acquire::Languages=none update
apt-get -q -y -o Dpkg::Use-Pty=0 install --no-install-recommends "${missing[@]}"
