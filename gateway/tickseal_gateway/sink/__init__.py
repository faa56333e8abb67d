"""A separate Data Sink: reads streams of a gateway on another machine (docs/protocol.md 9)."""
