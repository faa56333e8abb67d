"""When packets go on a serial cable, how often, and when the other end is taken for dead."""

from ends import LINK, Ends, make_noisy

from tickseal.core import cable


def test_one_packet_that_is_damaged_makes_no_noise_and_two_do():
    channel = cable.Channel(LINK, 0)
    for now, noisy in ((0, False), (1500, False), (2000, True)):
        channel.disturbed(now)
        assert channel.is_noisy == noisy
    channel.due(5000)
    assert not channel.is_noisy


def silent_for(channel, now, ms):
    for _ in range(ms):
        channel.due(now)
        now += 1
    return now


def test_silence_kills_a_connection_that_waits_for_an_answer_and_no_other():
    channel = cable.Channel(LINK, 0)
    now = silent_for(channel, 0, 10000)
    assert not channel.is_dead(now)
    channel.queue(5, b"x")
    now = silent_for(channel, now, cable.DEAD_MS - 1)
    assert not channel.is_dead(now)
    assert channel.is_dead(silent_for(channel, now, 2))


def test_a_device_asks_after_some_silence_and_knows_within_two_seconds_that_nobody_is_there():
    ends = Ends()
    ends.board.queue(5, b"x")
    ends.run(300)
    asked = ends.packets
    ends.run(300)
    # Twice a second, and no more; each is answered once.
    assert ends.got["host"] == [(5, b"x")]
    assert 10 <= ends.packets - asked <= 14
    now = silent_for(ends.board, ends.now, 1000)
    assert not ends.board.is_dead(now)
    assert ends.board.is_dead(silent_for(ends.board, now, 900))


def test_an_end_that_worked_long_asks_again_before_it_takes_the_other_for_dead():
    ends = Ends()
    ends.board.queue(5, b"x")
    ends.run(300)
    ends.board.queue(5, b"y")
    ends.board.due(ends.now)
    assert not ends.board.is_dead(ends.now + 5000)


def test_a_host_says_nothing_by_itself():
    channel = cable.Channel(LINK, 0)
    assert channel.wait_ms(0) == -1
    assert channel.due(60000) == []


def test_a_device_whose_port_takes_nothing_knows_it_all_the_same():
    channel = cable.Channel(LINK, 0, waits=True)
    channel.queue(5, b"x")
    channel.due(0)
    channel.acknowledged(bytes((cable.ACK, 0x12, 0x34, 1, 0)), 1)
    for now in range(1850):
        assert channel.due(now, False) == []
    assert channel.is_dead(1850)


def test_on_a_noisy_cable_pieces_are_shorter_and_come_again_sooner():
    clean, noisy = cable.Channel(LINK, 0), cable.Channel(LINK, 0)
    make_noisy(noisy, 0)
    for channel in (clean, noisy):
        channel.queue(5, bytes(64))
    assert len(clean.due(0)) == 1
    assert len(noisy.due(0)) == 6
    for channel in (clean, noisy):
        channel.acknowledged(bytes((cable.ACK, 0x12, 0x34, 1, 0)), 1)
        channel.queue(5, b"x")
        channel.due(1)
    assert noisy.wait_ms(1) < clean.wait_ms(1)


def test_on_a_noisy_cable_few_fragments_go_several_times_until_their_answer_can_be_there():
    for count, copies in ((1, 4), (2, 4), (3, 2), (8, 1)):
        channel = cable.Channel(LINK, 0)
        make_noisy(channel, 0)
        for _ in range(count):
            channel.queue(5, b"x")
        assert len(channel.due(0)) == count * copies
        assert channel.due(1) == []


def test_packets_wait_for_a_slow_cable_and_acknowledgements_go_first():
    channel = cable.Channel(LINK, 0, byte_us=cable.byte_us(9600))
    channel.queue(5, bytes(256))
    assert len(channel.due(0)) == 1
    # 75 bytes of ten bits, less what may wait in the port.
    assert channel.wait_ms(0) in (58, 59)
    assert channel.due(50) == []
    channel.received(bytes((5, 0x12, 0x34, 0, 1)))
    assert [body[0] for body in channel.due(51)] == [cable.ACK]
    now = 51 + channel.wait_ms(51)
    assert [body[0] for body in channel.due(now)] == [5 | cable.MORE]


def test_how_long_is_waited_follows_the_answers_and_counts_from_when_the_packet_left():
    waits = []
    for took in (30, 100):
        channel, now = cable.Channel(LINK, 0, byte_us=cable.byte_us(9600)), 0
        for number in range(20):
            channel.queue(5, bytes(64))
            channel.due(now)
            now += 78 + took
            channel.acknowledged(bytes((cable.ACK, 0x12, 0x34, number + 1, 0)), now)
        channel.queue(5, bytes(64))
        channel.due(now)
        waits.append(channel.wait_ms(now) - 78)
    assert 50 <= waits[0] <= 60
    assert 100 <= waits[1] <= 120


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
        waits, now = [], 0
        for _ in range(5):
            if noise:
                make_noisy(channel, now)
            channel.due(now)
            waits.append(channel.wait_ms(now))
            now += waits[-1]
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
