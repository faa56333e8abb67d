"""Secure data streaming with ephemeral key derivation: each frame under a key of its own."""

from tickseal.clock import ClockInterval
from tickseal.core.errors import (
    ClockError,
    ConfigError,
    EnrolmentError,
    ExhaustedError,
    HandshakeError,
    LinkError,
    LocalProtocolError,
    RemoteProtocolError,
    StoreError,
    TicksealError,
)
from tickseal.native import Acceleration, acceleration
from tickseal.streams.generation import Generation, derive_frame_key, key_hash
from tickseal.streams.metadata import StreamMetadata
from tickseal.streams.opening import FrameOpener, OpenedSegment, Refused
from tickseal.streams.parameters import Profile, Renewal, StreamParameters, Suite
from tickseal.streams.receiving import Frame, SegmentReceiver
from tickseal.streams.sealing import FrameSealer

__all__ = [
    "Acceleration",
    "ClockError",
    "ClockInterval",
    "ConfigError",
    "EnrolmentError",
    "ExhaustedError",
    "Frame",
    "FrameOpener",
    "FrameSealer",
    "Generation",
    "HandshakeError",
    "LinkError",
    "LocalProtocolError",
    "OpenedSegment",
    "Profile",
    "Refused",
    "RemoteProtocolError",
    "Renewal",
    "SegmentReceiver",
    "StoreError",
    "StreamMetadata",
    "StreamParameters",
    "Suite",
    "TicksealError",
    "acceleration",
    "derive_frame_key",
    "key_hash",
]
