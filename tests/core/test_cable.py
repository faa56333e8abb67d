"""Records on a serial cable: in order, once each, whatever the cable does."""

from golden import raises

from tickseal.core import cable
from tickseal.core.errors import RemoteProtocolError

LINK = 0x1234


class Ends:
    """Two channels, and time that the test moves."""

    def __init__(self, **settings):
        self.board = cable.Channel(LINK, 0, waits=True, **settings)
        self.host = cable.Channel(LINK, 0, **settings)
        self.now = 0
        self.packets = 0
        self.got = {"board": [], "host": []}

    def step(self, lost=lambda number: False):
        for name, sender, receiver in (
            ("host", self.board, self.host),
            ("board", self.host, self.board),
        ):
            for body in sender.due(self.now):
                self.packets += 1
                if lost(self.packets):
                    continue
                assert cable.link_of(body) == LINK
                if body[0] == cable.ACK:
                    receiver.acknowledged(body, self.now)
                else:
                    assert cable.is_fragment(body)
                    self.got[name] += receiver.received(body)
        self.now += 10

    def run(self, steps=400, lost=lambda number: False):
        for _ in range(steps):
            self.step(lost)


def losing(percent):
    """As good as at random, and the same each time."""
    return lambda number: (number * 1103515245 + 12345 >> 8) * 2654435761 % 100 < percent


def make_noisy(channel, now):
    channel.disturbed(now)
    channel.disturbed(now)


def test_one_packet_that_is_damaged_makes_no_noise_and_two_do():
    channel = cable.Channel(LINK, 0)
    for now, noisy in ((0, False), (1500, False), (2000, True)):
        channel.disturbed(now)
        assert channel.is_noisy == noisy
    channel.due(5000)
    assert not channel.is_noisy


def test_records_of_every_length_arrive_whole_and_in_order():
    ends = Ends(queue_bytes=100000)
    sent = [(5, bytes(range(256))[:length]) for length in (0, 1, 15, 16, 17, 63, 64, 65, 200)]
    for kind, body in sent:
        assert ends.board.queue(kind, body)
        assert ends.host.queue(kind, body)
    ends.run(60)
    assert ends.got["host"] == sent
    assert ends.got["board"] == sent
    assert ends.board.is_idle and ends.host.is_idle
    assert ends.board.repeated == 0


def test_records_arrive_once_each_though_packets_are_lost():
    for percent in (5, 30, 60):
        ends = Ends(queue_bytes=100000)
        sent = [(5, bytes((n,)) * 150) for n in range(40)]
        for kind, body in sent:
            assert ends.board.queue(kind, body)
        ends.run(4000, losing(percent))
        assert ends.got["host"] == sent
        assert ends.board.is_idle


def test_a_fragment_that_comes_again_is_acknowledged_again_and_taken_once():
    ends = Ends()
    ends.board.queue(5, b"once")
    (body,) = ends.board.due(0)
    assert ends.host.received(body) == [(5, b"once")]
    assert ends.host.received(body) == []
    (first,) = ends.host.due(0)
    assert first[0] == cable.ACK and first[3] == 1


def test_numbers_go_round_without_harm():
    ends = Ends(queue_bytes=100000)
    sent = [(5, n.to_bytes(2, "big")) for n in range(700)]
    for kind, body in sent:
        ends.board.queue(kind, body)
    ends.run(1200)
    assert ends.got["host"] == sent


def test_at_most_a_window_is_under_way_and_one_before_anybody_answers():
    channel = cable.Channel(LINK, 0, waits=True)
    for _ in range(20):
        channel.queue(5, b"x")
    assert len(channel.due(0)) == 1
    channel.acknowledged(bytes((cable.ACK, 0x12, 0x34, 1, 0)), 1)
    assert len(channel.due(1)) == cable.WINDOW


def test_what_finds_no_room_is_refused_whole():
    channel = cable.Channel(LINK, 0, queue_bytes=100)
    assert channel.queue(5, bytes(60))
    assert not channel.room(60)
    assert not channel.queue(5, bytes(60))
    assert channel.queue(5, bytes(40))


def test_a_record_longer_than_is_taken_is_an_error():
    sender, receiver = cable.Channel(LINK, 0), cable.Channel(LINK, 0, record_bytes=100)
    sender.queue(5, bytes(101))
    bodies = sender.due(0)
    receiver.received(bodies[0])
    assert raises(RemoteProtocolError, receiver.received, bodies[1])


