# The appliance as a virtual machine's disk, by Packer's QEMU builder: Debian's own cloud image, provisioned by the same
# scripts as everything else (provision/run).
#
#   current Packer:          packer init packer && packer build packer
#   Packer 1.6 (Debian 12):  packer build packer/appliance.pkr.hcl
#
# Before either: scripts/build-packer --prepare, which makes the archive, a key for this build, and prints the variables;
# scripts/build-packer alone does all of it. Only what both versions of Packer understand is used here.

variable "base_image" {
  type        = string
  description = "Disk to start from: a Debian with cloud-init and the ordinary kernel (not the cloud kernel: it has no video)."
  default     = "https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-generic-amd64.qcow2"
}

variable "base_checksum" {
  type    = string
  default = "file:https://cloud.debian.org/images/cloud/bookworm/latest/SHA512SUMS"
}

variable "archive" {
  type        = string
  description = "This directory and what scripts/build-payload made, as tar: Packer follows symbolic links, and forgets modes."
}

variable "seed" {
  type        = string
  description = "Directory with cloud-init's user-data and meta-data, which let the key in."
}

variable "ssh_key" {
  type        = string
  description = "Private key of this build alone; the image forgets it."
}

variable "output" {
  type        = string
  description = "Directory for the image; must not exist."
}

variable "accelerator" {
  type        = string
  description = "kvm, or tcg where there is no hardware virtualization (some twenty times slower)."
  default     = "kvm"
}

variable "disk_size" {
  type    = string
  default = "8192M"
}

source "qemu" "appliance" {
  accelerator          = var.accelerator
  boot_wait            = "1s"
  cpus                 = 2
  disk_cache           = "unsafe"
  disk_compression     = true
  disk_image           = true
  disk_interface       = "virtio"
  disk_size            = var.disk_size
  format               = "qcow2"
  headless             = true
  http_directory       = var.seed
  iso_checksum         = var.base_checksum
  iso_url              = var.base_image
  memory               = 2048
  net_device           = "virtio-net"
  output_directory     = var.output
  shutdown_command     = "systemctl poweroff"
  shutdown_timeout     = "15m"
  ssh_private_key_file = var.ssh_key
  ssh_timeout          = "45m"
  ssh_username         = "root"
  vm_name              = "jibri-sip.qcow2"
  qemuargs = [
    ["-cpu", "max"],
    # cloud-init's NoCloud: where its user data are.
    ["-smbios", "type=1,serial=ds=nocloud-net;s=http://{{ .HTTPIP }}:{{ .HTTPPort }}/"],
    ["-serial", "file:${var.output}.console.log"],
  ]
}

build {
  sources = ["source.qemu.appliance"]

  provisioner "shell" {
    inline = ["cloud-init status --wait >/dev/null || true", "mkdir -p /var/tmp/appliance"]
  }

  provisioner "file" {
    source      = var.archive
    destination = "/var/tmp/appliance.tar"
  }

  provisioner "shell" {
    environment_vars = ["JIBRI_SIP_KIND=image", "JIBRI_SIP_PAYLOAD=/var/tmp/appliance/payload"]
    inline = [
      "tar --extract --file /var/tmp/appliance.tar --directory /var/tmp/appliance",
      "rm /var/tmp/appliance.tar",
      "/var/tmp/appliance/packer/provision/run",
      "rm -rf /var/tmp/appliance",
    ]
  }

  post-processor "checksum" {
    checksum_types = ["sha256"]
    output         = "${var.output}/jibri-sip.qcow2.sha256"
  }
}
