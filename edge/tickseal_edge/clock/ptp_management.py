"""PTP management over ptp4l's local socket: what it knows of port, offset, path and grandmaster.

Source: IEEE 1588-2008 clause 15 (management messages), and linuxptp's own TLVs (..._NP).
"""

import os
import socket
import struct
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tickseal.core.errors import ClockError

# Management TLV identifiers.
_CURRENT, _PARENT, _PROPERTIES, _PORT = 0x2001, 0x2002, 0x2003, 0x2004
_TIME_STATUS, _PORT_PROPERTIES = 0xC000, 0xC004
_HEADER = struct.Struct(">BBHBBHqI8sHHBb")
_TARGET = struct.Struct(">8sHBBBB")
_TLV = struct.Struct(">HHH")
_MANAGEMENT, _RESPONSE = 0xD, 2
_ANSWERED, _REFUSED = 1, 2
#: A stamp that is so far from the kernel's clock is of another one.
_APART_NS = 10_000_000_000
_ANSWER_S = 0.5
#: What linuxptp listens on: read-only for all since 4.0, or for root.
SOCKETS = ("/run/ptp4lro", "/run/ptp4l", "/var/run/ptp4lro", "/var/run/ptp4l")

PORT_STATES = {
    1: "initializing", 2: "faulty", 3: "disabled", 4: "listening", 5: "pre_master", 6: "master",
    7: "passive", 8: "uncalibrated", 9: "slave", 10: "grand_master",
}  # fmt: skip
#: clockAccuracy to a bound in ns (IEEE 1588-2008 table 6).
_ACCURACY_NS = dict(
    zip(
        range(0x20, 0x31),
        (
            25, 100, 250, 1000, 2500, 10**4, 25_000, 10**5, 250_000, 10**6, 2_500_000, 10**7,
            25 * 10**6, 10**8, 25 * 10**7, 10**9, 10**10,
        ),
        strict=True,
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class PTPStatus:
    """What ptp4l knows.

    Attributes:
        port_state: of the port that leads to the master, else of the first; see PORT_STATES.
        interface: its network interface; empty where this ptp4l does not tell.
        is_hardware: stamps are the network card's, and its clock is what is steered.
        offset_ns: own clock - master's.
        path_delay_ns: one way.
        ingress_ns: when the last sync came, by the own clock.
        grandmaster: its identity, as ptp4l writes it; empty where there is none.
        accuracy_ns: what it claims; None where it does not.
        clock_class: 6 is locked to a primary reference, 7 was, 248 is anything.
        utc_offset_s: TAI - UTC as announced, None where that is not valid.
        is_tai: the timescale is PTP's, which is TAI; else it is arbitrary, mostly UTC.
        is_traceable: the grandmaster claims a primary reference.
    """

    port_state: str
    interface: str
    is_hardware: bool
    offset_ns: int
    path_delay_ns: int
    ingress_ns: int
    grandmaster: str
    accuracy_ns: int | None
    clock_class: int
    utc_offset_s: int | None
    is_tai: bool
    is_traceable: bool


class PTPManagement:
    """Asks one ptp4l.

    Args:
        path: its socket; the first that is there of the usual ones by default.
        domain: PTP domain number.
    """

    def __init__(self, path: str = "", domain: int = 0) -> None:
        self._path = path
        self._domain = domain
        self._sequence = 0

    def status(self) -> PTPStatus:
        """Return what it knows now. Blocks for up to a few times half a second.

        Raises:
            ClockError: no ptp4l answers there.
        """
        path = self._path or next((one for one in SOCKETS if Path(one).exists()), "")
        if not path:
            raise ClockError(
                "no ptp4l runs here (no socket /run/ptp4l); start it, or name its ptp_socket"
            )
        with (
            # ptp4l answers to a name in the file system only, which must be in sight of it.
            tempfile.TemporaryDirectory(dir=os.environ.get("RUNTIME_DIRECTORY")) as folder,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock,
        ):
            try:
                sock.bind(f"{folder}/ptp")
                sock.connect(path)
                current = next(self._get(sock, _CURRENT))
                parent = next(self._get(sock, _PARENT))
                properties = next(self._get(sock, _PROPERTIES))
                times = next(self._get(sock, _TIME_STATUS))
                ports = [_port(data) for data in self._get(sock, _PORT_PROPERTIES)]
                if not ports:  # the read-only socket tells less of them
                    stamps_by_card = _is_of_a_card(times)
                    ports = [(data[10], stamps_by_card, "") for data in self._get(sock, _PORT)]
            except PermissionError:
                raise ClockError(
                    f"{path} is not open to this user; set uds_ro_address in ptp4l's configuration"
                ) from None
            except (OSError, StopIteration):
                raise ClockError(f"ptp4l does not answer at {path}; see that it runs") from None
            except (struct.error, IndexError):
                raise ClockError(f"ptp4l at {path} answers in an unknown way") from None
        return _status(current, parent, properties, times, ports)

    def _get(self, sock: socket.socket, identifier: int) -> Iterator[bytes]:
        """Yield the data of each answer: ptp4l gives one for each port; the first is awaited."""
        self._sequence = (self._sequence + 1) & 0xFFFF
        size = _HEADER.size + _TARGET.size + _TLV.size
        sock.send(
            _HEADER.pack(
                _MANAGEMENT, 2, size, self._domain, 0, 0, 0, 0,
                bytes(8), os.getpid() & 0xFFFF, self._sequence, 4, 0x7F,
            )
            + _TARGET.pack(b"\xff" * 8, 0xFFFF, 0, 0, 0, 0)
            + _TLV.pack(1, 2, identifier)
        )  # fmt: skip
        sock.settimeout(_ANSWER_S)
        while True:
            try:
                answer = sock.recv(2048)
            except (TimeoutError, BlockingIOError):
                return
            kind, data = _answer(answer, self._sequence, identifier)
            if kind == _REFUSED:
                return
            if kind == _ANSWERED:
                yield data
                # Further ports have answered already.
                sock.settimeout(0)


def _answer(message: bytes, sequence: int, identifier: int) -> tuple[int, bytes]:
    """Return whether a message answers or refuses a request (0: neither), and the answer's data."""
    start = _HEADER.size + _TARGET.size + _TLV.size
    if len(message) < start:
        return 0, b""
    header = _HEADER.unpack_from(message)
    target = _TARGET.unpack_from(message, _HEADER.size)
    kind, size, found = _TLV.unpack_from(message, _HEADER.size + _TARGET.size)
    if header[0] & 15 != _MANAGEMENT or header[10] != sequence or target[4] & 15 != _RESPONSE:
        return 0, b""
    if kind == _REFUSED:
        return _REFUSED, b""
    if kind != _ANSWERED or found != identifier:
        return 0, b""
    return _ANSWERED, message[start : start + size - 2]


def _is_of_a_card(times: bytes) -> bool:
    """Tell whether the last sync was stamped by another clock than the kernel's."""
    (ingress_ns,) = struct.unpack_from(">q", times, 8)
    return bool(ingress_ns) and abs(time.time_ns() - ingress_ns) > _APART_NS


def _port(data: bytes) -> tuple[int, bool, str]:
    state, stamping, length = data[10], data[11], data[12]
    return state, stamping in (1, 2, 3), data[13 : 13 + length].decode("ascii", "replace")


def _status(
    current: bytes,
    parent: bytes,
    properties: bytes,
    times: bytes,
    ports: list[tuple[int, bool, str]],
) -> PTPStatus:
    _, _, path_delay = struct.unpack_from(">Hqq", current)
    clock_class, accuracy = parent[19], parent[20]
    utc_offset, flags = struct.unpack_from(">hB", properties)
    offset, ingress = struct.unpack_from(">qq", times)
    (is_present,) = struct.unpack_from(">i", times, 38)
    grandmaster = times[42:50].hex()
    # The port in state slave is the one that is steered by.
    state, is_hardware, interface = max(
        ports, key=lambda port: port[0] == 9, default=(0, False, "")
    )
    return PTPStatus(
        port_state=PORT_STATES.get(state, str(state)),
        interface=interface,
        is_hardware=is_hardware,
        offset_ns=offset,
        path_delay_ns=path_delay >> 16,
        ingress_ns=ingress,
        grandmaster=(
            f"{grandmaster[:6]}.{grandmaster[6:10]}.{grandmaster[10:]}" if is_present else ""
        ),
        accuracy_ns=_ACCURACY_NS.get(accuracy),
        clock_class=clock_class,
        utc_offset_s=utc_offset if flags & 0x04 else None,
        is_tai=bool(flags & 0x08),
        is_traceable=bool(flags & 0x10),
    )
