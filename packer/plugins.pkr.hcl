# What current Packer fetches with `packer init`; Packer 1.6, which has its builders built in, does not know this block.
packer {
  required_plugins {
    qemu = {
      source  = "github.com/hashicorp/qemu"
      version = ">= 1.1.0"
    }
  }
}
