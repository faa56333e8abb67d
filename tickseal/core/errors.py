"""The exceptions of tickseal, one tree, and the reasons for which a sink refuses a segment."""


class TicksealError(Exception):
    """The root of every error that tickseal raises: what was wrong, where, and what to do."""


class ConfigError(TicksealError):
    """A configuration says something that is not allowed."""


class ClockError(TicksealError):
    """Time cannot be told, or an instant has no tick."""


class LocalProtocolError(TicksealError):
    """You called something with a value, or in an order, that the protocol does not allow."""


class RemoteProtocolError(TicksealError):
    """The peer sent bytes that the protocol does not allow."""


class HandshakeError(RemoteProtocolError):
    """A handshake failed: wrong key, wrong PSK, or bytes that were altered."""


class EnrolmentError(TicksealError):
    """An invite cannot be used: malformed, expired, used, or not for this gateway."""


class ExhaustedError(LocalProtocolError):
    """A generation has no further tick or frame number; open the next generation."""


class LinkError(TicksealError):
    """A link to the peer failed or could not be opened."""


class StoreError(TicksealError):
    """State on disk cannot be read or written."""


# Reasons of a refusal, in the order of the checks (docs/protocol.md section 5.1).
TRUNCATED = "truncated"
OVERSIZE = "oversize"
WRONG_VERSION = "version"
UNKNOWN_HANDLE = "handle"
UNKNOWN_GENERATION = "generation"
REVOKED = "revoked"
MALFORMED = "malformed"
EARLY = "early"
LATE = "late"
EXHAUSTED = "exhausted"
REPLAYED = "replayed"
STALE = "stale"
WRONG_KEY_HASH = "key_hash"
FORGED = "forged"
REASONS = (
    TRUNCATED, OVERSIZE, WRONG_VERSION, UNKNOWN_HANDLE, UNKNOWN_GENERATION, REVOKED, MALFORMED,
    EARLY, LATE, EXHAUSTED, REPLAYED, STALE, WRONG_KEY_HASH, FORGED,
)  # fmt: skip
