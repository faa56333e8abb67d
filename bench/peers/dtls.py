"""The records of DTLS 1.2 (RFC 6347) with AES-256-GCM under one key a session, by pyOpenSSL."""

import datetime
from collections.abc import Callable
from functools import cache

import OpenSSL
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL

from peers import split

_CIPHER = b"ECDHE-ECDSA-AES256-GCM-SHA384"
_READ_BYTES = 20_000


def describe() -> str:
    """Return name and version."""
    return f"DTLS 1.2, AES-256-GCM, one key a session (pyOpenSSL {OpenSSL.__version__})"


@cache
def _credentials() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    made = x509.CertificateBuilder(name, name, key.public_key(), 1, now - day, now + day)
    return made.sign(key, hashes.SHA256()), key


def _end(*, is_server: bool) -> SSL.Connection:
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_cipher_list(_CIPHER)
    context.set_options(SSL.OP_NO_QUERY_MTU)
    if is_server:
        certificate, key = _credentials()
        context.use_certificate(certificate)
        context.use_privatekey(key)
    end = SSL.Connection(context, None)
    end.set_ciphertext_mtu(1500)
    if is_server:
        end.set_accept_state()
    else:
        end.set_connect_state()
    return end


def _shake_hands(source: SSL.Connection, sink: SSL.Connection) -> None:
    done = 0
    while done < 2:
        done = 0
        for end, other in ((source, sink), (sink, source)):
            try:
                end.do_handshake()
                done += 1
            except SSL.WantReadError:
                pass
            while True:
                try:
                    other.bio_write(end.bio_read(_READ_BYTES))
                except SSL.WantReadError:
                    break


def prepare(payload: bytes, count: int) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return the functions that seal and open."""
    source, sink = _end(is_server=False), _end(is_server=True)
    _shake_hands(source, sink)
    parts = split(payload)
    sealed: list[bytes] = []

    def seal() -> None:
        send, take = source.send, source.bio_read
        for _ in range(count):
            for part in parts:
                send(part)
                sealed.append(take(_READ_BYTES))

    def open_all() -> None:
        give, receive = sink.bio_write, sink.recv
        for record in sealed:
            give(record)
            receive(_READ_BYTES)

    return seal, open_all
