"""Records on a serial cable: in order, once each, whatever the cable does."""

from ends import LINK, Ends
from golden import raises

from tickseal.core import cable
from tickseal.core.errors import RemoteProtocolError


def losing(percent):
    """As good as at random, and the same each time."""
    return lambda number: (number * 1103515245 + 12345 >> 8) * 2654435761 % 100 < percent


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
        while not ends.board.is_idle:
            ends.step(losing(percent))
            assert ends.now < 40000
        assert ends.got["host"] == sent


def test_a_fragment_that_comes_again_is_acknowledged_again_and_taken_once():
    ends = Ends()
    ends.board.queue(5, b"once")
    body = ends.board.due(0)[0]
    assert ends.host.received(body) == [(5, b"once")]
    assert ends.host.received(body) == []
    (first,) = ends.host.due(0)
    assert first[0] == cable.ACK and first[3] == 1


def test_numbers_go_round_without_harm():
    ends = Ends(queue_bytes=100000)
    sent = [(5, n.to_bytes(2, "big")) for n in range(300)]
    for kind, body in sent:
        ends.board.queue(kind, body)
    ends.run(600)
    assert ends.got["host"] == sent


def test_at_most_a_window_is_under_way_and_one_before_anybody_answers():
    channel = cable.Channel(LINK, 0, waits=True)
    for _ in range(20):
        channel.queue(5, b"x")
    assert len(set(channel.due(0))) == 1
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


def test_asking_is_no_record_whatever_follows():
    ends = Ends()
    for kind, body in ((1, b"x"), (6, b"data"), (5, b"control")):
        ends.board.queue(kind, body)
        ends.run(120)
    assert ends.got["host"] == [(1, b"x"), (6, b"data"), (5, b"control")]


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
