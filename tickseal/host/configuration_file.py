"""A configuration file: read, and parsed into a model."""

from pathlib import Path
from typing import TypeVar

from tickseal.configuration.configuration import parse_toml
from tickseal.core.errors import ConfigError

M = TypeVar("M")


def read_configuration(path: Path, model: type[M]) -> M:
    """Return the model that a TOML file describes.

    Raises:
        ConfigError: it cannot be read, or says something that is not allowed.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}:1: not UTF-8 text") from None
    return parse_toml(text, model, where=str(path))
