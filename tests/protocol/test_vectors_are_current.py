"""The golden vectors are what their generator writes, and that agrees with published ones."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

VECTORS = Path(__file__).parent.parent / "vectors"
#: Published by others, or random and recorded once.
NOT_GENERATED = {"encapsulation.json", "mls_secret_tree_suite1.json"}
REFERENCE_MODULES = ("reference", "reference_noise", "reference_cbor")


@pytest.fixture(scope="module")
def reference() -> Iterator[tuple[Any, Any]]:
    """The modules of the second implementation, importable only while this file runs."""
    sys.path.insert(0, str(VECTORS))
    try:
        import reference  # noqa: PLC0415
        import reference_noise  # noqa: PLC0415

        yield reference, reference_noise
    finally:
        sys.path.remove(str(VECTORS))
        for name in REFERENCE_MODULES:
            sys.modules.pop(name, None)


def test_the_generator_writes_what_is_checked_in(tmp_path: Path) -> None:
    subprocess.run([sys.executable, VECTORS / "generate.py", tmp_path], check=True)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    kept = {
        path.name: path.read_bytes()
        for path in VECTORS.glob("*.json")
        if path.name not in NOT_GENERATED and not path.name.startswith("noise_")
    }
    assert written.keys() == kept.keys()
    stale = [name for name in kept if written[name] != kept[name]]
    assert not stale, f"run tests/vectors/generate.py: {stale}"


def test_every_file_names_its_section() -> None:
    for path in VECTORS.glob("*.json"):
        if path.name not in NOT_GENERATED and not path.name.startswith("noise_"):
            assert json.loads(path.read_text())["source"].startswith("docs/protocol.md section")


def test_the_generator_does_not_import_the_library() -> None:
    for path in VECTORS.glob("*.py"):
        for line in path.read_text().splitlines():
            assert not line.strip().startswith(("import tickseal", "from tickseal")), path.name


def test_the_reference_reproduces_the_published_mls_secret_tree(reference: tuple[Any, Any]) -> None:
    ref, prefix = reference[0], "MLS 1.0 "
    checked = 0
    for tree in json.loads((VECTORS / "mls_secret_tree_suite1.json").read_text()):
        root, leaves = bytes.fromhex(tree["encryption_secret"]), tree["leaves"]
        depth = (len(leaves) - 1).bit_length()
        for index, rows in enumerate(leaves):
            leaf = ref.node_secret(root, depth, 0, index, prefix)
            for kind in ("application", "handshake"):
                # RFC 9420 section 9.1: the ratchet of a leaf, one step a generation.
                secret, at = ref.expand(leaf, kind, b"", 32, prefix), 0
                for row in rows:
                    for step in range(at, row["generation"]):
                        secret = ref.expand(secret, "secret", step.to_bytes(4, "big"), 32, prefix)
                    at = row["generation"]
                    for name, size in (("key", 16), ("nonce", 12)):
                        made = ref.expand(secret, name, at.to_bytes(4, "big"), size, prefix)
                        assert made.hex() == row[f"{kind}_{name}"]
                        checked += 1
    assert checked > 0


def noise_vectors() -> list[dict[str, Any]]:
    wanted = []
    for path in sorted(VECTORS.glob("noise_*.json")):
        whole = json.loads(path.read_text())
        wanted += whole["vectors"] if isinstance(whole, dict) else whole
    return wanted


@pytest.mark.parametrize("vector", noise_vectors(), ids=lambda vector: vector["protocol_name"])
def test_the_reference_reproduces_the_published_noise_vectors(
    vector: dict[str, Any], reference: tuple[Any, Any]
) -> None:
    noise = reference[1]
    said = [
        (bytes.fromhex(one["payload"]), bytes.fromhex(one["ciphertext"]))
        for one in vector["messages"]
    ]
    given = {
        name: bytes.fromhex(value)
        for name, value in vector.items()
        if isinstance(value, str) and "_" in name and name != "protocol_name"
    }
    psk = bytes.fromhex(vector["init_psks"][0])
    if vector["protocol_name"] == noise.OFFLINE:
        ends = (given["init_static"], given["init_ephemeral"], given["resp_static"])
        made = noise.offline(psk, *ends, said[0][0], given["init_prologue"])
        assert made == said[0][1]
    elif vector["protocol_name"] == noise.CLASSICAL:
        out = noise.Handshake(
            psk=psk,
            initiator_static=given["init_static"],
            initiator_ephemeral=given["init_ephemeral"],
            responder_static=given["resp_static"],
            responder_ephemeral=given["resp_ephemeral"],
            payload_1=said[0][0],
            payload_2=said[1][0],
            prologue=given["init_prologue"],
        ).run()
        assert (out["message_1"], out["message_2"]) == (said[0][1], said[1][1])
        assert out["h"] == given["handshake_hash"]
        # Transport messages take turns, the initiator first.
        for number, (payload, ciphertext) in enumerate(said[2:]):
            key = out["k2" if number % 2 else "k1"]
            assert noise.transport(key, number // 2, payload) == ciphertext
