"""Vectors of section 5: sealed frames, and what a sink must answer, step by step."""

from collections.abc import Callable, Iterator
from typing import Any

import reference as ref
from make_keys import described, make_stream
from notation import document, fixed
from reference_cbor import encode

SMALL = {"hash": 16, "segment_bytes": 32, "frame_bytes": 4096}
COMPACT = {"hash": 8, "segment_bytes": 16, "frame_bytes": 4000, "profile": 1}


def streams() -> dict[str, ref.Stream]:
    made = {
        f"suite {suite}, {name}": {**sizes, "suite": suite}
        for name, sizes in (("standard", SMALL), ("compact", COMPACT))
        for suite in (1, 2, 3)
    }
    made["one key an interval"] = {**SMALL, "renewal": 0}
    made["no tree"] = {**SMALL, "depth": 0, "suite": 3, "hash": 8}
    made["no tree, compact"] = {**COMPACT, "depth": 0, "suite": 3}
    made["two epochs"] = {**SMALL, "depth": 1, "epoch_bits": 2}
    made["epochs of 256 ticks"] = {**COMPACT, "epoch_bits": 8, "suite": 2}
    made["every default"] = {}
    return {name: make_stream(name, **changes) for name, changes in made.items()}


def frames(name: str, s: ref.Stream) -> Iterator[dict[str, Any]]:
    size, ticks = s.p["segment_bytes"], 1 << ref.TICK_BITS[s.p["profile"]]
    many = 1 << ref.FRAME_BITS[s.p["profile"]]
    summary = encode({"frames": [0, 5], "ticks": [3, 9], "final": False})
    end = encode({"frames": [0, 2**33], "ticks": [0, 2**31], "final": True})
    wanted = [
        (ref.FRAME, 0, 0, 0, b""),
        (ref.FRAME, 0, 3, 1, b"21.5"),
        (ref.FRAME, ref.BACKFILL, 4, 2, fixed("full", size)),
        (ref.FRAME, ref.HOLDOVER, 7, 3, fixed("three", 2 * size + 1)),
        (ref.FRAME, ref.BACKFILL | ref.HOLDOVER, ticks + 5, many + 7, fixed("four", 4 * size)),
        (ref.SUMMARY, 0, 8, 5, summary),
        (ref.SUMMARY, ref.HOLDOVER, 8, 6, end),
    ]
    if name == "every default":
        wanted = [wanted[0], (ref.FRAME, 0, 1, 1, fixed("long", 2500))]
    for kind, flags, tick, frame, payload in wanted:
        if s.epoch_exists(tick):
            named = {"stream": name, "kind": kind, "flags": flags, "tick": tick, "frame": frame}
            yield {
                **named,
                "payload": payload,
                "segments": s.seal(payload, tick, frame, kind, flags),
            }


class Scenario:
    """A sink and what is shown to it, in order; every answer is checked against the reference."""

    def __init__(self, name: str, stream: str, s: ref.Stream, **state: int) -> None:
        self.s, self.sink = s, ref.Sink(s, **state)
        self.steps: list[dict[str, Any]] = []
        self.start = {"name": name, "stream": stream, "failed_openings": self.sink.failed}

    def clock(self, tick: int) -> tuple[int, int]:
        middle = self.s.p["t0"] + tick * self.s.p["interval"] + self.s.p["interval"] // 2
        return middle - 1000, middle + 1000

    def show(self, why: str, segment: bytes, expected: str, now: int = 100) -> None:
        got = self.sink.open(segment, self.clock(now))
        assert (got if isinstance(got, str) else "opened") == expected, (self.start, why, got)
        answer = {"refused": got} if isinstance(got, str) else {"opened": got}
        known = {
            "revoked": self.sink.revoked,
            "live": self.sink.live,
            "backfill": self.sink.backfill,
        }
        self.steps.append(
            {"why": why, "clock": self.clock(now), **known, "segment": segment, **answer}
        )

    def one(self, tick: int, frame: int, payload: bytes = b"x", **more: int) -> bytes:
        """A frame of one segment."""
        return bytes(self.s.seal(payload, tick, frame, **more)[0]["segment"])

    def raw(self, flags: int, index: int, payload: bytes, tick: int = 100, frame: int = 0) -> bytes:
        """A segment with a valid tag, whatever its fields."""
        sealed = self.s.seal_segment(ref.FRAME, flags, tick, frame, index, payload)
        return bytes(sealed["segment"])

    def done(self) -> dict[str, Any]:
        return {**self.start, "steps": self.steps}


