"""FrameKeys: any key still held, the same as the plain schedule gives, and nothing from behind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import any_parameters, generation, parameters, path

from tickseal import Generation, StreamParameters, primitives
from tickseal.core import keyschedule
from tickseal.core.errors import ExhaustedError, LocalProtocolError
from tickseal.streams.framekeys import FrameKeys

frames = st.integers(0, 2**64 - 1)


def behind(keys: FrameKeys, epoch: int) -> set[int]:
    """Epochs before this one that anything in its hands derives."""
    walker = keys._generation.walker
    nodes = walker.nodes() + path(walker)
    reached = {index << level for level, index, _ in nodes}
    reached |= {keys._generation.epoch(tick) for tick in keys._ticks}
    return {found for found in reached if found < epoch}


@given(any_parameters(), st.lists(st.tuples(st.integers(0, 60), frames), max_size=30))
def test_gives_the_keys_of_the_plain_schedule_in_any_order(
    settings: StreamParameters, wanted: list[tuple[int, int]]
) -> None:
    keys, plain = FrameKeys(generation(settings)), generation(settings)
    count = 0
    for tick, frame in wanted:
        if tick >= keys.end_tick:
            with pytest.raises(ExhaustedError):
                keys.derive(tick, bytes(8))
            continue
        secret = plain.walker.secret(plain.epoch(tick))
        expected = keyschedule.frame_key(primitives, secret, tick, frame)
        assert keys.derive(tick, frame.to_bytes(8, "big")) == expected
        count += 1
    assert keys.derived == count


@given(
    st.integers(1, 6),
    st.integers(0, 2),
    st.lists(st.tuples(st.booleans(), st.integers(0, 80)), max_size=30),
)
def test_nothing_behind_a_puncture_is_derivable_from_all_that_is_held(
    depth: int, epoch_bits: int, steps: list[tuple[bool, int]]
) -> None:
    keys = FrameKeys(generation(parameters(depth=depth, epoch_bits=epoch_bits)))
    punctured = 0
    for is_puncture, tick in steps:
        if is_puncture:
            keys.puncture(tick)
            punctured = max(punctured, tick)
        elif keys.first_tick <= tick < keys.end_tick:
            keys.derive(tick, bytes(8))
        epoch = punctured >> epoch_bits
        assert keys.first_tick == epoch << epoch_bits
        assert not behind(keys, epoch)
        for erased in range(max(0, keys.first_tick - 5), keys.first_tick):
            with pytest.raises(LocalProtocolError):
                keys.derive(erased, bytes(8))


@pytest.mark.parametrize("epoch_bits", [0, 1])
def test_a_puncture_erases_what_was_prepared_just_before_it(epoch_bits: int) -> None:
    keys = FrameKeys(generation(parameters(epoch_bits=epoch_bits)))
    for tick in range(40):
        keys.derive(tick, bytes(8))
        keys.derive(tick + 1, bytes(8))
        keys.puncture(tick + 1)
        assert min(keys._ticks) == keys.first_tick == (tick + 1) >> epoch_bits << epoch_bits


def test_depth_0_has_nothing_to_erase() -> None:
    keys = FrameKeys(generation(parameters(depth=0)))
    keys.puncture(1000)
    assert (keys.first_tick, keys.end_tick) == (0, 2**64)
    assert keys.derive(0, bytes(8)) != keys.derive(2**64 - 1, bytes(8))


def test_the_cache_is_bounded_whatever_ticks_are_asked_for() -> None:
    keys = FrameKeys(generation(parameters()))
    for tick in range(100):
        keys.derive(tick, bytes(8))
        keys.derive(0, bytes(8))
    assert len(keys._ticks) == 8


def test_a_grant_sets_both_ends() -> None:
    settings = parameters(depth=8, epoch_bits=2)
    source = generation(settings)
    source.walker.puncture(3)
    assert FrameKeys(source).first_tick == 12
    assert FrameKeys(source).end_tick == 1024
    assert FrameKeys(generation(parameters(depth=48, epoch_bits=32))).end_tick == 2**64


def test_a_renewed_grant_drops_what_lies_outside_of_it() -> None:
    settings = parameters(depth=8)
    source = generation(settings)
    keys = FrameKeys(
        Generation.from_grant(source.metadata, settings, source.grant(0, 40), handle=7)
    )
    for tick in (3, 10, 19, 20, 39):
        keys.derive(tick, bytes(8))
    keys.renew(source.grant(10, 20))
    assert (keys.first_tick, keys.end_tick) == (10, 20)
    assert sorted(keys._ticks) == [10, 19]
    for tick in (9, 20):
        with pytest.raises(LocalProtocolError):
            keys.derive(tick, bytes(8))


def test_after_clear_nothing_is_held() -> None:
    keys = FrameKeys(generation(parameters(depth=4)))
    keys.derive(3, bytes(8))
    keys.clear()
    assert keys.first_tick == keys.end_tick == 16
    assert not keys._ticks
    with pytest.raises(LocalProtocolError):
        keys.derive(3, bytes(8))
    assert repr(keys) == f"<FrameKeys of {keys._generation!r}>"
