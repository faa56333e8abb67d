"""What the native types are told of a generation."""

from tickseal.streams.generation import Generation
from tickseal.streams.parameters import Profile, Renewal, StreamParameters

Layout = tuple[int, bool, bool, int, int, int, int, int, bytes]
Timing = tuple[int, int, int, int, int, int, int, bool]


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


def timing(parameters: StreamParameters) -> Timing:
    """Return what was negotiated of time, as opener.c takes it."""
    return (
        parameters.t0_ns,
        parameters.interval_ns,
        parameters.past_ns,
        parameters.skew_ns,
        parameters.window_ticks,
        parameters.tick_count - 1,
        parameters.epoch_bits,
        parameters.depth > 0,
    )
