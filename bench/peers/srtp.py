"""SRTP (RFC 3711, 7714) with AES-256-GCM under one static key, by pylibsrtp."""

from collections.abc import Callable

import pylibsrtp
from pylibsrtp import Policy, Session

from peers import split

_SSRC = 0x12345678


def describe() -> str:
    """Return name and version."""
    return f"SRTP, AES-256-GCM, one static key (pylibsrtp {pylibsrtp.__version__})"


def _session(direction: int) -> Session:
    profile = Policy.SRTP_PROFILE_AEAD_AES_256_GCM
    return Session(Policy(key=bytes(44), ssrc_type=direction, srtp_profile=profile))


def prepare(payload: bytes, count: int) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return the functions that seal and open."""
    source = _session(Policy.SSRC_ANY_OUTBOUND)
    sink = _session(Policy.SSRC_ANY_INBOUND)
    parts = split(payload)
    sealed: list[bytes] = []

    def seal() -> None:
        protect, sequence = source.protect, 0
        for number in range(count):
            for part in parts:
                header = b"\x80\x60" + (sequence & 0xFFFF).to_bytes(2, "big")
                header += number.to_bytes(4, "big") + _SSRC.to_bytes(4, "big")
                sealed.append(protect(header + part))
                sequence += 1

    def open_all() -> None:
        unprotect = sink.unprotect
        for packet in sealed:
            unprotect(packet)

    return seal, open_all
