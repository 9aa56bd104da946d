"""Picture and sound between the devices and the call."""
