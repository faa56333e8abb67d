"""Cameras: each captures encoded pictures."""
