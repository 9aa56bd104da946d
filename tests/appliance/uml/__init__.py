"""The appliance on User-Mode Linux."""
