#!/bin/bash
# Debian packages, the kernel's headers among them (v4l2loopback is compiled for each kernel).
set -euo pipefail

# Whether one of them is.
installed() { { dpkg-query --show --showformat '${db:Status-Status}\n' "$@" 2>/dev/null || true; } | grep -qx installed; }

# On a server, v4l2loopback is only for a kernel of Debian's that has video: not in a container, not for the cloud kernel.
camera=yes
if [ "$JIBRI_SIP_KIND" = server ]; then
  case $(uname -r) in *-cloud-*) camera=no ;; *) installed "linux-image-$(uname -r)" || camera=no ;; esac
fi
wanted=()
[ "$camera" = no ] || wanted+=("linux-headers-$(dpkg --print-architecture)")
# Somebody keeps the time here already, perhaps.
installed chrony ntpsec openntpd || wanted+=(systemd-timesyncd)
while read -r name where; do
  case $where in
    "" | "$JIBRI_SIP_KIND") ;;
    camera) [ "$camera" = yes ] || continue ;;
    *) continue ;;
  esac
  wanted+=("$name")
done < <(grep -v '^#' "$JIBRI_SIP_PACKER/provision/packages.txt")
mapfile -t -O "${#wanted[@]}" wanted < <(grep -v '^#' "$JIBRI_SIP_PAYLOAD/libraries.txt")
if [ "$JIBRI_SIP_KIND" = image ]; then
  # The cloud kernel has no video at all.
  wanted+=("linux-image-$(dpkg --print-architecture)")
  # It lets the root partition grow; Debian 13 has it in a package of its own.
  [ -x /usr/bin/systemd-repart ] || wanted+=(systemd-repart)
fi

missing=()
for name in "${wanted[@]}"; do
  installed "$name" || missing+=("$name")
done
[ "${#missing[@]}" -gt 0 ] || exit 0
# Kamailio runs as jibri-sip-proxy.service. Debian's unit would take the SIP port at once, with an example's rules; that
# of somebody who had it before stays as it is.
case " ${missing[*]} " in *" kamailio "*) systemctl --quiet mask kamailio.service ;; esac
# A machine that has just started is often at its own upgrades: they are waited for.
lock_s=600
end=$((SECONDS + lock_s))
until said=$(LC_ALL=C apt-get -q -o Acquire::Languages=none update 2>&1); do
  [[ $said == *"Could not get lock"* && $SECONDS -lt $end ]] || { echo "$said" >&2; exit 1; }
  sleep 5
done
apt-get -q -y -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=$lock_s install --no-install-recommends "${missing[@]}"
