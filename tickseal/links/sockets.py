"""Names to addresses, and sockets bound to them, with errors that say what to do."""

import asyncio
import contextlib
import ipaddress
import socket
from typing import TypeAlias

from tickseal.core.errors import LinkError
from tickseal.links.base import Address, plain_address

Place: TypeAlias = tuple[socket.AddressFamily, Address]

_IPV6_SITE_BITS = 64


async def resolve(host: str, port: int, kind: socket.SocketKind) -> list[Place]:
    """Return the addresses of a name, in the system's order of preference.

    Raises:
        LinkError: there is no such name, or the resolver cannot be asked.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=kind)
    except OSError as error:
        raise LinkError(
            f"cannot find the address of {host}: {error}; check the name and DNS"
        ) from None
    return [(family, address) for family, _, _, _, address in found]  # type: ignore[misc]


async def bind(host: str | None, port: int, kind: socket.SocketKind) -> socket.socket:
    """Return a socket bound to a local address.

    Args:
        host: the address or its name; None for all, IPv6 and IPv4 in one socket.
        port: the port; 0 for any free one.
    Raises:
        LinkError: the address is not here, or the port is taken.
    """
    places: list[Place]
    if host is None:
        places = [(socket.AF_INET6, ("::", port)), (socket.AF_INET, ("0.0.0.0", port))]  # noqa: S104
    else:
        places = await resolve(host, port, kind)
    failure: OSError | None = None
    for family, address in places:
        with contextlib.ExitStack() as stack:
            try:
                sock = stack.enter_context(socket.socket(family, kind))
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host is not None)
                if kind == socket.SOCK_STREAM:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(address)
            except OSError as error:  # a kernel without IPv6, or the address cannot be had
                failure = failure or error
            else:
                stack.pop_all()
                return sock
    name = "UDP" if kind == socket.SOCK_DGRAM else "TCP"
    why = failure.strerror if failure else "no such address"
    where = f" of {host}" if host else ""
    raise LinkError(
        f"cannot listen on {name} port {port}{where}: {why}; "
        "stop what uses it, or choose another port or address"
    )


def site(address: Address) -> str:
    """Return what a peer cannot vary at will: its IPv4 address, or its IPv6 address's /64."""
    host = plain_address(address)[0].partition("%")[0]
    if ":" not in host:
        return host
    network = ipaddress.IPv6Network((host, _IPV6_SITE_BITS), strict=False)
    return str(network.network_address)
