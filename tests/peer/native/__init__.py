"""Test devices in C, built by `python -m tests.peer.native.build PJPROJECT_DIR`."""
