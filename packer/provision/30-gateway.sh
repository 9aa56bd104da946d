#!/bin/bash
# The gateway's user and its release: /opt/jibri-sip/releases/NAME holds the venv and, beside it, PJSIP and the units;
# /opt/jibri-sip/current is the one that instances are started with. 80-release.sh sees to that.
set -euo pipefail

install -D -m 0644 "$JIBRI_SIP_PACKER/rootfs/usr/lib/sysusers.d/jibri-sip.conf" /usr/lib/sysusers.d/jibri-sip.conf
systemd-sysusers jibri-sip.conf
install -d -o root -g jibri-sip -m 0750 /etc/jibri-sip
install -d -o jibri-sip -g jibri-sip -m 0750 /var/lib/jibri-sip

release=$(cat "$JIBRI_SIP_PAYLOAD/release")
home=/opt/jibri-sip/releases/$release
if [ ! -e "$home/complete" ]; then
  rm -rf "$home"
  install -d /opt/jibri-sip/releases "$home"
  cp -r "$JIBRI_SIP_PAYLOAD/pjproject" "$JIBRI_SIP_PAYLOAD/jibri" "$JIBRI_SIP_PACKER/rootfs" "$home/"
  /usr/bin/python3 -m venv "$home/venv"
  # Isolated: neither the index nor the settings of the machine have a say in what is installed.
  "$home/venv/bin/python" -m pip --isolated --disable-pip-version-check install --quiet --root-user-action ignore \
    --no-index --no-deps --find-links "$JIBRI_SIP_PAYLOAD/wheels" \
    --require-hashes --requirement "$JIBRI_SIP_PAYLOAD/requirements.txt"
  site=$("$home/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  realpath --relative-to "$site" "$home/pjproject/python" >"$site/pjsua2.pth"
  "$home/venv/bin/python" -c 'import pjsua2, jibri_sip.app'
  chown -R root:root "$home"
  chmod -R go-w "$home"
  touch "$home/complete"
fi
if [ ! -e /opt/jibri-sip/current ]; then ln -sfn "releases/$release" /opt/jibri-sip/current; fi
ln -sfn /opt/jibri-sip/current/venv/bin/jibri-sip /usr/local/bin/jibri-sip
# The autoscaler's side looks for the scripts where Jibri's package has them. Where there is a Jibri, they are its own.
if [ ! -e /opt/jitsi/jibri ] && [ ! -L /opt/jitsi/jibri ]; then
  install -d /opt/jitsi
  ln -s /opt/jibri-sip/current/jibri /opt/jitsi/jibri
fi
