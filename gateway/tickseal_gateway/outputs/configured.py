"""Which outputs a configuration asks for, besides the store."""

from pathlib import Path

from tickseal_gateway.config import Config
from tickseal_gateway.outputs.base import Output
from tickseal_gateway.outputs.pictures import PictureFiles


def configured_outputs(config: Config) -> list[Output]:
    """Return the outputs that a configuration asks for."""
    outputs: list[Output] = []
    if config.store.pictures:
        outputs.append(PictureFiles(Path(config.store.pictures).expanduser()))
    return outputs
