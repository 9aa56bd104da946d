#!/bin/bash
# What makes an image a machine: name, disks, network, apt sources, log in. Not on a server that has an administrator.
set -euo pipefail
[ "$JIBRI_SIP_KIND" = image ] || exit 0

# shellcheck source=/dev/null
. /etc/os-release
echo jibri-sip >/etc/hostname
printf '127.0.0.1 localhost jibri-sip\n::1 localhost ip6-localhost ip6-loopback jibri-sip\n' >/etc/hosts
# The disk that scripts/make-disk makes. A machine that runs (Packer's) has one of somebody else's, and an fstab that fits it.
if [ ! -d /run/systemd/system ]; then
  # The ESP may hold the set-up: a machine without hardware virtualization that is busy needs minutes to find its disks.
  cat >/etc/fstab <<'FSTAB'
LABEL=root  /          ext4  defaults,noatime,errors=remount-ro,x-systemd.growfs  0 1
LABEL=ESP   /boot/efi  vfat  umask=0077,nofail,x-systemd.device-timeout=300                               0 2
FSTAB
fi
install -d /boot/efi
# Debian's cloud image has netplan make files for systemd-networkd that would go before ours, and cloud-init has left one
# there for the network card of the machine that built this.
rm -f /etc/netplan/*.yaml
# The distribution's own mirrors, as its package of apt names them, whatever built this.
examples=/usr/share/doc/apt/examples
rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
if [ -r "$examples/debian.sources" ]; then
  sed -e '/^#/d' -e 's/^Components:.*/Components: main/' "$examples/debian.sources"
else
  awk '$1 == "deb" { printf "Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n\n", $2, $3,
    "/usr/share/keyrings/debian-archive-keyring.gpg" }' "$examples/sources.list"
fi >/etc/apt/sources.list.d/debian.sources
grep -q '^URIs:' /etc/apt/sources.list.d/debian.sources || {
  echo "60-machine: $examples does not say where Debian's packages are" >&2
  exit 1
}
rm -f /etc/apt/apt.conf.d/99mmdebstrap /etc/apt/apt.conf.d/*proxy*
systemctl --quiet enable systemd-networkd.service systemd-resolved.service ssh.service
systemctl --quiet mask e2scrub_reap.service
# Nobody can log in until a key is given (cloud-init, or the set-up file).
passwd --quiet --lock root
