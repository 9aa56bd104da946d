#!/bin/bash
# Nothing of the machine or the run that built an image stays in it. Not on a server.
set -euo pipefail
[ "$JIBRI_SIP_KIND" = image ] || exit 0

apt-get -q -y clean
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/debconf/*-old /var/lib/dpkg/*-old
rm -f /etc/ssh/ssh_host_* /root/.ssh/authorized_keys /root/.bash_history /var/lib/systemd/random-seed
rm -rf /var/lib/cloud /var/lib/dhcp/* /var/lib/systemd/timers/* /var/tmp/* /root/.cache
find /var/log -type f -delete
rm -rf /var/log/journal/*
# Empty, not missing: the next boot is a first one.
: >/etc/machine-id
rm -f /var/lib/dbus/machine-id
ln -sf /run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