def test_silence_kills_a_connection_that_waits_for_an_answer_and_no_other():
    channel = cable.Channel(LINK, 0)
    channel.due(0)
    assert not channel.is_dead(60000)
    channel.queue(5, b"x")
    channel.due(60000)
    assert not channel.is_dead(60000 + cable.DEAD_MS - 1)
    assert channel.is_dead(60000 + cable.DEAD_MS)


def test_on_a_noisy_cable_pieces_are_shorter_and_come_again_sooner():
    clean, noisy = cable.Channel(LINK, 0), cable.Channel(LINK, 0)
    make_noisy(noisy, 0)
    for channel in (clean, noisy):
        channel.queue(5, bytes(64))
    assert len(clean.due(0)) == 1
    assert len(noisy.due(0)) == 6
    assert noisy.wait_ms(0) < clean.wait_ms(0)


def test_on_a_noisy_cable_an_acknowledgement_goes_twice():
    for noise, copies in ((False, 1), (True, 2)):
        sender, receiver = cable.Channel(LINK, 0), cable.Channel(LINK, 0)
        if noise:
            make_noisy(receiver, 0)
        sender.queue(5, b"x")
        receiver.received(sender.due(0)[0])
        assert len(receiver.due(0)) == copies


def test_what_was_sent_before_something_that_came_is_lost_and_goes_again_at_once():
    ends = Ends()
    ends.host.queue(5, b"one")
    ends.host.queue(5, b"two")
    first, second = ends.host.due(0)
    assert ends.board.received(second) == []
    ends.host.acknowledged(ends.board.due(0)[0], 1)
    assert ends.host.wait_ms(1) == 0
    assert ends.host.due(1) == [first]
    # It is on its way now: an older acknowledgement does not call it lost again.
    ends.host.acknowledged(bytes((cable.ACK, 0x12, 0x34, 0, 1)), 2)
    assert ends.host.due(2) == []
    assert ends.board.received(first) == [(5, b"one"), (5, b"two")]


def test_a_silent_end_is_asked_ever_more_seldom_and_one_that_is_heard_is_not():
    for noise in (False, True):
        channel = cable.Channel(LINK, 0)
        channel.queue(5, b"x")
        channel.due(0)
        waits, now = [], 0
        for _ in range(5):
            if noise:
                make_noisy(channel, now)
            waits.append(channel.wait_ms(now))
            now += waits[-1]
            channel.due(now)
        assert waits == sorted(waits)
        assert (waits[-1] == waits[0]) == noise
        assert waits[-1] <= 400


def test_a_record_that_waits_is_cut_as_the_cable_is_when_its_turn_comes():
    channel = cable.Channel(LINK, 0, waits=True)
    channel.queue(5, bytes(100))
    channel.queue(5, bytes(100))
    channel.due(0)
    make_noisy(channel, 1)
    channel.acknowledged(bytes((cable.ACK, 0x12, 0x34, 1, 0)), 1)
    assert max(len(body) for body in channel.due(1)) == 16


def test_only_a_first_handshake_message_opens_a_connection():
    assert cable.opens(bytes((1, 1, 2, 0)) + b"message")
    assert cable.opens(bytes((1 | cable.MORE, 1, 2, 0)) + b"mess")
    for body in (b"", b"\x01", bytes((1, 1, 2, 1)), bytes((5, 1, 2, 0)), bytes((7, 1, 2, 0, 0))):
        assert not cable.opens(body)


def test_any_bytes_as_an_acknowledgement_do_no_harm():
    channel = cable.Channel(LINK, 0)
    channel.queue(5, b"x")
    channel.due(0)
    for body in (b"", bytes(3), bytes(4), bytes((7, 0x12, 0x34, 200, 255)), bytes(9)):
        channel.acknowledged(body, 0)
    channel.acknowledged(bytes((7, 0x12, 0x34, 1, 0)), 0)
    assert channel.is_idle


def test_a_reset_names_its_connection():
    assert cable.link_of(cable.reset(LINK)) == LINK
    assert cable.reset(0) == bytes((cable.RESET, 0, 0))
    assert cable.link_of(bytes((cable.SEGMENT, 1, 2))) == -1
