"""The local web page: what flows and how it is, and the commands that people give."""

from tickseal_gateway.dashboard.page import LINK_FILE, serve

__all__ = ["LINK_FILE", "serve"]
