"""Everything that proves the gateway: unit, integration and end-to-end tests, and the far ends they talk to."""
