"""A second tickseal, written from docs/protocol.md sections 1 to 5 alone: short and slow."""

import hashlib
import hmac
import struct
import unicodedata
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305
from reference_cbor import decode

FIRST, LAST, BACKFILL, HOLDOVER = 1, 2, 4, 8
FRAME, SUMMARY = 0, 1
TICK_BITS, FRAME_BITS = {0: 24, 1: 16}, {0: 32, 1: 16}
HEADER_BYTES, MOST_SEGMENTS = {0: 16, 1: 8}, {0: 65536, 1: 256}
KEY_BYTES, TAG_BYTES, MOST_FAILED = (
    {1: 32, 2: 32, 3: 16},
    {1: 16, 2: 16, 3: 8},
    {1: 36, 2: 36, 3: 16},
)
REPLAY_FRAMES = 1024


# Section 1


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def hmac_sha256(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


def vec(data: bytes) -> bytes:
    assert len(data) < 64
    return bytes([len(data)]) + data


def expand(secret: bytes, label: str, context: bytes, n: int, prefix: str = "tickseal/1 ") -> bytes:
    info = struct.pack(">H", n) + vec((prefix + label).encode()) + vec(context)
    out = block = b""
    for counter in range(1, -(-n // 32) + 1):
        block = hmac_sha256(secret, block + info + bytes([counter]))
        out += block
    return out[:n]


# Section 2


def check_metadata(encoding: bytes) -> dict[str, Any]:
    """Return the map, or raise ValueError."""
    metadata = decode(encoding)
    if not isinstance(metadata, dict) or len(encoding) > 1024:
        raise ValueError("not a map of at most 1024 bytes")
    _check_text(metadata.get("id"), 128, printable=True)
    _check_text(metadata.get("type"), 64, printable=True)
    qos = metadata.get("qos", 0)
    if type(qos) is int:
        if not 0 <= qos <= 255:
            raise ValueError("qos")
    else:
        _check_text(qos, 64)
    _check_text(metadata.get("unit", "-"), 32)
    for key, value in metadata.items():
        _check_free(key, value, 8)
    return metadata


def _check_text(value: Any, most: int, printable: bool = False) -> None:
    if not isinstance(value, str) or not 1 <= len(value.encode()) <= most:
        raise ValueError("text")
    if printable and any(unicodedata.category(letter) == "Cc" for letter in value):
        raise ValueError("control character")


def _check_free(key: str, value: Any, deep: int) -> None:
    if isinstance(value, (list, dict)):
        if deep == 0:
            raise ValueError(f"{key}: too deep")
        for item in value if isinstance(value, list) else value.values():
            _check_free(key, item, deep - 1)


LIMITS = {
    "depth": (0, 48), "epoch_bits": (0, 32), "frame_bytes": (1, 2**26), "generation": (0,
    2**64 - 1),
    "hash": (8, 32), "interval": (1000, 86400 * 10**9), "past": (0, 3600 * 10**9), "profile": (0,
    1),
    "renewal": (0, 1), "segment_bytes": (16, 65000), "skew": (0, 3600 * 10**9), "suite": (1, 3),
    "t0": (0, 2**64 - 1),
}  # fmt: skip
DEFAULTS = {
    "depth": 32, "epoch_bits": 0, "frame_bytes": 4 << 20, "hash": 16, "interval": 10**8,
    "past": 2 * 10**9, "profile": 0, "renewal": 1, "segment_bytes": 1200, "skew": 500 * 10**6,
    "suite": 1,
}  # fmt: skip


def check_parameters(encoding: bytes) -> dict[str, int]:
    """Return the map, or raise ValueError."""
    p = decode(encoding)
    if not isinstance(p, dict) or set(p) != set(LIMITS):
        raise ValueError("keys")
    for key, (least, most) in LIMITS.items():
        if type(p[key]) is not int or not least <= p[key] <= most:
            raise ValueError(key)
    if p["t0"] % 10**9 or segments_of(p) > MOST_SEGMENTS[p["profile"]]:
        raise ValueError("t0 or frame_bytes")
    return p


def segments_of(p: dict[str, int]) -> int:
    return int(-(-p["frame_bytes"] // p["segment_bytes"]))


def context(metadata: bytes, parameters: bytes) -> bytes:
    return sha256(b"tickseal/1 context" + sha256(metadata) + sha256(parameters))


# Section 3


def node_secret(
    root: bytes, depth: int, level: int, index: int, prefix: str = "tickseal/1 "
) -> bytes:
    """The node `level` levels above the leaves; level 0 is a leaf."""
    secret = root
    for bit in reversed(range(depth - level)):
        secret = expand(secret, "tree", b"right" if index >> bit & 1 else b"left", 32, prefix)
    return secret


def cover(depth: int, start: int, until: int) -> list[tuple[int, int]]:
    """The minimal (level, index) whose leaves are exactly [start, until), ascending."""
    nodes = []
    while start < until:
        level = 0
        while level < depth and start % (2 << level) == 0 and start + (2 << level) <= until:
            level += 1
        nodes.append((level, start >> level))
        start += 1 << level
    return nodes


@dataclass
class Stream:
    """One generation of one stream, with all its secrets."""

    metadata: bytes
    parameters: bytes
    initial_secret: bytes
    salt: bytes
    handle: int
    p: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        check_metadata(self.metadata)
        self.p = check_parameters(self.parameters)
        self.context = context(self.metadata, self.parameters)
        self.prk = hmac_sha256(self.salt, self.initial_secret)
        self.root = expand(self.prk, "root", self.context, 32)
        self.confirm = expand(self.prk, "confirm", self.context, 16)

    def epoch_exists(self, tick: int) -> bool:
        return self.p["depth"] == 0 or tick >> self.p["epoch_bits"] < 1 << self.p["depth"]

    def epoch_secret(self, tick: int) -> bytes:
        assert self.epoch_exists(tick)
        return node_secret(self.root, self.p["depth"], 0, tick >> self.p["epoch_bits"])

    def frame_key(self, tick: int, frame: int) -> bytes:
        named = frame if self.p["renewal"] == 1 else 2**64 - 1
        return expand(self.epoch_secret(tick), "frame", struct.pack(">QQ", tick, named), 32)

    def aead_key(self, frame_key: bytes) -> bytes:
        return frame_key[: KEY_BYTES[self.p["suite"]]]

    def key_hash(self, frame_key: bytes) -> bytes:
        return sha256(frame_key)[: self.p["hash"]]

    def aead(self, frame_key: bytes) -> AESGCM | ChaCha20Poly1305 | AESCCM:
        key = self.aead_key(frame_key)
        suites = {1: AESGCM, 2: ChaCha20Poly1305, 3: lambda key: AESCCM(key, tag_length=8)}
        return suites[self.p["suite"]](key)

    @property
    def overhead(self) -> int:
        return HEADER_BYTES[self.p["profile"]] + self.p["hash"] + TAG_BYTES[self.p["suite"]]

    # Section 5

    def header(self, kind: int, flags: int, tick: int, frame: int, index: int) -> bytes:
        generation = self.p["generation"]
        if self.p["profile"] == 0:
            start = struct.pack(">BBBI", 0x10 | kind, flags, generation & 0xFF, self.handle)
            middle = (tick & 0xFFFFFF).to_bytes(3, "big")
            return start + middle + struct.pack(">IH", frame & 0xFFFFFFFF, index)
        start = bytes([0x18 | kind, flags << 4 | generation & 15, self.handle & 0xFF])
        return start + struct.pack(">HHB", tick & 0xFFFF, frame & 0xFFFF, index)

    def seal_segment(  # noqa: PLR0917
        self, kind: int, flags: int, tick: int, frame: int, index: int, payload: bytes
    ) -> dict[str, Any]:
        key = self.frame_key(tick, frame)
        header = self.header(kind, flags, tick, frame, index)
        nonce, aad = nonce_of(frame, index), header + self.context
        sealed = self.aead(key).encrypt(nonce, payload, aad)
        segment = header + self.key_hash(key) + sealed
        return {"header": header, "nonce": nonce, "aad": aad, "segment": segment}

    def seal(
        self, payload: bytes, tick: int, frame: int, kind: int = FRAME, flags: int = 0
    ) -> list[dict[str, Any]]:
        size = self.p["segment_bytes"]
        pieces = [payload[at : at + size] for at in range(0, len(payload), size)] or [b""]
        return [
            self.seal_segment(
                kind,
                flags | FIRST * (index == 0) | LAST * (index == len(pieces) - 1),
                tick,
                frame,
                index,
                piece,
            )
            for index, piece in enumerate(pieces)
        ]


def nonce_of(frame: int, index: int) -> bytes:
    return struct.pack(">QI", frame, index)


# Section 4

Window = tuple[int, int]


def tick_at(instant: int, t0: int, interval: int) -> int | None:
    return (instant - t0) // interval if instant >= t0 else None


def window(p: dict[str, int], earliest: int, latest: int) -> Window | None:
    """The ticks acceptable at a clock reading, before any narrowing."""
    if latest + p["skew"] < p["t0"]:
        return None
    lower = (max(p["t0"], earliest - p["past"]) - p["t0"]) // p["interval"]
    return lower, (latest + p["skew"] - p["t0"]) // p["interval"]


def narrowed(ticks: Window, bits: int) -> Window:
    lower, upper = ticks
    middle, half = (lower + upper) // 2, 1 << (bits - 1)
    return ticks if upper - lower + 1 <= 2 * half - 1 else (middle - half + 1, middle + half - 1)


def rebuild_tick(ticks: Window, bits: int, low: int) -> tuple[int, str]:
    """The one candidate, and "accepted", "early" or "late"."""
    base = (ticks[0] + ticks[1]) // 2 - (1 << (bits - 1))
    candidate = base + ((low - base) % (1 << bits))
    lower, upper = narrowed(ticks, bits)
    verdict = "late" if candidate < lower else "early" if candidate > upper else "accepted"
    return candidate, verdict


def rebuild_backfill(span: Window, bits: int, low: int) -> int | None:
    candidate = span[0] + ((low - span[0]) % (1 << bits))
    return candidate if candidate < span[1] else None


def rebuild_frame(highest: int, bits: int, low: int) -> int:
    base = max(0, highest + 1 - (1 << (bits - 1)))
    return base + ((low - base) % (1 << bits))


# Section 5.1


@dataclass
class Sink:
    """One generation at the sink: the ordered checks, then one commit."""

    stream: Stream
    revoked: bool = False
    live: bool = True
    backfill: Window | None = None
    highest_frame: int = -1
    highest_tick: int = -1
    first_epoch: int = 0
    failed: int = 0
    opened: set[tuple[int, int]] = field(default_factory=set)

    def open(self, segment: bytes, clock: Window) -> dict[str, Any] | str:  # noqa: PLR0912
        """Return what was opened, or the reason of the refusal."""
        s, p = self.stream, self.stream.p
        if len(segment) < HEADER_BYTES[p["profile"]]:
            return "truncated"
        if segment[0] & ~1 != 0x10 | p["profile"] << 3:
            return "version"
        kind = segment[0] & 1
        if p["profile"] == 0:
            flags, generation, handle = struct.unpack(">BBI", segment[1:7])
            low_tick = int.from_bytes(segment[7:10], "big")
            low_frame, index = struct.unpack(">IH", segment[10:16])
            held = (s.handle, p["generation"] & 0xFF)
        else:
            flags, generation = segment[1] >> 4, segment[1] & 15
            handle, low_tick, low_frame, index = struct.unpack(">BHHB", segment[2:8])
            held = (s.handle & 0xFF, p["generation"] & 15)
        if handle != held[0]:
            return "handle"
        if self.revoked:
            return "revoked"
        if generation != held[1]:
            return "generation"
        size = len(segment) - s.overhead
        if size < 0:
            return "truncated"
        if size > p["segment_bytes"]:
            return "oversize"
        if flags > 15 or bool(flags & FIRST) != (index == 0):
            return "malformed"
        if index * p["segment_bytes"] + size > p["frame_bytes"]:
            return "malformed"
        if flags & LAST:
            if index and not size:
                return "malformed"
        elif size != p["segment_bytes"] or index >= segments_of(p) - 1:
            return "malformed"
        tick = self._tick(low_tick, clock)
        if isinstance(tick, str):
            return tick
        frame = rebuild_frame(self.highest_frame, FRAME_BITS[p["profile"]], low_frame)
        if (frame, index) in self.opened:
            return "replayed"
        if frame <= self.highest_frame - REPLAY_FRAMES:
            return "stale"
        key = s.frame_key(tick, frame)
        at = HEADER_BYTES[p["profile"]]
        if not hmac.compare_digest(s.key_hash(key), segment[at : at + p["hash"]]):
            return "key_hash"
        try:
            sealed, aad = segment[at + p["hash"] :], segment[:at] + s.context
            payload = s.aead(key).decrypt(nonce_of(frame, index), sealed, aad)
        except InvalidTag:
            self.failed += 1
            return "forged"
        self._commit(tick, frame, index)
        names = {"kind": kind, "flags": flags, "tick": tick, "frame": frame, "index": index}
        return {**names, "payload": payload}

    def _tick(self, low: int, clock: Window) -> int | str:
        p, bits = self.stream.p, TICK_BITS[self.stream.p["profile"]]
        if self.backfill:
            lane = rebuild_backfill(self.backfill, bits, low)
            if lane is None:
                return "late"
            tick = lane
        else:
            ticks = window(p, *clock) if self.live else None
            tick, verdict = rebuild_tick(ticks, bits, low) if ticks else (-1, "early")
            if verdict != "accepted":
                return verdict
        if not self.stream.epoch_exists(tick) or self.failed >= 1 << MOST_FAILED[p["suite"]]:
            return "exhausted"
        return "late" if tick >> p["epoch_bits"] < self.first_epoch else tick

    def _commit(self, tick: int, frame: int, index: int) -> None:
        p = self.stream.p
        self.highest_frame = max(self.highest_frame, frame)
        self.highest_tick = max(self.highest_tick, tick)
        floor = self.highest_frame - REPLAY_FRAMES
        self.opened = {one for one in self.opened if one[0] > floor} | {(frame, index)}
        if not self.backfill:
            self._puncture(self.highest_tick + -(p["past"] + p["skew"]) // p["interval"])

    def announce(self, begin: int, until: int) -> None:
        """From now on this generation is backfilled: no live window any more."""
        self.live = False
        self.backfill = (begin, until)
        self._puncture(begin)

    def _puncture(self, oldest: int) -> None:
        p = self.stream.p
        if p["depth"]:
            self.first_epoch = max(self.first_epoch, max(0, oldest) >> p["epoch_bits"])
