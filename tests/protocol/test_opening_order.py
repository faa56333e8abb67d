"""Of several faults of a segment, the first check of the protocol names the reason."""

import itertools
from collections import Counter

import pytest
from streams import SECOND, generation, pair, parameters, reading, reason, skip_to, state

from tickseal import FrameOpener, FrameSealer
from tickseal.core import constants, errors
from tickseal.core.header import SegmentHeader, unpack

FAULTS = {
    "version": (None, "version"),
    "handle": (None, "handle"),
    "generation": (None, "generation"),
    "size": (None, "truncated", "oversize"),
    "flags": (None, "malformed"),
    "tick": (None, "early", "late", "exhausted"),
    "number": (None, "replayed", "stale"),
    "key hash": (None, "key_hash"),
    "tag": (None, "forged"),
}


def faulty(good: bytes, chosen: dict[str, str | None], shortest: int) -> bytes:
    """A segment with these faults, for a sink at tick 126 of a tree that ends at 128."""
    header = unpack(good)
    assert header
    tick = {None: header.tick, "early": 200, "late": 50, "exhausted": 128}[chosen["tick"]]
    number = {None: header.frame_number, "replayed": 1999, "stale": 3}[chosen["number"]]
    head = bytearray(
        SegmentHeader(
            header.profile,
            header.kind,
            header.flags ^ (1 if chosen["flags"] else 0),
            generation=header.generation ^ (1 if chosen["generation"] else 0),
            handle=header.handle ^ (1 if chosen["handle"] else 0),
            tick=tick,
            frame_number=number,
            segment_index=0,
        ).pack()
    )
    if chosen["version"]:
        head[0] ^= 0x20
    body = bytearray(good[len(head) :])
    if chosen["key hash"]:
        body[0] ^= 1
    if chosen["tag"]:
        body[-1] ^= 1
    if chosen["size"] == "truncated":
        del body[shortest - len(head) - 1 :]
    if chosen["size"] == "oversize":
        body += bytes(100)
    return bytes(head + body)


@pytest.mark.parametrize("profile", [0, 1])
def test_of_all_faults_together_the_first_check_names_the_reason(profile: int) -> None:
    sink = parameters(profile=profile, depth=7, past_ns=SECOND // 5)
    sealer, opener = FrameSealer(generation(sink)), FrameOpener(generation(sink))
    now = reading(sink, 126)
    skip_to(sealer, 1999)
    (before,) = sealer.seal(b"payload", 126)
    assert reason(opener.open(before, now)) == "opened"
    (good,) = sealer.seal(b"payload", 127)
    count: Counter[str] = Counter()
    for picked in itertools.product(*FAULTS.values()):
        chosen = dict(zip(FAULTS, picked, strict=True))
        expected = next(filter(None, picked), None)
        if expected is None:
            continue
        segment = faulty(good, chosen, sink.overhead_bytes)
        before = state(opener)
        assert reason(opener.open(segment, now)) == expected, chosen
        assert state(opener) == before
        count[expected] += 1
    assert opener.refusals == count
    assert reason(opener.open(good, now)) == "opened"


@pytest.mark.parametrize(
    ("flags", "index", "size", "frame_bytes"),
    [
        (constants.FLAG_LAST, 0, 5, 50),
        (constants.FLAG_FIRST | constants.FLAG_LAST, 1, 5, 50),
        (0x13, 0, 5, 50),
        (constants.FLAG_FIRST, 0, 15, 50),
        (constants.FLAG_FIRST, 0, 0, 50),
        (0, 1, 15, 50),
        (constants.FLAG_LAST, 1, 0, 50),
        (constants.FLAG_LAST, 3, 3, 50),
        (constants.FLAG_LAST, 4, 1, 50),
        (0, 3, 16, 50),
        (0, 4, 16, 50),
        # Nothing could follow it.
        (0, 3, 16, 64),
        (constants.FLAG_FIRST, 0, 16, 16),
    ],
)
def test_an_authentic_segment_that_breaks_the_form_is_malformed(
    flags: int, index: int, size: int, frame_bytes: int
) -> None:
    chosen = parameters(frame_bytes=frame_bytes)
    source = generation(chosen)
    header = SegmentHeader(
        0,
        constants.KIND_FRAME,
        flags,
        generation=source.number,
        handle=source.handle,
        tick=5,
        frame_number=0,
        segment_index=index,
    ).pack()
    opener = FrameOpener(source)
    answer = opener.open(header + bytes(32 + size), reading(chosen, 5))
    assert reason(answer) == errors.MALFORMED


def test_the_last_segment_may_end_exactly_at_frame_bytes() -> None:
    sealer, opener = pair(frame_bytes=50)
    for segment in sealer.seal(bytes(50), 5):
        assert reason(opener.open(segment, reading(parameters(), 5))) == "opened"
