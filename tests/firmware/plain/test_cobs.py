"""Packets on a serial cable: examples; test_cobs_properties.py has the rest."""

from tickseal.core import cobs
from tickseal.core.errors import RemoteProtocolError

# From the table of examples in Cheshire and Baker's format, zeros as they stand on the wire.
EXAMPLES = (
    (b"", b"\x01"),
    (b"\x00", b"\x01\x01"),
    (b"\x00\x00", b"\x01\x01\x01"),
    (b"\x11\x22\x00\x33", b"\x03\x11\x22\x02\x33"),
    (b"\x11\x22\x33\x44", b"\x05\x11\x22\x33\x44"),
    (b"\x11\x00\x00\x00", b"\x02\x11\x01\x01\x01"),
    (bytes(range(1, 255)), b"\xff" + bytes(range(1, 255))),
    (bytes(range(255)), b"\x01\xff" + bytes(range(1, 255))),
    (bytes(range(1, 256)), b"\xff" + bytes(range(1, 255)) + b"\x02\xff"),
    (bytes(range(2, 256)) + b"\x00", b"\xff" + bytes(range(2, 256)) + b"\x01\x01"),
    (bytes(range(3, 256)) + b"\x00\x01", b"\xfe" + bytes(range(3, 256)) + b"\x02\x01"),
)


def fails(stuffed, reading=cobs.decode):
    try:
        reading(stuffed)
    except RemoteProtocolError:
        return True
    return False


def test_stuffs_the_published_examples():
    for data, stuffed in EXAMPLES:
        assert cobs.stuff(data) == stuffed
        assert cobs.unstuff(stuffed) == data


def test_refuses_what_was_not_stuffed():
    for stuffed in (b"", b"\x00", b"\x02\x00", b"\x02", b"\x03\x01", b"\x05\x01", b"\x01\x03\x07"):
        assert fails(stuffed, cobs.unstuff)
        assert fails(stuffed)


def test_refuses_what_is_too_short_for_a_crc():
    assert fails(cobs.stuff(b"abc"))


def test_refuses_a_packet_with_any_one_bit_changed():
    packet = cobs.encode(b"\x00temperature\x00")[:-1]
    for bit in range(8 * len(packet)):
        changed = bytearray(packet)
        changed[bit >> 3] ^= 1 << (bit & 7)
        assert fails(bytes(changed))


def test_finds_packets_however_the_stream_is_cut():
    bodies = [b"", b"\x00", b"one", bytes(100)]
    stream = b"".join(cobs.encode(body) for body in bodies)
    for step in range(1, 20):
        reader = cobs.PacketReader(100)
        found = []
        for at in range(0, len(stream), step):
            found += reader.receive(stream[at : at + step])
        assert found == bodies
        assert reader.damaged == 0


def test_a_packet_after_noise_and_a_delimiter_is_found():
    reader = cobs.PacketReader(100)
    assert reader.receive(b"noise\x00" + cobs.encode(b"body")) == [b"body"]
    assert reader.damaged == 1


def test_what_is_too_long_is_dropped_and_counted_once():
    reader = cobs.PacketReader(100)
    assert reader.receive(cobs.encode(b"x" * 101)) == []
    for _ in range(50):
        assert reader.receive(b"x" * 100) == []
    assert reader.receive(b"\x00" + cobs.encode(b"x" * 100)) == [b"x" * 100]
    assert reader.damaged == 2


def test_the_end_of_what_is_too_long_is_no_packet():
    reader = cobs.PacketReader(100)
    reader.receive(b"x" * 300)
    assert reader.receive(cobs.encode(b"the end")[1:]) == []
    assert reader.damaged == 1


def test_ctrl_c_is_never_on_the_cable():
    for value in range(256):
        body = bytes((value, 2, 3, value))
        packet = cobs.encode(body)
        assert b"\x03" not in packet
        assert cobs.decode(packet[1:-1]) == body


def test_refuses_what_was_not_escaped():
    for packet in (b"\x03", b"\x02", b"\x05\x02\x06\x01", b"\x02\x02\x04"):
        assert fails(packet, cobs.unescape)


def test_idle_delimiters_are_no_packets():
    reader = cobs.PacketReader(10)
    assert reader.receive(bytes(50)) == []
    assert reader.damaged == 0
