"""The first boot of a device from an image: enrol by the invite on its card, and erase that."""

import argparse
import asyncio
import os
import secrets
import sys
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tickseal.core.errors import EnrolmentError, TicksealError
from tickseal.host.device_identity import DeviceIdentity
from tickseal.host.enrolment import EnrolmentRefusedError
from tickseal.host.kernel_clock import KernelClock
from tickseal.host.state import StateDirectory
from tickseal.invite import InviteToken
from tickseal_edge.config import EdgeConfig, load_config
from tickseal_edge.enrolment import enrol_device

#: Known to systemd/tickseal-enrol.service: trying again is of no use.
EXIT_REFUSED = 2
_FIRST_WAIT_S, _LONGEST_WAIT_S = 2.0, 60.0
#: The gateway says it itself.
_PASSING = "busy"
_KEY = "first-key"

Sleep = Callable[[float], Awaitable[None]]


async def enrol_once(config: EdgeConfig, *, sleep: Sleep = asyncio.sleep) -> str:
    """Enrol by the invite in the state directory and erase it; return what to tell a person.

    While the gateway cannot be reached it tries again, for as long as that takes.

    Raises:
        EnrolmentRefusedError: the gateway refuses the invite; it is erased, since it is worth
            nothing any more.
        StoreError: the identity cannot be written.
    """
    path = config.state_path / "invite"
    # The service may run already, and own the directory: nothing but this may be looked at.
    if (config.state_path / "identity.json").exists():
        erase(path)
        return "this device is enrolled already"
    invite = InviteToken.parse(path.read_text("ascii"))
    with StateDirectory.open(config.state_path) as state:
        try:
            identity = await _until_it_works(config, invite, state, sleep)
        except EnrolmentRefusedError:
            erase(path)
            state.delete(_KEY)
            raise
        state.delete(_KEY)
    erase(path)
    return f"enrolled as {identity.name}"


async def _until_it_works(
    config: EdgeConfig, invite: InviteToken, state: StateDirectory, sleep: Sleep
) -> DeviceIdentity:
    # An invite belongs to the first key that uses it: after a power cut it must be the same one.
    private_key = state.read(_KEY)
    if private_key is None:
        private_key = X25519PrivateKey.generate().private_bytes_raw()
        state.write(_KEY, private_key)
    wait_s, said = _FIRST_WAIT_S, ""
    while True:
        try:
            return await enrol_device(
                invite,
                private_key,
                name=config.name,
                software=f"tickseal {version('tickseal')}",
                state=state,
                clock=KernelClock(),
            )
        except EnrolmentError as error:
            if isinstance(error, EnrolmentRefusedError) and error.reason != _PASSING:
                raise
            if str(error) != said:
                said = str(error)
                _say(f"not enrolled yet, trying again: {said}")
        await sleep(wait_s)
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


def erase(path: Path) -> None:
    """Overwrite a file in place and remove it.

    The blocks of the file system hold it no more. A card's own controller may keep an old copy
    that only its maker can read; the invite is worth nothing by then.
    """
    try:
        with path.open("r+b", buffering=0) as file:
            file.write(secrets.token_bytes(os.fstat(file.fileno()).st_size))
            os.fsync(file.fileno())
        path.unlink()
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except FileNotFoundError:
        pass


def main() -> int:
    """Run it; exit with 0 (enrolled), 1 (to be tried again) or 2 (refused)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    try:
        _say(asyncio.run(enrol_once(load_config(parser.parse_args().config))))
    except EnrolmentRefusedError as error:
        _say(f"cannot enrol: {error}; then `tickseal edge enrol TOKEN`, or make the card again")
        return EXIT_REFUSED
    except (TicksealError, OSError) as error:
        _say(f"cannot enrol: {error}")
        return 1
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"tickseal: {text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
