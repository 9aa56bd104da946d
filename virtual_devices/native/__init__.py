"""The native devices: C that moves pixels and samples; Python decides."""
