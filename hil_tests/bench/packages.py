"""Prints the Debian packages that the tests need: `python -m hil_tests.bench.packages`.

With --check it prints what is still missing on this machine instead, and fails where anything is.
"""

import sys

from hil_tests.bench import cortex_m3, micropython_source, pico
from hil_tests.bench.cortex_m3.firmware import PROGRAMS as CORTEX_M3
from hil_tests.bench.pico.firmware import PROGRAMS as PICO
from hil_tests.bench.virtual_pi import host

#: For tests of images for cards, and of a bench that is reached by ssh.
OTHERS = {"mcopy": "mtools", "sfdisk": "fdisk", "ssh": "openssh-client"}
#: The real counterparts of what is in tests/, which skips where one is missing.
COUNTERPARTS = {
    "chromedriver": "chromium-driver",
    "chromium": "chromium",
    "chronyc": "chrony",
    "chronyd": "chrony",
    "debugfs": "e2fsprogs",
    "ffprobe": "ffmpeg",
    "influxd": "influxdb",
    "ip": "iproute2",
    "mosquitto": "mosquitto",
    "mosquitto_passwd": "mosquitto",
    "pg_ctlcluster": "postgresql",
    "promtool": "prometheus",
    "ptp4l": "linuxptp",
    "rsvg-convert": "librsvg2-bin",
    "systemd-analyze": "systemd",
    "zbarimg": "zbar-tools",
}
#: What .ci/cross compiles with, and runs the outcome with.
CROSS = {
    "aarch64-linux-gnu-gcc": "gcc-aarch64-linux-gnu",
    "arm-linux-gnueabihf-gcc": "gcc-arm-linux-gnueabihf",
    "qemu-aarch64": "qemu-user",
    "qemu-arm": "qemu-user",
}
#: What has no program of its own.
FILES = (
    *("debian-archive-keyring", "libnewlib-arm-none-eabi", "libssl-dev"),
    *("libc6-dev-arm64-cross", "libc6-dev-armhf-cross"),
)


def needed() -> list[str]:
    """Return the names of all of them."""
    benches = {**host.PROGRAMS, **micropython_source.PROGRAMS, **PICO, **CORTEX_M3}
    programs = {**benches, **OTHERS, **COUNTERPARTS, **CROSS}
    return sorted({*programs.values(), *FILES})


def missing() -> list[str]:
    """Return a sentence for each bench that cannot be had here, and each program."""
    looks = (host.what_is_missing, pico.what_is_missing, cortex_m3.what_is_missing)
    return [said for look in looks if (said := look())] + [
        f"{program} is not installed; run: apt-get install {package}"
        for program, package in {**OTHERS, **COUNTERPARTS, **CROSS}.items()
        if host.find(program) is None
    ]


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        sys.exit("\n".join(missing()) or None)
    print(" ".join(needed()))
