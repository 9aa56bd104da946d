#!/bin/bash
# Kernel command line, initial RAM disk for any hardware, boot menu. The boot loader itself is put onto the disk by
# whoever makes the disk. Not on a server that has an administrator.
set -euo pipefail
[ "$JIBRI_SIP_KIND" = image ] || exit 0

wanted='MODULES=most
COMPRESS=zstd'
conf=/etc/initramfs-tools/conf.d/jibri-sip
if [ "$(cat "$conf" 2>/dev/null)" != "$wanted" ]; then
  install -d "$(dirname "$conf")"
  echo "$wanted" >"$conf"
  update-initramfs -u -k all
fi
install -d /etc/default/grub.d
cat >/etc/default/grub.d/jibri-sip.cfg <<'GRUB'
GRUB_TIMEOUT=1
GRUB_RECORDFAIL_TIMEOUT=1
GRUB_CMDLINE_LINUX_DEFAULT=""
GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200 panic=10 systemd.show_status=auto"
GRUB_TERMINAL="console serial"
GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"
GRUB_DISABLE_OS_PROBER=true
GRUB

# update-grub looks at the disk, which in a chroot is the building machine's: the first menu is written by hand there. Each
# new kernel has it made anew on the machine itself.
if [ -d /run/systemd/system ]; then
  update-grub
else
  kernel=$(basename "$(find /boot -name 'vmlinuz-*' | sort -V | tail -n 1)" | cut -d- -f2-)
  install -d /boot/grub
  cat >/boot/grub/grub.cfg <<MENU
serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
set timeout=1
menuentry "jibri_sip" {
  search --no-floppy --label root --set=root
  linux /boot/vmlinuz-$kernel root=LABEL=root ro console=tty0 console=ttyS0,115200 panic=10 systemd.show_status=auto
  initrd /boot/initrd.img-$kernel
}
MENU
fi
# What a menu that update-grub makes loads.
for kind in /usr/lib/grub/*-efi /usr/lib/grub/i386-pc; do
  [ ! -d "$kind" ] || cp -r "$kind" /boot/grub/
done
