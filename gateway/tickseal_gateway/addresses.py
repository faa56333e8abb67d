"""This machine's own addresses, as devices on the network can reach it."""

import fcntl
import ipaddress
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

_SIOCGIFADDR = 0x8915  # linux/sockios.h
_IPV6_TABLE = Path("/proc/net/if_inet6")
_SCOPE_GLOBAL = "00"
_MOST = 8


def format_address(host: str, port: int) -> str:
    """Return "host:port", an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def own_addresses() -> list[str]:
    """Return the addresses of this machine's interfaces: IPv4 first, then global IPv6.

    Loopback alone where there is nothing else.
    """
    found = [*_ipv4(), *_ipv6()]
    unique = list(dict.fromkeys(found))
    return unique[:_MOST] or ["127.0.0.1"]


def reachable_addresses(host: str | None, port: int) -> tuple[str, ...]:
    """Return "host:port" for a local host that is listened on; None stands for all."""
    if host is not None and not ipaddress.ip_address(_numeric(host)).is_unspecified:
        return (format_address(host, port),)
    return tuple(format_address(address, port) for address in own_addresses())


def _numeric(host: str) -> str:
    try:
        return str(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:  # a name: somebody chose it, so it stands
        return "127.0.0.1"


def _ipv4() -> Iterator[str]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        for _, name in socket.if_nameindex():
            request = struct.pack("256s", name.encode()[:15])
            try:
                answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, request)
            except OSError:  # the interface has none
                continue
            address = ipaddress.IPv4Address(answer[20:24])
            if not address.is_loopback:
                yield str(address)


def _ipv6() -> Iterator[str]:
    try:
        rows = _IPV6_TABLE.read_text().splitlines()
    except OSError:  # a kernel without IPv6
        return
    for row in rows:
        number, _, _, scope, *_ = row.split()
        if scope == _SCOPE_GLOBAL:
            yield str(ipaddress.IPv6Address(bytes.fromhex(number)))
