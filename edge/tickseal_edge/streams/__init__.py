"""Frames sealed: streams, which suite seals them, and what a device remembers of them."""
