"""TOML files as frozen dataclasses, with errors that a person can act on."""
