"""Connections of devices to their gateway, without I/O: messages in, events and messages out."""
