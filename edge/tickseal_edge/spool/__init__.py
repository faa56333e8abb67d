"""Sealed frames that wait for the gateway: kept on disk, sent when it is back."""
