"""Stream parameters: all that was negotiated, bound into every key (protocol section 2.2)."""

import enum
from dataclasses import dataclass

from tickseal import cbor
from tickseal.core import constants
from tickseal.core.errors import LocalProtocolError, RemoteProtocolError
from tickseal.core.ticks import tick_at

DEFAULT_INTERVAL_NS = 100_000_000
_SECOND = 1_000_000_000


class Suite(enum.IntEnum):
    """The AEAD that seals segments."""

    #: For CPUs with AES instructions.
    AES_256_GCM = constants.AES_256_GCM
    #: For CPUs without.
    CHACHA20_POLY1305 = constants.CHACHA20_POLY1305
    #: For microcontrollers whose port has AES in C; 8-byte tag.
    AES_128_CCM_8 = constants.AES_128_CCM_8

    @property
    def key_bytes(self) -> int:
        """Size of the AEAD key."""
        return constants.SUITE_KEY_BYTES[self.value]

    @property
    def tag_bytes(self) -> int:
        """Size of the AEAD tag."""
        return constants.SUITE_TAG_BYTES[self.value]


class Renewal(enum.IntEnum):
    """How often the frame key changes."""

    #: One key for all frames of a tick.
    EVERY_INTERVAL = constants.RENEW_EVERY_INTERVAL
    #: A key for each frame.
    EVERY_FRAME = constants.RENEW_EVERY_FRAME


class Profile(enum.IntEnum):
    """The form of the segment header."""

    #: 16 bytes, for IP networks.
    STANDARD = constants.STANDARD
    #: 8 bytes, for serial links.
    COMPACT = constants.COMPACT


#: Wire key, attribute, lowest and highest value.
TABLE = (
    ("depth", "depth", 0, constants.DEPTH_MAX),
    ("epoch_bits", "epoch_bits", 0, constants.EPOCH_BITS_MAX),
    ("frame_bytes", "frame_bytes", 1, 1 << 26),
    ("generation", "generation", 0, (1 << 64) - 1),
    ("hash", "hash_length", constants.KEY_HASH_MIN, constants.KEY_HASH_MAX),
    ("interval", "interval_ns", 1000, 86_400 * _SECOND),
    ("past", "past_ns", 0, 3600 * _SECOND),
    ("profile", "profile", 0, 1),
    ("renewal", "renewal", 0, 1),
    ("segment_bytes", "segment_bytes", 16, 65_000),
    ("skew", "skew_ns", 0, 3600 * _SECOND),
    ("suite", "suite", 1, 3),
    ("t0", "t0_ns", 0, (1 << 64) - 1),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamParameters:
    """All that source and sink must agree on for one generation of a stream.

    Args:
        t0_ns: start of tick 0, ns TAI, on a whole second.
        generation: random 64-bit number of this generation.
        interval_ns: length of a tick, ns, 1000..86400e9.
        renewal: whether each frame or each interval has its own key.
        suite: the AEAD.
        hash_length: bytes of key hash in each segment, 8..32.
        depth: levels of the epoch tree, 0..48; 0 means no forward secrecy within the generation.
        epoch_bits: 2^epoch_bits ticks share an epoch secret, 0..32.
        past_ns, skew_ns: how late and how early a segment may be, ns, 0..3600e9.
        segment_bytes: payload bytes of a full segment, 16..65000.
        frame_bytes: largest frame, 1..2^26.
        profile: form of the header.
    Raises:
        LocalProtocolError: a value is out of its range.
    """

    t0_ns: int
    generation: int = 0
    interval_ns: int = DEFAULT_INTERVAL_NS
    renewal: Renewal = Renewal.EVERY_FRAME
    suite: Suite = Suite.AES_256_GCM
    hash_length: int = constants.KEY_HASH_DEFAULT
    depth: int = constants.DEPTH_DEFAULT
    epoch_bits: int = 0
    past_ns: int = 2 * _SECOND
    skew_ns: int = _SECOND // 2
    segment_bytes: int = 1200
    frame_bytes: int = 1 << 22
    profile: Profile = Profile.STANDARD

    def __post_init__(self) -> None:
        """Check every field, so that invalid parameters cannot exist."""
        for key, name, low, high in TABLE:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise LocalProtocolError(f"parameter {key} must be {low}..{high}, not {value!r}")
        object.__setattr__(self, "suite", Suite(self.suite))
        object.__setattr__(self, "renewal", Renewal(self.renewal))
        object.__setattr__(self, "profile", Profile(self.profile))
        if self.t0_ns % _SECOND:
            raise LocalProtocolError(f"parameter t0 must be on a whole second, not {self.t0_ns} ns")
        most = 1 << constants.SEGMENT_INDEX_BITS[self.profile]
        if self.segment_count > most:
            raise LocalProtocolError(
                f"frame_bytes = {self.frame_bytes} needs {self.segment_count} segments of "
                f"{self.segment_bytes} bytes, more than the {most} that the header can number"
            )

    @property
    def segment_count(self) -> int:
        """Segments that the largest frame needs."""
        return -(-self.frame_bytes // self.segment_bytes)

    @property
    def tick_count(self) -> int:
        """Ticks that exist; the generation is exhausted after them."""
        return min(1 << (self.depth + self.epoch_bits), 1 << 64) if self.depth else 1 << 64

    @property
    def window_ticks(self) -> int:
        """How far behind the highest tick keys are held: what may still come late."""
        return -(-(self.past_ns + self.skew_ns) // self.interval_ns)

    @property
    def overhead_bytes(self) -> int:
        """Bytes of a segment that are not payload."""
        return constants.HEADER_BYTES[self.profile] + self.hash_length + self.suite.tag_bytes

    def tick_at(self, tai_ns: int) -> int:
        """Return the tick in which an instant (ns TAI) lies; ClockError before t0."""
        return tick_at(tai_ns, self.t0_ns, self.interval_ns)

    def to_wire(self) -> dict[str, int]:
        """Return the parameter map by its wire keys."""
        return {key: int(getattr(self, name)) for key, name, _, _ in TABLE}

    def encode(self) -> bytes:
        """Return the deterministic CBOR map."""
        return cbor.encode(dict(self.to_wire()))

    @classmethod
    def decode(cls, data: bytes) -> "StreamParameters":
        """Return the parameters of an encoding.

        Raises:
            RemoteProtocolError: not deterministic CBOR, a key missing or unknown, or a value out of
                its range.
        """
        content = cbor.decode_map(data)
        if content.keys() != {row[0] for row in TABLE}:
            raise RemoteProtocolError("parameters with a key missing or unknown")
        try:
            return cls(**{name: content[key] for key, name, _, _ in TABLE})  # type: ignore[arg-type]
        except LocalProtocolError as error:
            raise RemoteProtocolError(f"parameters not accepted: {error}") from None
