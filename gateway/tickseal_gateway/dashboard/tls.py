"""The page's certificate: given, or made here and shown by its fingerprint."""

import datetime
import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tickseal.core.errors import ConfigError
from tickseal.host.state import StateDirectory
from tickseal_gateway.addresses import own_addresses

_KEY, _CERTIFICATE = "page/tls.key", "page/tls.crt"
#: Browsers take no longer for certificates that a person trusts by hand.
_DAYS, _RENEW_DAYS = 820, 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A certificate on disk.

    Attributes:
        certificate, key: PEM files.
        fingerprint: SHA-256 of the certificate, as browsers show it.
        is_self_signed: a browser will warn; people compare the fingerprint.
    """

    certificate: Path
    key: Path
    fingerprint: str
    is_self_signed: bool


def given_certificate(certificate: Path, key: Path) -> Certificate:
    """Return the certificate of two PEM files.

    Raises:
        ConfigError: one cannot be read, or they do not belong together.
    """
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        private = serialization.load_pem_private_key(key.read_bytes(), None)
    except OSError as error:
        raise ConfigError(
            f"[page] cannot read {error.filename}: {error.strerror}; name PEM files that this user "
            "may read"
        ) from None
    except (ValueError, TypeError):
        raise ConfigError(
            f"[page] {certificate} and {key} must be a certificate and its key without a password, "
            "both PEM"
        ) from None
    if _spki(found.public_key()) != _spki(private.public_key()):
        raise ConfigError(f"[page] {key} is not the key of {certificate}")
    return _certificate(found, certificate, key, is_self_signed=False)


def own_certificate(
    state: StateDirectory, names: Iterable[str], now: datetime.datetime
) -> Certificate:
    """Return this gateway's self-signed certificate; make one where there is none that is good.

    Args:
        names: host names under which the page is reached, besides this machine's own.
        now: with its time zone.
    Raises:
        StoreError: the disk refuses.
    """
    paths = state.path / _CERTIFICATE, state.path / _KEY
    pem, key_pem = state.read(_CERTIFICATE), state.read(_KEY)
    if pem and key_pem:
        try:
            found = x509.load_pem_x509_certificate(pem)
            private = serialization.load_pem_private_key(key_pem, None)
            days_left = (found.not_valid_after_utc - now).days
            if days_left > _RENEW_DAYS and _spki(found.public_key()) == _spki(private.public_key()):
                return _certificate(found, *paths, is_self_signed=True)
        except ValueError:  # damaged: it holds nothing that cannot be made again
            pass
    private = ec.generate_private_key(ec.SECP256R1())
    made = _sign(private, names, now)
    state.write(
        _KEY,
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
    state.write(_CERTIFICATE, made.public_bytes(serialization.Encoding.PEM))
    return _certificate(made, *paths, is_self_signed=True)


def _sign(
    private: ec.EllipticCurvePrivateKey, names: Iterable[str], now: datetime.datetime
) -> x509.Certificate:
    host = socket.gethostname()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"tickseal {host}"[:64])])
    known = dict.fromkeys(["localhost", host, f"{host}.local", *names])
    addresses = dict.fromkeys(["127.0.0.1", "::1", *own_addresses()])
    subjects: list[x509.GeneralName] = [x509.DNSName(each) for each in known if each.isascii()]
    subjects += [x509.IPAddress(ipaddress.ip_address(a.partition("%")[0])) for a in addresses]
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName(subjects), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(private, hashes.SHA256())
    )


def _certificate(
    found: x509.Certificate, certificate: Path, key: Path, *, is_self_signed: bool
) -> Certificate:
    return Certificate(
        certificate=certificate,
        key=key,
        fingerprint=found.fingerprint(hashes.SHA256()).hex(":").upper(),
        is_self_signed=is_self_signed,
    )


def _spki(public: object) -> bytes:
    return public.public_bytes(  # type: ignore[attr-defined, no-any-return]
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
