"""FrameSealer: the golden segments, equal to the reference sealer, never twice one (key, nonce)."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import any_parameters, generation, pair, parameters, path, skip_to, vectors

from tickseal import FrameSealer, Generation, StreamMetadata, StreamParameters, primitives
from tickseal.core import constants
from tickseal.core.errors import ExhaustedError, LocalProtocolError
from tickseal.core.sealer import Sealer
from tickseal.streams import sealing
from tickseal.streams.sealing import PureFrameSealer

SEGMENTS = vectors("segments")

#: Payload bytes, ticks ahead (some back), flags, kind.
steps = st.lists(
    st.tuples(
        st.integers(0, 250),
        st.integers(-1, 3) | st.integers(0, 2**40),
        # Few, so that one often comes again.
        st.sampled_from((0, 4, 0xFF)),
        st.integers(0, 1),
    ),
    max_size=15,
)


def golden(name: str) -> Generation:
    stream = SEGMENTS["streams"][name]
    return Generation.derive(
        StreamMetadata.decode(bytes.fromhex(stream["metadata"])),
        StreamParameters.decode(bytes.fromhex(stream["parameters"])),
        initial_secret=bytes.fromhex(stream["initial_secret"]),
        salt=bytes.fromhex(stream["salt"]),
        handle=stream["handle"],
    )


@pytest.mark.parametrize("name", SEGMENTS["streams"])
def test_seals_the_golden_frames(name: str) -> None:
    assert golden(name).context == bytes.fromhex(SEGMENTS["streams"][name]["context"])
    count = 0
    for frame in SEGMENTS["frames"]:
        if frame["stream"] == name:
            sealer = FrameSealer(golden(name))
            skip_to(sealer, frame["frame"])
            payload = bytes.fromhex(frame["payload"])
            segments = sealer.seal(payload, frame["tick"], frame["flags"], frame["kind"])
            assert segments == [bytes.fromhex(one["segment"]) for one in frame["segments"]]
            count += 1
    assert count >= 2


def outcome(seal: Callable[..., list[bytes]], *arguments: Any) -> Any:
    try:
        return seal(*arguments)
    except LocalProtocolError as error:
        return type(error)


@given(any_parameters(), steps)
def test_is_equal_to_the_reference_sealer(
    settings: StreamParameters, frames: list[tuple[int, int, int, int]]
) -> None:
    fast, plain = FrameSealer(generation(settings)), generation(settings)
    reference = Sealer(primitives, plain.context, plain.walker, settings.to_wire(), plain.handle)
    tick = 0
    for size, ahead, flags, kind in frames:
        arguments = (bytes(range(size)), tick + ahead, flags, kind)
        expected = outcome(reference.seal, *arguments)
        assert outcome(fast.seal, *arguments) == expected
        assert fast.frame_number == reference.frame_number
        if isinstance(expected, list):
            tick += ahead
            assert fast.tick == tick


class Recorder:
    """An AEAD that records under what it seals, and fails when it is told to."""

    used: set[tuple[bytes, bytes]]
    failing = False

    def __init__(self, key: bytes) -> None:
        self.key = key

    def encrypt(self, nonce: bytes, payload: bytes, aad: bytes) -> bytes:
        assert (self.key, nonce) not in self.used
        self.used.add((self.key, nonce))
        if Recorder.failing:
            raise OverflowError
        return bytes(payload)


@given(any_parameters(), steps, st.sets(st.integers(0, 14)))
def test_never_seals_twice_under_one_key_and_nonce_nor_goes_back(
    settings: StreamParameters, frames: list[tuple[int, int, int, int]], failing: set[int]
) -> None:
    Recorder.used = set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealing, "AEADS", dict.fromkeys((1, 2, 3), Recorder))
        sealer = PureFrameSealer(generation(settings))
        tick = -1
        for place, (size, ahead, flags, kind) in enumerate(frames):
            Recorder.failing = place in failing
            try:
                sealer.seal(bytes(size), max(tick, 0) + ahead, flags, kind)
            except (LocalProtocolError, OverflowError):
                pass
            assert sealer.tick >= tick
            tick = sealer.tick
    assert len({nonce for _, nonce in Recorder.used}) == len(Recorder.used)


def test_a_refused_call_moves_nothing() -> None:
    sealer, _ = pair(depth=3, frame_bytes=40)
    expected, _ = pair(depth=3, frame_bytes=40)
    assert sealer.seal(b"a", 2) == expected.seal(b"a", 2)
    for payload, tick, error in (
        (bytes(41), 3, LocalProtocolError),
        (b"", 1, LocalProtocolError),
        (b"", -1, LocalProtocolError),
        (b"", 8, ExhaustedError),
        (b"", 2**64, ExhaustedError),
    ):
        with pytest.raises(error):
            sealer.seal(payload, tick)
        assert (sealer.tick, sealer.frame_number) == (2, 1)
    assert sealer.seal(b"b", 2) == expected.seal(b"b", 2)


def test_a_frame_below_a_segment_is_still_bounded_by_frame_bytes() -> None:
    sealer, _ = pair(frame_bytes=10)
    assert len(sealer.seal(bytes(10), 0)) == 1
    with pytest.raises(LocalProtocolError, match="larger than frame_bytes = 10"):
        sealer.seal(bytes(11), 0)


@pytest.mark.parametrize("depth", [0, 4])
def test_the_first_tick_is_0_at_the_earliest(depth: int) -> None:
    sealer, _ = pair(depth=depth)
    assert sealer.tick == -1
    with pytest.raises(LocalProtocolError, match="tick -1") as refusal:
        sealer.seal(b"", -1)
    assert not isinstance(refusal.value, ExhaustedError)
    with pytest.raises(ExhaustedError):
        sealer.seal(b"", 2**64)
    assert sealer.seal(b"", 0)
    assert sealer.tick == 0


def test_the_last_frame_number_ends_the_generation() -> None:
    sealer, _ = pair()
    skip_to(sealer, constants.EVERY_FRAME_OF_INTERVAL - 1)
    assert sealer.seal(b"", 0)
    with pytest.raises(ExhaustedError, match="used up"):
        sealer.seal(b"", 0)


@pytest.mark.parametrize("renewal", [0, 1])
@pytest.mark.parametrize("size", [0, 16, 100])
def test_takes_any_buffer(renewal: int, size: int) -> None:
    payload = bytes(range(size))
    expected = pair(renewal=renewal)[0].seal(payload, 0)
    for buffer in (bytearray(payload), memoryview(payload), memoryview(bytearray(payload))):
        assert pair(renewal=renewal)[0].seal(buffer, 0) == expected
    words = memoryview(payload + bytes(size % 4)).cast("I")
    assert pair(renewal=renewal)[0].seal(words, 0) == expected


@pytest.mark.parametrize("size", [0, 100])
def test_only_backfill_and_holdover_are_the_callers_flags(size: int) -> None:
    assert pair()[0].seal(bytes(size), 0, 0xFF) == pair()[0].seal(bytes(size), 0, 0x0C)
    assert pair()[0].seal(bytes(size), 0, 0xF3) == pair()[0].seal(bytes(size), 0)


def test_counts_a_key_a_frame_or_a_key_a_tick() -> None:
    for renewal, expected in ((1, 6), (0, 2)):
        sealer, _ = pair(renewal=renewal)
        for tick in (0, 0, 0, 5, 5, 5):
            sealer.seal(bytes(40), tick)
        assert sealer.keys_derived == expected


def test_holds_no_node_that_reaches_behind_its_tick() -> None:
    sealer, _ = pair(depth=6, epoch_bits=1)
    for tick in (0, 1, 2, 9, 9, 30, 127):
        sealer.seal(b"", tick)
        walker = sealer.generation.walker
        assert not path(walker)
        assert all(index << level > tick >> 1 for level, index, _ in walker.nodes())


@pytest.mark.parametrize("depth", [0, 4])
@pytest.mark.parametrize("renewal", [0, 1])
def test_after_clear_nothing_can_be_sealed(depth: int, renewal: int) -> None:
    for used in (False, True):
        sealer, _ = pair(depth=depth, renewal=renewal)
        if used:
            sealer.seal(b"", 3)
        assert repr(sealer).endswith(f"next frame {int(used)}>")
        sealer.clear()
        sealer.clear()
        assert not any(hasattr(sealer, name) for name in ("_cipher", "_inner", "_outer", "_pad"))
        for tick in (-1, 0, 3, 4, 2**64):
            with pytest.raises(LocalProtocolError):
                sealer.seal(b"", tick)


def test_the_largest_frame_has_as_many_segments_as_the_header_can_number() -> None:
    sealer, _ = pair(segment_bytes=1024, frame_bytes=2**26)
    segments = sealer.seal(bytes(2**26), 0)
    assert len(segments) == 65536
    assert {len(segment) for segment in segments} == {1024 + 48}
    assert parameters(segment_bytes=1024, frame_bytes=2**26).segment_count == 65536
