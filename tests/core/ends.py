"""The two ends of a serial cable, for tests of it."""

from tickseal.core import cable

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


def make_noisy(channel, now):
    channel.disturbed(now)
    channel.disturbed(now)
