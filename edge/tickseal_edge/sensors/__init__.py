"""Sensors: each reads samples of one device."""