def flipped(segment: bytes, at: int, bits: int = 1) -> bytes:
    changed = bytearray(segment)
    changed[at] ^= bits
    return bytes(changed)


Case = Callable[[str, ref.Stream], dict[str, Any]]


def each_check(name: str, s: ref.Stream) -> dict[str, Any]:
    t = Scenario("each check alone, and no state is changed by it", name, s)
    compact, size, head = s.p["profile"], s.p["segment_bytes"], ref.HEADER_BYTES[s.p["profile"]]
    good, most = t.one(100, 0, b"21.5"), ref.segments_of(s.p)
    handle, generation, frame_end = (2, 1, head - 2) if compact else (6, 2, head - 3)
    tick_end = 4 if compact else 9
    t.show("no byte at all", b"", "truncated")
    t.show("one byte less than header, key hash and tag", good[: s.overhead - 1], "truncated")
    t.show("one byte more than a full segment", t.raw(3, 0, bytes(size + 1)), "oversize")
    t.show("version 0", flipped(good, 0, 0x10), "version")
    t.show("version 2", flipped(good, 0, 0x30), "version")
    t.show("kind with bit 1", flipped(good, 0, 2), "version")
    t.show("kind with bit 2", flipped(good, 0, 4), "version")
    t.show("kind of the other profile", flipped(good, 0, 8), "version")
    t.show("unknown handle", flipped(good, handle), "handle")
    t.show("unknown generation", flipped(good, generation), "generation")
    if not compact:
        for bit in (0x10, 0x20, 0x40, 0x80):
            t.show(f"unknown flag {bit}", t.raw(3 | bit, 0, b"x"), "malformed")
    t.show("index 0 without FIRST", t.raw(ref.LAST, 0, b"x"), "malformed")
    t.show("index 1 with FIRST", t.raw(3, 1, b"x"), "malformed")
    t.show("index beyond frame_bytes", t.raw(ref.LAST, most, b"x"), "malformed")
    t.show("not LAST and one byte short", t.raw(ref.FIRST, 0, bytes(size - 1)), "malformed")
    t.show("not LAST and empty", t.raw(0, 1, b""), "malformed")
    t.show("one tick above the window", t.one(106, 0), "early")
    t.show("one tick below the window", t.one(79, 0), "late")
    t.show("key hash, first byte", flipped(good, head), "key_hash")
    t.show("key hash, last byte", flipped(good, head + s.p["hash"] - 1), "key_hash")
    t.show("another tick within the window", flipped(good, tick_end), "key_hash")
    number = "key_hash" if s.p["renewal"] else "forged"
    t.show("another frame number", flipped(good, frame_end), number)
    t.show("tag, last byte", flipped(good, len(good) - 1), "forged")
    t.show("ciphertext, first byte", flipped(good, head + s.p["hash"]), "forged")
    t.show("flag HOLDOVER added", flipped(good, 1, 0x80 if compact else 8), "forged")
    t.show("kind made a summary", flipped(good, 0), "forged")
    t.show("one byte cut off", good[:-1], "forged")
    t.show("the segment itself", good, "opened")
    t.show("the same again", good, "replayed")
    t.show("lowest tick of the window", t.one(80, 1), "opened")
    t.show("highest tick of the window", t.one(105, 2), "opened")
    t.show("an empty frame", t.one(100, 3, b""), "opened")
    t.show("a summary", t.one(100, 4, b"\xa0", kind=ref.SUMMARY), "opened")
    three = [bytes(part["segment"]) for part in s.seal(fixed("parts", 2 * size + 1), 101, 5)]
    for index in (2, 0, 1):
        t.show(f"segment {index} of a frame of three", three[index], "opened", 101)
    t.show("segment 1 again", three[1], "replayed", 101)
    t.show("the last index allowed", t.raw(ref.LAST, most - 1, b"x", frame=6), "opened")
    return t.done()


