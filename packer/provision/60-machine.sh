#!/bin/bash
# What makes an image a machine: name, disks, network, apt sources, log in. Not on a server that has an administrator.
set -euo pipefail
[ "$JIBRI_SIP_KIND" = image ] || exit 0

# shellcheck source=/dev/null
. /etc/os-release
echo jibri-sip >/etc/hostname
printf '127.0.0.1 localhost jibri-sip\n::1 localhost ip6-localhost ip6-loopback jibri-sip\n' >/etc/hosts
cat >/etc/fstab <<'FSTAB'
LABEL=root  /          ext4  defaults,noatime,errors=remount-ro,x-systemd.growfs  0 1
LABEL=ESP   /boot/efi  vfat  umask=0077,nofail,x-systemd.device-timeout=60                                 0 2
FSTAB
install -d /boot/efi
# The distribution's own mirrors, whatever built this.
rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
cat >/etc/apt/sources.list.d/debian.sources <<SOURCES
Types: deb
URIs: http://deb.debian.org/debian
Suites: $VERSION_CODENAME $VERSION_CODENAME-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://deb.debian.org/debian-security
Suites: $VERSION_CODENAME-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
rm -f /etc/apt/apt.conf.d/99mmdebstrap /etc/apt/apt.conf.d/*proxy*
systemctl --quiet enable systemd-networkd.service systemd-resolved.service ssh.service
systemctl --quiet mask e2scrub_reap.service
# Nobody can log in until a key is given (cloud-init, or the set-up file).
passwd --quiet --lock root
