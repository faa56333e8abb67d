"""Ports for programs that must be told one before they start."""

import contextlib
import random
import socket

#: Below those that the kernel gives to clients, which would take a port between test and use.
_PORTS = range(10_000, 32_000)


def free_port(*hosts: str) -> int:
    """Return a port that is free for TCP and UDP on each of hosts, by default on loopback."""
    while True:
        port = random.choice(_PORTS)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for host in hosts or ("127.0.0.1",):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    stack.enter_context(socket.socket(socket.AF_INET, kind)).bind((host, port))
            return port
