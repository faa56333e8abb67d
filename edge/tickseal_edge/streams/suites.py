"""Which suite a device asks for: AES-GCM where the processor has it, else ChaCha20-Poly1305.

What is asked for is inside the handshake and bound into every key: nobody on the way can make it
another. A gateway picks by its own order of preference, so a processor without AES asks for
ChaCha20 alone, and for both only where the gateway refuses that.
"""

from pathlib import Path

from tickseal.sessions.negotiation import AcceptancePolicy
from tickseal.streams.parameters import Suite

_CPUINFO = Path("/proc/cpuinfo")
SUITES = {"aes-256-gcm": Suite.AES_256_GCM, "chacha20-poly1305": Suite.CHACHA20_POLY1305}


def has_aes(cpuinfo: Path = _CPUINFO) -> bool:
    """Return whether the processor has instructions for AES (x86: aes; ARM: aes in Features)."""
    try:
        text = cpuinfo.read_text("utf-8", "replace")
    except OSError:
        return False
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return "aes" in value.split()
    return False


def policy_of(suite: str, cpuinfo: Path = _CPUINFO) -> AcceptancePolicy:
    """Return what is taken from a gateway, the preferred suite first.

    Args:
        suite: "auto", which takes either, or the only one that is taken; see SUITES.
    """
    if suite != "auto":
        return AcceptancePolicy(suites=(SUITES[suite],))
    both = (Suite.AES_256_GCM, Suite.CHACHA20_POLY1305)
    return AcceptancePolicy(suites=both if has_aes(cpuinfo) else both[::-1])


def first_wish(policy: AcceptancePolicy) -> tuple[int, ...]:
    """Return the suites that are asked for first; the policy's are, where those are refused."""
    if policy.suites[0] is Suite.CHACHA20_POLY1305:
        return (int(policy.suites[0]),)
    return tuple(int(suite) for suite in policy.suites)
