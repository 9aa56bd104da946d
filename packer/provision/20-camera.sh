#!/bin/bash
# The kernel module v4l2loopback, for every kernel of this machine (not only for the running one: in a chroot that
# is the building machine's).
set -euo pipefail

if ! dpkg-query --show --showformat '${db:Status-Status}\n' v4l2loopback-dkms 2>/dev/null | grep -qx installed; then
  echo "20-camera: the kernel $(uname -r) is none that v4l2loopback can be built for (a container's, or without video): the" \
    "camera will be PipeWire's. With Debian's linux-image-$(dpkg --print-architecture) it would be v4l2loopback's"
  exit 0
fi
version=$(dpkg-query --show --showformat '${source:Upstream-Version}' v4l2loopback-dkms)
built=0
for modules in /lib/modules/*; do
  kernel=$(basename "$modules")
  [ -d "$modules/build" ] || continue
  dkms install --quiet -m v4l2loopback -v "$version" -k "$kernel"
  modinfo -k "$kernel" v4l2loopback >/dev/null
  built=$((built + 1))
done
if [ "$JIBRI_SIP_KIND" = image ]; then
  [ "$built" != 0 ] || { echo "20-camera: no kernel with headers was found" >&2; exit 1; }
elif ! modinfo -k "$(uname -r)" v4l2loopback >/dev/null 2>&1; then
  # The headers are those of Debian's newest kernel.
  echo "20-camera: the kernel that runs, $(uname -r), is older than Debian's headers, so it has no v4l2loopback: the camera will be" \
    "PipeWire's until 'apt-get dist-upgrade' and a restart of the machine"
fi
