"""What the generations of one peer may hold together, so that a hostile one harms only itself."""

from streams import generation, parameters

from tickseal import FrameSealer
from tickseal.clock import ClockDiscipline, ClockInterval
from tickseal.streams.allotment import Allotment
from tickseal.streams.receiving import SegmentReceiver

NOW = ClockInterval.around(10**9, 1000, ClockDiscipline.NTP)


class Holding:
    def __init__(self) -> None:
        self.is_empty = False

    def give_up(self) -> None:
        self.is_empty = True


def test_the_idlest_gives_way_where_all_hold_too_much() -> None:
    first, second, third = Holding(), Holding(), Holding()
    allotment = Allotment(100)
    for each in (first, second):
        allotment.note(each, 40)
    allotment.note(first, 50)  # which makes the second the idlest
    assert not second.is_empty
    allotment.note(third, 20)
    assert (first.is_empty, second.is_empty, third.is_empty) == (False, True, False)


def test_what_was_given_back_counts_no_more() -> None:
    first, second = Holding(), Holding()
    allotment = Allotment(100)
    allotment.note(first, 90)
    allotment.note(first, 0)
    allotment.note(second, 90)
    assert not first.is_empty


def test_incomplete_frames_of_one_peer_are_bounded_over_all_its_generations() -> None:
    receiver, allotment = SegmentReceiver(), Allotment(2 * 1024)
    received, sealers = [], []
    for number in range(4):
        settings = {"segment_bytes": 16, "frame_bytes": 2048, "generation": number}
        made = [generation(parameters(t0_ns=0, **settings)) for _ in range(2)]
        received.append(receiver.install(made[0], allotment=allotment))
        sealers.append(FrameSealer(made[1]))
    for sealer in sealers:
        segments = sealer.seal(bytes(1024), 0)
        assert not receiver.receive(segments[:-1], NOW)
    assert [one.assembler.incomplete for one in received if one.assembler] == [1, 1, 0, 0]
    # The others get on, and so does the one that gave way.
    assert receiver.receive(segments[-1:], NOW)[0].payload == bytes(1024)
    assert receiver.receive(sealers[0].seal(bytes(1024), 0), NOW)


def test_a_generation_that_ends_gives_its_share_back() -> None:
    receiver, allotment = SegmentReceiver(), Allotment(1024)
    for number in range(2):
        settings = {"segment_bytes": 16, "frame_bytes": 2048, "generation": number}
        made = [generation(parameters(t0_ns=0, **settings)) for _ in range(2)]
        received = receiver.install(made[0], allotment=allotment)
        receiver.receive(FrameSealer(made[1]).seal(bytes(1000), 0)[:-1], NOW)
        assert received.assembler is not None and received.assembler.is_busy
        receiver.erase(made[0].handle, made[0].number)
    assert received.assembler.incomplete == 1
