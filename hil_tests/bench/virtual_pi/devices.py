"""The virtual Pi's I2C sensors, pulses, camera and cable, as a test handles them.

Kernel modules are loaded at first use, and again after a power cut.
"""

from collections.abc import Mapping

from hil_tests.bench.shell import DeviceError, Shell

#: Sensors that answer on the bus, each with the bytes that its registers are wide.
SENSORS = {0x76: 1, 0x44: 1, 0x23: 1, 0x48: 2, 0x68: 1}
PARAMETERS = "/sys/module/{module}/parameters/{name}"


def load(shell: Shell, module: str, **parameters: str) -> None:
    """Load a kernel module, unless it is there already."""
    settings = [f"{name}={value}" for name, value in parameters.items()]
    shell.run(["modprobe", module, *settings])


class VirtualI2C:
    """/dev/i2c-1, by the kernel module bench_i2c."""

    bus = 1

    def __init__(self, shell: Shell, sensors: Mapping[int, int] = SENSORS) -> None:
        self._shell = shell
        self._sensors = sensors
        self._plugged = set(sensors)

    def set_registers(self, address: int, register: int, content: bytes) -> None:
        """Write consecutive registers in one transfer."""
        self._transfer(address, f"w{len(content) + 1}@{address:#x}", register, *content)

    def get_registers(self, address: int, register: int, length: int) -> bytes:
        """Read consecutive registers."""
        text = self._transfer(address, f"w1@{address:#x}", register, f"r{length}")
        return bytes(int(word, 16) for word in text.split())

    def unplug(self, address: int) -> None:
        """Let an address no longer acknowledge."""
        self._set_plugged(self._plugged - {address})

    def plug(self, address: int) -> None:
        """Let an address acknowledge again."""
        self._set_plugged(self._plugged | {address})

    def restore(self) -> None:
        """Plug in all sensors; their registers stay."""
        if self._plugged != set(self._sensors):
            self._set_plugged(set(self._sensors))

    def prepare(self) -> None:
        """Load the bus, for a test whose first use of it is the device's own."""
        load(
            self._shell,
            "bench_i2c",
            nr=str(self.bus),
            chip_addr=",".join(map(hex, self._sensors)),
            width=",".join(map(str, self._sensors.values())),
        )
        load(self._shell, "i2c-dev")

    def _set_plugged(self, plugged: set[int]) -> None:
        self.prepare()
        path = PARAMETERS.format(module="bench_i2c", name="chip_addr")
        # An empty list cannot be written: address 0 is the one that no sensor has.
        self._shell.run(f"echo {','.join(map(hex, plugged)) or '0'} > {path}")
        self._plugged = plugged

    def _transfer(self, address: int, *words: str | int) -> str:
        if address not in self._sensors:
            raise ValueError(f"no sensor at {address:#x}; the bench has {SENSORS}")
        self.prepare()
        command = ["i2ctransfer", "-y", str(self.bus), *map(str, words)]
        return self._shell.run(command).text


class VirtualPPS:
    """/dev/pps0, by the kernel module bench_pps."""

    device = "/dev/pps0"

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def set_offset_ns(self, offset_ns: int) -> None:
        """Move the edges."""
        self._set("offset_ns", str(offset_ns))

    def set_enabled(self, *, enabled: bool) -> None:
        """Stop or resume the edges."""
        self._set("enabled", "1" if enabled else "0")

    def prepare(self) -> None:
        """Load the device: its edges fall on the wall clock's seconds of this moment."""
        load(self._shell, "bench_pps")

    def restore(self) -> None:
        """Put the edges back on the wall clock's seconds."""
        self._shell.run(["modprobe", "--remove", "bench_pps"], check=False)

    def _set(self, name: str, value: str) -> None:
        self.prepare()
        path = PARAMETERS.format(module="bench_pps", name=name)
        self._shell.run(f"echo {value} > {path}")


class VirtualCamera:
    """Two cameras: the kernel's vivid by V4L2, and libcamera's virtual one by picamera2."""

    device = "/dev/video0"
    number = 0

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def prepare(self) -> None:
        """Load the camera."""
        load(self._shell, "vivid", n_devs="1", node_types="0x1")
        self._shell.run(["udevadm", "settle"])
        # picamera2 looks for its memory under the name, and with the rights, that a Pi has.
        self._shell.run("ln -sf system /dev/dma_heap/linux,cma")
        self._shell.run("chgrp video /dev/dma_heap/system && chmod 660 /dev/dma_heap/system")

    def restore(self) -> None:
        """Leave it as it is: a test sets the format that it needs."""


class VirtualCable:
    """A USB serial port and the gadget at its other end, by the kernel's dummy_hcd and g_serial."""

    host_end = "/dev/ttyACM0"
    board_end = "/dev/ttyGS0"

    def __init__(self, shell: Shell) -> None:
        self._shell = shell

    def prepare(self) -> None:
        """Plug the cable in."""
        load(self._shell, "dummy_hcd")
        load(self._shell, "g_serial")
        self._wait_for(self.host_end)

    def unplug(self) -> None:
        """Pull the cable out: the host's end disappears."""
        self._shell.run(["modprobe", "--remove", "g_serial"])

    def restore(self) -> None:
        """Leave it plugged in or not: the next test plugs it in."""

    def _wait_for(self, path: str) -> None:
        line = f"for _ in $(seq 100); do [ -c {path} ] && exit 0; sleep 0.1; done; exit 1"
        if self._shell.run(line, check=False).returncode != 0:
            raise DeviceError(f"{path} did not appear within 10 s")
