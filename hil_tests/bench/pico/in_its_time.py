"""Runs a command in an emulated chip's time: `python -m hil_tests.bench.pico.in_its_time FILE ...`.

FILE is where the emulator writes the chip's time; what follows are arguments of `tickseal`.
"""

import asyncio
import sys
from pathlib import Path
from unittest import mock

from hil_tests.bench.pico.chip_time import ChipTime
from tickseal import cli


def main() -> None:
    """Run it."""
    chip = ChipTime(Path(sys.argv.pop(1)))
    with chip.taken() as make_loop, mock.patch.object(asyncio.events, "new_event_loop", make_loop):
        cli.main()


if __name__ == "__main__":
    main()
