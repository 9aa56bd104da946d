#!/bin/bash
# Nothing of the machine or the run that built an image stays in it. Not on a server.
set -euo pipefail
[ "$JIBRI_SIP_KIND" = image ] || exit 0

if [ -d /run/systemd/system ]; then
  # In a machine that runs, what is removed is not to come back while it shuts down.
  journalctl --relinquish-var
  systemctl stop systemd-random-seed.service
fi
apt-get -q -y clean
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/debconf/*-old /var/lib/dpkg/*-old
rm -f /etc/ssh/ssh_host_* /root/.ssh/authorized_keys /root/.bash_history /var/lib/systemd/random-seed
rm -rf /var/lib/cloud /var/lib/dhcp/* /var/lib/systemd/timers/* /var/tmp/* /root/.cache
find /var/log -type f -delete
rm -rf /var/log/journal/*
# The key that signs modules is to be each machine's own, and the modules' logs name the building kernel.
rm -f /var/lib/dkms/mok.key /var/lib/dkms/mok.pub
rm -rf /var/lib/dkms/*/*/*/*/log
# Empty, not missing: the next boot is a first one.
: >/etc/machine-id
rm -f /var/lib/dbus/machine-id
ln -sf /run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
