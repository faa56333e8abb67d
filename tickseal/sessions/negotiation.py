"""Negotiation of stream parameters: wished, allowed, taken (docs/protocol.md section 7.2)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from typing import NamedTuple

from tickseal import cbor
from tickseal.clock import ClockInterval
from tickseal.core import constants
from tickseal.core.errors import LocalProtocolError, RemoteProtocolError
from tickseal.streams.parameters import TABLE, Profile, Renewal, StreamParameters, Suite

_SECOND = 1_000_000_000
_SUITES_MAX = 16
_SUITE_NUMBER_MAX = 255
#: Wire key, attribute, lowest and highest value of what may be wished for besides suites.
_WISHES = tuple(row for row in TABLE if row[0] not in ("generation", "suite", "t0"))
_RANGES = {name: (low, high) for _, name, low, high in _WISHES}


class NegotiationError(RemoteProtocolError):
    """A wish cannot be granted, or what was granted cannot be taken.

    Attributes:
        reason: one word, as in a `refused` message: "suite", "profile", "policy".
        detail: a sentence for people.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Span(NamedTuple):
    """Lowest and highest value allowed, both included."""

    low: int
    high: int

    def clamp(self, value: int) -> int:
        """Return the allowed value that is nearest."""
        return min(max(value, self.low), self.high)

    def __contains__(self, value: object) -> bool:
        """Tell whether a value is allowed."""
        return isinstance(value, int) and self.low <= value <= self.high


# --- Implementation: the defaults of both policies ---
#: 2^16 ticks of 100 ms are two hours; without a tree there is no forward secrecy.
_TREE = Span(16, constants.DEPTH_MAX)
_EPOCH = Span(0, 16)
_FRAME = Span(1, 1 << 26)
_HASH = Span(constants.KEY_HASH_MIN, constants.KEY_HASH_MAX)
_INTERVAL = Span(1_000_000, 3600 * _SECOND)
#: How long the sink keeps keys back for what is late.
_PAST = Span(0, 60 * _SECOND)
_SEGMENT = Span(16, 65_000)
_SKEW = Span(0, 10 * _SECOND)


