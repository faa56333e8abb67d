"""What people type: `tickseal gateway ...` and `tickseal top`."""
