"""What the native types are told of a generation."""

from tickseal.generation import Generation
from tickseal.parameters import Profile, Renewal

Layout = tuple[int, bool, bool, int, int, int, int, int, bytes]


def layout(generation: Generation) -> Layout:
    """Return a generation's form on the wire, as segment.c takes it."""
    parameters = generation.parameters
    return (
        parameters.suite.value,
        parameters.profile is Profile.COMPACT,
        parameters.renewal is Renewal.EVERY_FRAME,
        parameters.hash_length,
        parameters.segment_bytes,
        parameters.frame_bytes,
        generation.handle,
        generation.number,
        generation.context,
    )