def is_suite_list(value: object) -> bool:
    """Tell whether a value is a tuple of 1..16 different suite numbers, 1..255 each."""
    return (
        isinstance(value, tuple)
        and 1 <= len(value) <= _SUITES_MAX
        and all(type(n) in (int, Suite) and 1 <= n <= _SUITE_NUMBER_MAX for n in value)
        and len(set(value)) == len(value)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a device would like of a stream; None leaves it to the controller.

    Args:
        suites: in the order of preference, as numbers, since a newer device may know more; none
            stands for those of its `hello`.
        others: as in StreamParameters.
    Raises:
        LocalProtocolError: a value that no stream can have.
    """

    suites: tuple[int, ...] = ()
    depth: int | None = None
    epoch_bits: int | None = None
    frame_bytes: int | None = None
    hash_length: int | None = None
    interval_ns: int | None = None
    past_ns: int | None = None
    profile: Profile | None = None
    renewal: Renewal | None = None
    segment_bytes: int | None = None
    skew_ns: int | None = None

    def __post_init__(self) -> None:
        """Check every field, so that an impossible wish cannot exist."""
        if self.suites and not is_suite_list(self.suites):
            raise LocalProtocolError(f"a wish names 1..{_SUITES_MAX} different suites, 1..255 each")
        for key, name, low, high in _WISHES:
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise LocalProtocolError(f"a wish for {key} must be {low}..{high}")
        if self.profile is not None:
            object.__setattr__(self, "profile", Profile(self.profile))
        if self.renewal is not None:
            object.__setattr__(self, "renewal", Renewal(self.renewal))

    def to_wire(self) -> dict[str, cbor.Value]:
        """Return the wish map of section 7.2; what is not wished is left out."""
        wire: dict[str, cbor.Value] = {
            key: int(value)
            for key, name, _, _ in _WISHES
            if (value := getattr(self, name)) is not None
        }
        if self.suites:
            wire["suites"] = [int(suite) for suite in self.suites]
        return wire

    @classmethod
    def from_wire(cls, value: cbor.Value) -> "Wish":
        """Return the wish of a decoded map.

        Raises:
            RemoteProtocolError: not a map, an unknown key, or a value that no stream can have.
        """
        if not isinstance(value, dict):
            raise RemoteProtocolError("a wish that is not a map")
        rest = dict(value)
        suites = rest.pop("suites", None)
        if not (rest.keys() <= {row[0] for row in _WISHES}) or None in rest.values():
            raise RemoteProtocolError("a wish with an unknown key or a null")
        if "suites" in value and not (isinstance(suites, list) and suites):
            raise RemoteProtocolError("a wish whose suites are no list, or an empty one")
        wished = {name: rest[key] for key, name, _, _ in _WISHES if key in rest}
        try:
            return cls(suites=tuple(suites or ()), **wished)  # type: ignore[arg-type]
        except (LocalProtocolError, TypeError) as fault:
            raise RemoteProtocolError(f"a wish that is not accepted: {fault}") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class NegotiationPolicy:
    """What a controller allows.

    Args:
        suites: in its own order; the first that the device offers is picked.
        profiles: forms of the header that its sink takes.
        renewals: how often keys may change; the first stands where the wish is not allowed.
        others: spans of StreamParameters' values. Depth 0 gives up forward secrecy.
    Raises:
        LocalProtocolError: a list is empty, or a span is empty or beyond what a stream can have.
    """

    suites: tuple[Suite, ...] = tuple(Suite)
    profiles: tuple[Profile, ...] = tuple(Profile)
    renewals: tuple[Renewal, ...] = (Renewal.EVERY_FRAME, Renewal.EVERY_INTERVAL)
    depth: Span = _TREE
    epoch_bits: Span = _EPOCH
    frame_bytes: Span = _FRAME
    hash_length: Span = _HASH
    interval_ns: Span = _INTERVAL
    past_ns: Span = _PAST
    segment_bytes: Span = _SEGMENT
    skew_ns: Span = _SKEW

    def __post_init__(self) -> None:
        """Check every field, so that an impossible policy cannot exist."""
        for name in ("suites", "profiles", "renewals"):
            if not getattr(self, name):
                raise LocalProtocolError(f"a policy allows at least one of {name}")
        for field in fields(self):
            if field.name in ("suites", "profiles", "renewals"):
                continue
            span = getattr(self, field.name)
            low, high = _RANGES[field.name]
            if not low <= span.low <= span.high <= high:
                raise LocalProtocolError(f"policy {field.name} must be a span within {low}..{high}")

    def check(self, parameters: StreamParameters) -> None:
        """Check parameters that were not negotiated, as those of an offline generation.

        Raises:
            NegotiationError: they are not within the policy; reason "policy".
        """
        for field in fields(self):
            allowed = getattr(self, field.name)
            value = getattr(parameters, _SINGULAR.get(field.name, field.name))
            if value not in allowed:
                raise NegotiationError("policy", f"{field.name} {value} is not allowed")


_SINGULAR = {"suites": "suite", "profiles": "profile", "renewals": "renewal"}


def clamp(
    wish: Wish, policy: NegotiationPolicy, *, now: ClockInterval, generation: int
) -> StreamParameters:
    """Return what a controller grants: each wish, moved into the policy (section 7.2).

    What is not wished is the default, moved likewise. frame_bytes is cut to what the header can
    number.

    Args:
        now: the controller's clock; t0 is the whole second at or before its earliest.
        generation: from pick_generation().
    Raises:
        NegotiationError: no common suite ("suite"), or a header that the sink does not take
            ("profile").
    """
    suite = next((suite for suite in policy.suites if suite in wish.suites), None)
    if suite is None:
        raise NegotiationError("suite", "the device offers none of the suites allowed here")
    profile = policy.profiles[0] if wish.profile is None else wish.profile
    if profile not in policy.profiles:
        raise NegotiationError("profile", f"the {profile.name} header is not taken here")
    renewal = policy.renewals[0]
    if wish.renewal is not None and wish.renewal in policy.renewals:
        renewal = wish.renewal
    values: dict[str, int] = {}
    for _, name, _, _ in _WISHES:
        if name in ("profile", "renewal"):
            continue
        wished = getattr(wish, name)
        span: Span = getattr(policy, name)
        values[name] = span.clamp(getattr(_DEFAULTS, name) if wished is None else wished)
    most = values["segment_bytes"] << constants.SEGMENT_INDEX_BITS[profile]
    values["frame_bytes"] = min(values["frame_bytes"], most)
    return StreamParameters(
        t0_ns=now.earliest_ns - now.earliest_ns % _SECOND,
        generation=generation,
        suite=suite,
        profile=profile,
        renewal=renewal,
        **values,
    )


_DEFAULTS = StreamParameters(t0_ns=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptancePolicy:
    """What a device takes from its controller, which may have been led astray.

    Args:
        suites: that it offers, in the order of preference.
        profiles, renewals: that it can work with.
        hash_min: fewest bytes of key hash, 8..32.
        depth_min: fewest levels of the tree; 0 gives up forward secrecy within a generation.
        interval_ns: shortest and longest tick.
        past_max_ns, skew_max_ns: widest window that the sink may keep open.
    Raises:
        LocalProtocolError: a list is empty, or a bound is one that no stream can have.
    """

    suites: tuple[Suite, ...] = (Suite.AES_256_GCM, Suite.CHACHA20_POLY1305)
    profiles: tuple[Profile, ...] = (Profile.STANDARD,)
    renewals: tuple[Renewal, ...] = tuple(Renewal)
    hash_min: int = constants.KEY_HASH_DEFAULT
    depth_min: int = 1
    interval_ns: Span = _INTERVAL
    past_max_ns: int = _PAST.high
    skew_max_ns: int = _SKEW.high

    def __post_init__(self) -> None:
        """Check every field, so that an impossible policy cannot exist."""
        if not (self.suites and self.profiles and self.renewals):
            raise LocalProtocolError("a policy allows at least one suite, profile and renewal")
        for name, values in (
            ("hash_length", (self.hash_min,)),
            ("depth", (self.depth_min,)),
            ("interval_ns", self.interval_ns),
            ("past_ns", (self.past_max_ns,)),
            ("skew_ns", (self.skew_max_ns,)),
        ):
            low, high = _RANGES[name]
            if not all(low <= value <= high for value in values):
                raise LocalProtocolError(f"a bound on {name} must be within {low}..{high}")

    def check(self, parameters: StreamParameters, *, offered: Iterable[int] = tuple(Suite)) -> None:
        """Check what a controller granted.

        Args:
            offered: the suites of the wish.
        Raises:
            NegotiationError: it is not within the policy; reason "policy".
        """
        faults = (
            (parameters.suite not in self.suites, "a suite that is not allowed"),
            (parameters.suite not in offered, "a suite that was not offered"),
            (parameters.profile not in self.profiles, "a header profile that was not offered"),
            (parameters.renewal not in self.renewals, "a renewal that is not allowed"),
            (parameters.hash_length < self.hash_min, f"a key hash under {self.hash_min} bytes"),
            (parameters.depth < self.depth_min, f"a tree under {self.depth_min} levels"),
            (parameters.interval_ns not in self.interval_ns, "a tick too short or too long"),
            (parameters.past_ns > self.past_max_ns, "too long a window for late segments"),
            (parameters.skew_ns > self.skew_max_ns, "too long a window for early segments"),
        )
        for is_fault, what in faults:
            if is_fault:
                raise NegotiationError("policy", f"the controller granted {what}")


def pick_generation(
    random_bytes: Callable[[int], bytes],
    held: Iterable[int],
    profile: Profile = Profile.STANDARD,
) -> int:
    """Return a random generation number whose low bits differ from those of all that are held.

    Raises:
        LocalProtocolError: as many are held as the header can tell apart.
    """
    return _pick(random_bytes, 64, constants.GENERATION_BITS[profile], held)


def pick_handle(
    random_bytes: Callable[[int], bytes],
    taken: Iterable[int],
    profile: Profile = Profile.STANDARD,
) -> int:
    """Return a random handle, not 0, whose low bits differ from those of all taken on its link.

    Raises:
        LocalProtocolError: as many are taken as the header can tell apart.
    """
    return _pick(random_bytes, 32, constants.HANDLE_BITS[profile], taken)


def _pick(
    random_bytes: Callable[[int], bytes], bits: int, low_bits: int, held: Iterable[int]
) -> int:
    mask = (1 << low_bits) - 1
    low = {number & mask for number in held}
    if len(low) > mask:
        raise LocalProtocolError(f"all {mask + 1} numbers that the header tells apart are in use")
    number = int.from_bytes(random_bytes(bits // 8), "big")
    while number & mask in low or not number:
        number = (number + 1) % (1 << bits)
    return number
