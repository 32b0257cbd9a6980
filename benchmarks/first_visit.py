"""Many hosts over HTTPS, each with a certificate of its own, as a crawler meets them for the first time."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from benchmarks.contestants.harness import address
from benchmarks.machine import CLIENT_CORE, SERVER_CORE, cpu_seconds_of, pin_to
from benchmarks.servers import SMALL_BYTES, Served
from tests.corpus.nginx import Nginx, free_port

HOSTS = 2_000

HTTP = """
keepalive_timeout 0;
ssl_session_tickets off;
ssl_session_cache off;
default_type text/plain;
server {{
    {listen}
    ssl_certificate {prefix}/$server_addr.pem;
    ssl_certificate_key {prefix}/key.pem;
    location = /small {{ return 200 "{small}"; }}
}}
"""

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@contextmanager
def nginx(folder: Path) -> Iterator[Served]:
    """Run nginx on HOSTS loopback addresses and leave this process on the client's core.

    Args:
        folder: Where to put the certificates.

    Yields:
        The origin "https" of the first address, and the CA's file.
    """
    port = free_port()
    addresses = [address(number) for number in range(HOSTS)]
    _certify(folder, addresses)
    listen = "\n    ".join(f"listen {host}:{port} ssl backlog=4096;" for host in addresses)
    http = HTTP.format(prefix=folder, listen=listen, small="x" * SMALL_BYTES)
    pin_to(SERVER_CORE)
    with Nginx(folder, http, [], "worker_rlimit_nofile 65536;") as server:
        pin_to(CLIENT_CORE)
        yield Served(
            origins={"https": f"https://127.0.0.1:{port}"},
            ca=str(folder / "ca.pem"),
            cpu_s=lambda: sum(cpu_seconds_of(pid) for pid in server.worker_pids),
        )


def _certify(folder: Path, addresses: list[str]) -> None:
    """Write a certificate for each address, all with one key, and the CA's.

    The chain is of a kind that Let's Encrypt gives out: P-256, signed by an intermediate of P-384, signed
    by a root of RSA-4096. Source: letsencrypt.org/certificates.
    """
    root, intermediate, key = (
        rsa.generate_private_key(65537, 4096),
        ec.generate_private_key(ec.SECP384R1()),
        ec.generate_private_key(ec.SECP256R1()),
    )
    by_root = _certificate("root", root, "root", root, is_ca=True)
    chain = _certificate("intermediate", intermediate, "root", root, is_ca=True)
    for host in addresses:
        leaf = _certificate(host, key, "intermediate", intermediate, is_ca=False)
        (folder / f"{host}.pem").write_bytes(leaf + chain)
    pkcs8 = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(pkcs8)
    (folder / "ca.pem").write_bytes(by_root)


def _certificate(name: str, key: Key, issuer: str, by: Key, *, is_ca: bool) -> bytes:
    """Return a certificate as PEM; `name` is an address unless it is a CA's."""
    now = datetime.datetime.now(datetime.UTC)
    common = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]) for text in (name, issuer)]
    made = x509.CertificateBuilder(
        subject_name=common[0],
        issuer_name=common[1],
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=now - datetime.timedelta(hours=1),
        not_valid_after=now + datetime.timedelta(days=1),
    ).add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
    if not is_ca:
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(name))])
        made = made.add_extension(names, critical=False)
    return made.sign(by, hashes.SHA256()).public_bytes(Encoding.PEM)
