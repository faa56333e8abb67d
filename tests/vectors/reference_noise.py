"""The handshakes of docs/protocol.md section 6, both ends at once: here every key is known."""

import base64
import struct
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from reference import expand, hmac_sha256, sha256
from reference_cbor import encode

CLASSICAL = "Noise_IKpsk2_25519_ChaChaPoly_SHA256"
HYBRID = "Noise_IKhfs+psk2_25519+MLKEM768_ChaChaPoly_SHA256"
OFFLINE = "Noise_Kpsk0_25519_ChaChaPoly_SHA256"
REFUSAL_PSK = sha256(b"tickseal/1 refusal")


def public(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def dh(private: bytes, peer: bytes) -> bytes:
    """Raises ValueError where the result is all zero."""
    key = X25519PrivateKey.from_private_bytes(private)
    return key.exchange(X25519PublicKey.from_public_bytes(peer))


def noise_hkdf(ck: bytes, material: bytes, outputs: int) -> list[bytes]:
    key, block, out = hmac_sha256(ck, material), b"", []
    for counter in range(1, outputs + 1):
        block = hmac_sha256(key, block + bytes([counter]))
        out.append(block)
    return out


def transport(key: bytes, counter: int, plaintext: bytes, ad: bytes = b"") -> bytes:
    return ChaCha20Poly1305(key).encrypt(bytes(4) + struct.pack("<Q", counter), plaintext, ad)


class Symmetric:
    """Noise revision 34, section 5.2."""

    def __init__(self, name: str, prologue: bytes) -> None:
        self.h = sha256(name.encode()) if len(name) > 32 else name.encode().ljust(32, b"\0")
        self.ck, self.key, self.counter = self.h, b"", 0
        self.mix_hash(prologue)

    def mix_hash(self, data: bytes) -> None:
        self.h = sha256(self.h + data)

    def mix_key(self, material: bytes) -> None:
        self.ck, self.key = noise_hkdf(self.ck, material, 2)
        self.counter = 0

    def mix_key_and_hash(self, psk: bytes) -> None:
        self.ck, mixed, self.key = noise_hkdf(self.ck, psk, 3)
        self.mix_hash(mixed)
        self.counter = 0

    def ephemeral(self, key: bytes) -> bytes:
        self.mix_hash(key)
        self.mix_key(key)
        return key

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        ciphertext = transport(self.key, self.counter, plaintext, self.h)
        self.counter += 1
        self.mix_hash(ciphertext)
        return ciphertext


@dataclass
class Handshake:
    """IKpsk2, or IKhfs+psk2 where `kem_seed` is given, with every key fixed."""

    psk: bytes
    initiator_static: bytes
    initiator_ephemeral: bytes
    responder_static: bytes
    responder_ephemeral: bytes
    kem_seed: bytes = b""
    kem_ciphertext: bytes = b""
    payload_1: bytes = b""
    payload_2: bytes = b""
    prologue: bytes = b"tickseal/1"
    out: dict[str, Any] = field(default_factory=dict)

    def run(self) -> dict[str, Any]:
        """Return both messages and what comes out of them."""
        i_static, r_static = public(self.initiator_static), public(self.responder_static)
        state = Symmetric(HYBRID if self.kem_seed else CLASSICAL, self.prologue)
        state.mix_hash(r_static)
        # -> e, es, e1, s, ss
        message_1 = state.ephemeral(public(self.initiator_ephemeral))
        state.mix_key(dh(self.initiator_ephemeral, r_static))
        if self.kem_seed:
            kem = MLKEM768PrivateKey.from_seed_bytes(self.kem_seed)
            message_1 += state.encrypt_and_hash(kem.public_key().public_bytes_raw())
        message_1 += state.encrypt_and_hash(i_static)
        state.mix_key(dh(self.initiator_static, r_static))
        message_1 += state.encrypt_and_hash(self.payload_1)
        # <- e, ee, ekem1, se, psk
        r_ephemeral = public(self.responder_ephemeral)
        message_2 = state.ephemeral(r_ephemeral)
        state.mix_key(dh(self.initiator_ephemeral, r_ephemeral))
        if self.kem_seed:
            message_2 += state.encrypt_and_hash(self.kem_ciphertext)
            state.mix_key(kem.decapsulate(self.kem_ciphertext))
        state.mix_key(dh(self.initiator_static, r_ephemeral))
        state.mix_key_and_hash(self.psk)
        message_2 += state.encrypt_and_hash(self.payload_2)
        k1, k2, exporter = noise_hkdf(state.ck, b"", 3)
        out = {"message_1": message_1, "message_2": message_2, "h": state.h}
        return {**out, "k1": k1, "k2": k2, "exporter": exporter}


def offline(  # noqa: PLR0917
    psk: bytes,
    device_static: bytes,
    device_ephemeral: bytes,
    gateway_static: bytes,
    payload: bytes,
    prologue: bytes = b"tickseal/1 offline",
) -> bytes:
    """Kpsk0: -> s, <- s, ..., -> psk, e, es, ss."""
    gateway = public(gateway_static)
    state = Symmetric(OFFLINE, prologue)
    state.mix_hash(public(device_static))
    state.mix_hash(gateway)
    state.mix_key_and_hash(psk)
    message = state.ephemeral(public(device_ephemeral))
    state.mix_key(dh(device_ephemeral, gateway))
    state.mix_key(dh(device_static, gateway))
    return message + state.encrypt_and_hash(payload)


class Exporter:
    """Section 6.3: the output first, then the next exporter."""

    def __init__(self, exporter: bytes, h: bytes) -> None:
        self.exporter, self.h = exporter, h

    def _use(self, label: str, context: bytes) -> bytes:
        out = expand(self.exporter, label, context, 32)
        self.exporter = expand(self.exporter, "exporter", b"", 32)
        return out

    def device_psk(self) -> bytes:
        return self._use("psk", self.h)

    def initial_secret(self, stream: str, generation: int) -> bytes:
        named = self.h + stream.encode() + struct.pack(">Q", generation)
        return self._use("initial", sha256(named))


def invite_token(body: Any) -> str:
    encoding = encode(body)
    whole = encoding + sha256(encoding)[:4]
    return "tks1_" + base64.urlsafe_b64encode(whole).decode().rstrip("=")


def record(kind: int, body: bytes) -> bytes:
    return struct.pack(">HB", 1 + len(body), kind) + body


def data_body(segments: list[bytes]) -> bytes:
    return b"".join(struct.pack(">H", len(one)) + one for one in segments)
