"""Sealed recordings: segments as they came, and, under a key of their own, what opens them."""
