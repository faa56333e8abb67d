"""chrony as a source: the kernel's clock, with chrony's own bound, asked over its command port.

Source: chrony's candm.h (protocol version 6); the bound is that of RFC 5905 and of ClockBound:
|correction still to make| + root dispersion + root delay / 2.
"""

import os
import socket
import struct
import time
from dataclasses import dataclass

from tickseal.clock import ClockDiscipline
from tickseal.core.errors import ClockError
from tickseal.host.kernel_clock import KernelClock
from tickseal_edge.clock.base import SourceState

_VERSION, _REQUEST, _REPLY = 6, 1, 2
_TRACKING, _TRACKING_REPLY = 33, 5
_UNSYNCHRONISED = 3
_request = struct.Struct(">BBBBHHIII")
_reply = struct.Struct(">BBBBHHHHHHIII")
_tracking = struct.Struct(">I16sHHHH12I")
#: A request must be as long as its answer.
_REQUEST_BYTES = _reply.size + _tracking.size
_ANSWER_S = 0.5
#: A measurement older than this, s, is a source that is lost: chrony polls every 1024 s at most.
_OLD_S = 3600
#: Reference clocks name themselves in four letters.
_REFCLOCKS = {"PPS": ClockDiscipline.PPS, "GPS": ClockDiscipline.PPS, "PHC": ClockDiscipline.PTP}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracking:
    """What `chronyc tracking` shows, as far as it matters.

    Attributes:
        reference: name of the reference clock, or the server's address.
        is_refclock: it is a reference clock of this machine.
        stratum: 1 for a machine with a reference clock.
        is_synchronised: chrony vouches for the clock.
        reference_s: when the last measurement was, by the clock that it steers; s since 1970.
        correction_s: by how much that clock is slow of the truth still.
        skew_ppm: bound of the error in frequency.
        frequency_ppm: by how much the clock would run off without chrony.
        root_delay_s, root_dispersion_s: to the reference.
        interval_s: between the last two updates.
    """

    reference: str
    is_refclock: bool
    stratum: int
    is_synchronised: bool
    reference_s: float
    correction_s: float
    skew_ppm: float
    frequency_ppm: float
    root_delay_s: float
    root_dispersion_s: float
    interval_s: float

    @property
    def bound_ns(self) -> int:
        """Half width of what is known of the clock now, ns."""
        bound_s = abs(self.correction_s) + self.root_dispersion_s + self.root_delay_s / 2
        return int(bound_s * 1e9) + 1


def parse_tracking(packet: bytes, sequence: int) -> Tracking | None:
    """Return what an answer tells; None where it is not the one that is awaited.

    Raises:
        ClockError: chrony refuses, or speaks another version of its protocol.
    """
    if len(packet) < _reply.size:
        return None
    head = _reply.unpack_from(packet)
    if head[1] != _REPLY or head[10] != sequence:
        return None
    if head[0] != _VERSION or head[6] or head[5] != _TRACKING_REPLY:
        raise ClockError(f"chronyd does not tell its state (status {head[6]}); allow cmdmon to it")
    if len(packet) < _reply.size + _tracking.size:
        return None
    row = _tracking.unpack_from(packet, _reply.size)
    reference_id, address, family, _, stratum, leap, high, low, nanoseconds = row[:9]
    floats = [_float(value) for value in row[9:18]]
    correction, _, _, frequency, _, skew, delay, dispersion, interval = floats
    # Only an address of a server has a family; a reference clock has its name instead.
    is_refclock = family == 0
    return Tracking(
        reference=_name(reference_id) if is_refclock else _address(address, family),
        is_refclock=is_refclock,
        stratum=stratum,
        is_synchronised=leap != _UNSYNCHRONISED,
        reference_s=(0 if high == 0x7FFFFFFF else high) * 2**32 + low + nanoseconds / 1e9,
        correction_s=correction,
        skew_ppm=skew,
        frequency_ppm=frequency,
        root_delay_s=delay,
        root_dispersion_s=dispersion,
        interval_s=interval,
    )


def _float(raw: int) -> float:
    """Return chrony's own 32-bit float: 7 bits of exponent, 25 of coefficient, both signed."""
    exponent, coefficient = raw >> 25, raw & 0x1FFFFFF
    if exponent >= 1 << 6:
        exponent -= 1 << 7
    if coefficient >= 1 << 24:
        coefficient -= 1 << 25
    return float(coefficient * 2.0 ** (exponent - 25))


def _name(reference_id: int) -> str:
    return "".join(chr(c) for c in reference_id.to_bytes(4, "big") if 32 < c < 127)


def _address(address: bytes, family: int) -> str:
    if family == 1:
        return socket.inet_ntop(socket.AF_INET, address[:4])
    return socket.inet_ntop(socket.AF_INET6, address) if family == 2 else "unknown"


class ChronySource:
    """The kernel's clock while chrony vouches for it.

    Args:
        kernel: the clock that chrony steers.
        address: of chronyd's command port on this machine.
    """

    name = "chrony"
    basis = "kernel"

    def __init__(self, kernel: KernelClock, address: tuple[str, int] = ("127.0.0.1", 323)) -> None:
        self._kernel = kernel
        self._address = address
        self._correction_ns = 0

    def tracking(self) -> Tracking:
        """Ask chronyd. Blocks for half a second at most.

        Raises:
            ClockError: it does not answer, or refuses.
        """
        sequence = int.from_bytes(os.urandom(4), "big")
        packet = _request.pack(_VERSION, _REQUEST, 0, 0, _TRACKING, 0, sequence, 0, 0)
        family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.settimeout(_ANSWER_S)
            try:
                sock.connect(self._address)
                sock.send(packet.ljust(_REQUEST_BYTES, b"\0"))
                while True:
                    found = parse_tracking(sock.recv(2048), sequence)
                    if found is not None:
                        return found
            except OSError:
                raise ClockError(
                    f"chronyd does not answer at {self._address[0]} port {self._address[1]}; "
                    "install chrony, or see that it runs and that cmdport is not 0"
                ) from None

    def poll(self) -> SourceState:
        """Return chrony's own bound."""
        found = self.tracking()
        if not found.is_synchronised:
            raise ClockError("chrony has no source that it trusts; see `chronyc sources`")
        age_s = time.time() - found.reference_s
        if age_s > _OLD_S:
            raise ClockError(f"chrony has heard no source for {age_s:.0f} s; see `chronyc sources`")
        discipline = ClockDiscipline.NTP
        if found.is_refclock:
            discipline = next(
                (one for name, one in _REFCLOCKS.items() if found.reference.startswith(name)),
                discipline,
            )
        # Positive: the clock is slow of the truth by so much, and chrony makes it up slowly.
        self._correction_ns = int(found.correction_s * 1e9)
        bound = found.bound_ns - abs(self._correction_ns)
        return SourceState(
            uncertainty_ns=bound,
            growth_ppm=found.skew_ppm + 1,
            discipline=discipline,
            offset_ns=-self._correction_ns,
            details={
                "reference": found.reference,
                "stratum": found.stratum,
                "root_delay_ns": int(found.root_delay_s * 1e9),
                "root_dispersion_ns": int(found.root_dispersion_s * 1e9),
                "frequency_ppm": round(found.frequency_ppm, 3),
                "heard_s_ago": round(max(0.0, age_s), 1),
            },
        )

    def read_ns(self) -> int:
        """Return CLOCK_TAI and what chrony has still to correct, ns."""
        return self._kernel.now().midpoint_ns + self._correction_ns

    def close(self) -> None:
        """Nothing is held."""
