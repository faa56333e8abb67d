"""The one way in which the primitives refuse: ValueError, whatever was wrong."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def refuses(function: "Callable[..., object]", *arguments: "bytes | int") -> bool:
    """Return whether the call raises ValueError."""
    try:
        function(*arguments)
    except ValueError:
        return True
    return False