def order(name: str, s: ref.Stream) -> dict[str, Any]:
    t = Scenario("two faults: the earlier check names the reason", name, s)
    head, generation = ref.HEADER_BYTES[s.p["profile"]], 1 if s.p["profile"] else 2
    good, key = t.one(100, 2000), head
    t.show("truncated before version", b"\x2f\xff", "truncated")
    t.show(
        "version before handle",
        flipped(flipped(good, 0, 0x30), 2 if s.p["profile"] else 6),
        "version",
    )
    wrong = flipped(flipped(good, generation), 2 if s.p["profile"] else 6)
    t.show("handle before generation", wrong, "handle")
    t.show(
        "generation before malformed", flipped(t.raw(ref.LAST, 0, b"x"), generation), "generation"
    )
    t.show("malformed before early", t.raw(ref.LAST, 0, b"x", tick=106), "malformed")
    t.show("malformed before key_hash", flipped(t.raw(ref.LAST, 0, b"x"), key), "malformed")
    t.show("late before key_hash", flipped(t.one(79, 2000), key), "late")
    t.show("key_hash before forged", flipped(flipped(good, key), len(good) - 1), "key_hash")
    t.show("the segment itself", good, "opened")
    t.show("late before replayed", good, "late", 121)
    t.show("replayed before key_hash", flipped(good, key), "replayed")
    t.show("replayed before forged", flipped(good, len(good) - 1), "replayed")
    t.show("late before stale", t.one(79, 5), "late")
    t.show("stale before key_hash", flipped(t.one(100, 5), key), "stale")
    t.show("early before stale", t.one(106, 5), "early")
    return t.done()


def replay_window(name: str, s: ref.Stream) -> dict[str, Any]:
    t = Scenario("1024 frames: the highest and the 1023 before it", name, s)
    t.show("frame 1024 first", t.one(100, 1024), "opened")
    t.show("frame 0 is behind", t.one(100, 0), "stale")
    t.show("frame 1 is just inside", t.one(100, 1), "opened")
    t.show("frame 1 again", t.one(100, 1), "replayed")
    t.show("frame 1025", t.one(101, 1025), "opened")
    t.show("frame 1 has fallen behind", t.one(100, 1), "stale")
    t.show("a jump of the whole window", t.one(101, 9000), "opened")
    t.show("frame 1025 has fallen behind", t.one(101, 1025), "stale")
    t.show("frame 7977, never seen, inside", t.one(100, 7977), "opened")
    return t.done()


