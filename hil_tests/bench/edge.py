"""The edge application on the device, installed, enrolled and run as edge/README.md says."""

import json
import shlex
import tempfile
from pathlib import Path
from typing import Any

from tickseal_edge.spool import spool_file

from hil_tests.bench.gateway import Gateway
from hil_tests.bench.shell import Shell
from tickseal.core import constants
from tickseal.core.header import unpack

CONFIG = "/etc/tickseal/edge.toml"
STATE = "/var/lib/tickseal-edge"
SPOOL = f"{STATE}/spool"
UNIT = "tickseal-edge.service"
#: What the repository has for a device's system, and where it goes there.
SYSTEM_FILES = {
    "systemd/edge.toml": CONFIG,
    "systemd/tickseal.sysusers": "/usr/lib/sysusers.d/tickseal.conf",
    "systemd/tickseal-edge.service": f"/etc/systemd/system/{UNIT}",
    "udev/60-tickseal.rules": "/etc/udev/rules.d/60-tickseal.rules",
}
_EDGE = Path(__file__).parents[2] / "edge"
_SLOW_S = 600.0
#: systemd's own patience is for machines that are no emulation on a busy host.
_DROP_IN = (f"/etc/systemd/system/{UNIT}.d/bench.conf", b"[Service]\nTimeoutStartSec=infinity\n")
#: `tickseal edge status --json`, without what a command line needs to load.
_ASK = """
import json, sys
from pathlib import Path
from tickseal.host.control_socket import ask
print(json.dumps(ask(Path(sys.argv[1]), {"do": sys.argv[2]}, service="edge")))
"""


class Edge:
    """One device's Data Source.

    Args:
        shell: a root shell on the device.
        command: path of `tickseal` there.
        gateway: where it enrols.
    """

    def __init__(self, shell: Shell, command: str, gateway: Gateway) -> None:
        self._shell = shell
        self._command = command
        self._python = str(Path(command).with_name("python"))
        self._gateway = gateway

    def install(self) -> None:
        """Put the system's files in place, and have the service start with the device."""
        for name, target in SYSTEM_FILES.items():
            self._shell.run(["mkdir", "-p", str(Path(target).parent)])
            self._shell.write(target, (_EDGE / name).read_bytes())
        path, content = _DROP_IN
        self._shell.run(["mkdir", "-p", str(Path(path).parent)])
        self._shell.write(path, content)
        self._shell.run(
            "systemd-sysusers && systemctl daemon-reload && udevadm control --reload"
            " && udevadm trigger"
            f" && install -d -o tickseal -g tickseal -m 700 {STATE}"
            # A bench's device need not start all that multi-user.target wants.
            f' && systemctl add-wants "$(systemctl get-default)" {UNIT} && sync',
            timeout_s=_SLOW_S,
        )

    def enrol(self, *more: str) -> str:
        """Enrol at the gateway by a one-time invite; return what the command says."""
        done = self.run_command("enrol", self._gateway.token(), *more)
        self._shell.run("sync")
        return done

    def run_command(self, *arguments: str) -> str:
        """Run a `tickseal edge` command as the service's user; return what it prints."""
        command = [self._command, "edge", *arguments, "-c", CONFIG]
        return self._shell.run(
            ["setpriv", "--reuid=tickseal", "--regid=tickseal", "--init-groups", *command],
            timeout_s=_SLOW_S,
        ).text

    def start(self, config: str) -> None:
        """Start the service with a configuration, anew where it runs; return once it is ready."""
        whole = f'name = "bench-device"\nstate = "{STATE}"\n{config}'
        self._shell.write(CONFIG, whole.encode())
        self._shell.run(f"systemctl restart {UNIT}", timeout_s=_SLOW_S)

    def stop(self) -> None:
        """Stop the service in order."""
        self._shell.run(f"systemctl stop {UNIT}", timeout_s=_SLOW_S)

    def forget(self) -> None:
        """Stop, and delete what waits in the spool."""
        self.stop()
        self._shell.run(f"rm -rf {SPOOL} && systemctl reset-failed {UNIT}", check=False)

    def ask(self, what: str = "status") -> dict[str, Any]:
        """Return the running service's answer, as `tickseal edge status --json` or `clock`."""
        answer = self._shell.run([self._python, "-c", _ASK, STATE, what])
        return dict(json.loads(answer.stdout))

    def stream(self, stream_id: str) -> dict[str, Any]:
        """Return what the service says of one stream."""
        streams = {one["id"]: one for one in self.ask()["streams"]}
        return dict(streams[stream_id])

    def kept(self) -> set[tuple[str, int]]:
        """Return generation and number of every frame of readings that the spool's files have.

        The end of a live generation is left out, since it opens only while the gateway holds its
        keys. The last frames may not be on the disk yet: see wait_for_write().
        """
        found = set()
        with tempfile.TemporaryDirectory() as folder:
            self._shell.get_tree(SPOOL, Path(folder))
            for path in Path(folder).glob("*.spool"):
                content = spool_file.read(path.read_bytes())
                for frame in content.frames if content and content.blob else ():
                    header = unpack(frame.segments[0])
                    if header is not None and header.kind == constants.KIND_FRAME:
                        found.add((f"{frame.generation:016x}", frame.number))
        return found

    def wait_for_write(self) -> None:
        """Wait until the spool has been written to again: what was in it is on the disk by then."""
        size = f"cat {SPOOL}/*.spool | wc -c"
        self._shell.run(f"was=$({size}); while [ $({size}) -le $was ]; do sleep 0.02; done")

    @property
    def log(self) -> str:
        """What it logged since the device started."""
        unit = shlex.quote(UNIT)
        return self._shell.run(
            f"journalctl --quiet --no-pager --boot --output=cat --unit={unit}"
        ).text
