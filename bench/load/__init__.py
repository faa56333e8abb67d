"""What the benches run beside themselves: senders, sinks, floods and fleets.

Each module but `product` is a program of its own, `python -m load.NAME SETTINGS`, with settings in
JSON. It says what it has to say in lines of JSON, and ends with its standard input.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tickseal import Generation, StreamMetadata, StreamParameters
from tickseal.payloads.samples import CONTENT

#: Segments may be this late, so that they can be sealed before the clock runs: 10 minutes.
PAST_NS = 600 * 10**9
#: Of the plain server: one key for all.
PLAIN_KEY = bytes(range(32))


class Program:
    """One of the modules here, running."""

    def __init__(self, module: str, *, pure: bool = False, **settings: Any) -> None:
        environment = os.environ | {"TICKSEAL_PURE": "1" if pure else "0"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"load.{module}", json.dumps(settings)],
            cwd=Path(__file__).parent.parent,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def line(self) -> Any:
        """Return what it says next."""
        assert self.process.stdout is not None
        text = self.process.stdout.readline()
        if not text:
            raise RuntimeError(f"{self.process.args} ended: {self.process.wait()}")
        return json.loads(text)

    def say(self, word: str = "") -> None:
        """Tell it to go on."""
        assert self.process.stdin is not None
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()
        self.process.terminate()
        self.process.wait(10)


def settings() -> Any:
    """Return the settings that this program was given."""
    return json.loads(sys.argv[1])


def tell(**values: Any) -> None:
    """Say something to whoever runs this program."""
    print(json.dumps(values), flush=True)


def resident_bytes() -> int:
    """Return how much memory this program has in use."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def wait() -> str:
    """Wait until whoever runs this program says to go on; return the word."""
    return sys.stdin.readline().strip()


def parameters(t0_ns: int, **changes: Any) -> StreamParameters:
    """Return what every stream here has negotiated."""
    return StreamParameters(t0_ns=t0_ns, **changes)


def generations(
    count: int, wanted: StreamParameters, *, readings: bool = False
) -> Iterator[Generation]:
    """Yield the generations of so many streams, the same in every program."""
    extra = {"content": CONTENT} if readings else {}
    for number in range(1, count + 1):
        yield Generation.derive(
            StreamMetadata(id=f"stream-{number}", type="telemetry", extra=extra),
            wanted,
            initial_secret=number.to_bytes(32, "big"),
            salt=bytes(32),
            handle=number,
        )
