"""The bench: what a device under test is wired to."""