def wrap(name: str, s: ref.Stream) -> dict[str, Any]:
    t = Scenario("low bits wrap: ticks and frame numbers are rebuilt", name, s)
    span, many = 1 << ref.TICK_BITS[s.p["profile"]], 1 << ref.FRAME_BITS[s.p["profile"]]
    t.show("a first frame far from 0", t.one(span - 2, many - 10), "opened", span - 1)
    t.show("across both", t.one(span + 3, many + 10), "opened", span + 1)
    t.show("from before the wrap", t.one(span - 1, many - 1), "opened", span + 2)
    t.show("half the numbers further", t.one(span + 3, many + many // 2), "opened", span + 3)
    t.show("far beyond the first wrap", t.one(7 * span, many + many // 2 + 1), "opened", 7 * span)
    t.show(
        "same low bits, one wrap old", t.one(6 * span, many + many // 2 + 2), "key_hash", 7 * span
    )
    return t.done()


def exhausted(name: str, s: ref.Stream) -> dict[str, Any]:
    t = Scenario("the tree ends: depth 1, four ticks an epoch", name, s)
    t.show("the last tick of the tree", t.one(7, 0), "opened", 7)
    last = t.s.header(ref.FRAME, 3, 8, 1, 0) + bytes(s.overhead - 16)
    t.show("the first tick beyond it", last, "exhausted", 8)
    early = t.s.header(ref.FRAME, 3, 14, 1, 0) + bytes(s.overhead - 16)
    t.show("early before exhausted", early, "early", 8)
    return t.done()


def punctured(name: str, s: ref.Stream) -> dict[str, Any]:
    t = Scenario("a clock that went back does not bring keys back", name, s)
    t.show("tick 1000", t.one(1000, 0), "opened", 1000)
    t.show("tick 500, the clock too", t.one(500, 1), "late", 500)
    t.show("tick 990", t.one(990, 2), "opened", 1000)
    return t.done()


def revoked(name: str, s: ref.Stream) -> dict[str, Any]:
    t = Scenario("a revoked stream", name, s)
    t.show("before", t.one(100, 0), "opened")
    t.sink.revoked = True
    t.show("after", t.one(100, 1), "revoked")
    t.show("revoked before malformed", t.raw(ref.LAST, 0, b"x", frame=2), "revoked")
    return t.done()


def used_up(name: str, s: ref.Stream) -> dict[str, Any]:
    t = Scenario("suite 3: the failed openings are used up", name, s, failed=2**16 - 1)
    good = t.one(100, 0)
    t.show(
        "a wrong key hash is no failed opening",
        flipped(good, ref.HEADER_BYTES[s.p["profile"]]),
        "key_hash",
    )
    t.show("good before the cap", good, "opened")
    t.show("the last failure", flipped(t.one(100, 1), len(good) - 1), "forged")
    t.show("nothing opens any more", t.one(100, 1), "exhausted")
    return t.done()


def backfill(name: str, s: ref.Stream) -> dict[str, Any]:
    t = Scenario("a generation is live, then backfilled, and then no more live", name, s)
    t.show("nothing announced", t.one(200, 0), "late", 5000)
    t.show("live", t.one(100, 0), "opened")
    t.sink.announce(200, 300)
    t.show("the live window is gone", t.one(100, 1), "late")
    t.show("below the range", t.one(199, 1), "late", 5000)
    t.show("beyond the range", t.one(300, 1), "late", 5000)
    t.show("its first tick", t.one(200, 1, flags=ref.BACKFILL), "opened", 5000)
    t.show("its last tick, without the flag", t.one(299, 2), "opened", 5000)
    t.show("an earlier one after a later one", t.one(250, 3), "opened", 5000)
    t.show("once only", t.one(250, 3), "replayed", 5000)
    t.sink.announce(1000, 1001)
    t.show("the range before is over", t.one(250, 4), "late", 5000)
    t.show("the next range", t.one(1000, 4), "opened", 5000)
    return t.done()


def offline(name: str, s: ref.Stream) -> dict[str, Any]:
    t = Scenario("a generation begun offline has no live window", name, s)
    t.sink.live = False
    t.show("nothing announced", t.one(100, 0), "early")
    t.sink.announce(50, 150)
    t.show("announced", t.one(100, 0, flags=ref.BACKFILL), "opened", 9000)
    return t.done()


def segments() -> str:
    made = streams()
    cases: list[tuple[Case, list[str]]] = [
        (each_check, [name for name in made if name.startswith(("suite", "no tree", "one key"))]),
        (order, ["suite 1, standard", "suite 3, compact"]),
        (replay_window, ["suite 1, standard", "suite 3, compact"]),
        (wrap, ["suite 2, standard", "suite 3, compact"]),
        (exhausted, ["two epochs"]),
        (punctured, ["suite 1, standard", "epochs of 256 ticks"]),
        (revoked, ["suite 1, standard", "suite 3, compact"]),
        (used_up, ["no tree", "suite 3, compact"]),
        (backfill, ["suite 1, standard"]),
        (offline, ["suite 1, standard", "suite 3, compact"]),
    ]
    return document(
        "section 5",
        streams={name: described(s) for name, s in made.items()},
        frames=[frame for name, s in made.items() for frame in frames(name, s)],
        scenarios=[case(name, made[name]) for case, names in cases for name in names],
    )


FILES = {"segments.json": segments}
