# SPDX-License-Identifier: Apache-2.0
"""The authority of a policy: its services know each other, and nobody else."""

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256K1, SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as ec_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as rsa_key
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

from accord.encoding import sha256
from accord.errors import AuthorityExpiredError, MalformedError
from accord.policy import Endpoint, SecretKind
from accord.secrets import MAX_IDENTITY_LIFETIME, PolicyAuthority, SecretValue, spiffe_id
from accord.secrets._certificates import Issuer, issue_leaf
from accord.secrets._certificates import distinguished_name as named
from accord.secrets._keys import PrivateKey, PublicKey, public_der

BOARD, OTHER_BOARD = sha256(b"board"), sha256(b"another board")
HOUR = timedelta(hours=1)


def spki_of(key: Any) -> bytes:
    return bytes(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def create(policy: str = "train", *, now: datetime | None = None) -> PolicyAuthority:
    return PolicyAuthority.create(board=BOARD, policy=policy, now=now or datetime.now(UTC))


def issued(
    authority: PolicyAuthority, key: PrivateKey, *, service: str = "a", lifetime: timedelta = HOUR
) -> tuple[bytes, ...]:
    now = datetime.now(UTC)
    return authority.issue(
        public_der(key.public_key()), service=service, now=now, lifetime=lifetime
    )


def test_an_identity_says_board_policy_and_service() -> None:
    """One name, for both ends of a connection, for an hour."""
    chain = issued(create("hospitals/train"), Ed25519PrivateKey.generate(), service="worker")
    own, authority = map(x509.load_der_x509_certificate, chain)
    own.verify_directly_issued_by(authority)
    names = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    expected = f"spiffe://{BOARD.removeprefix('sha256:')}/hospitals/train/worker"
    assert list(names) == [x509.UniformResourceIdentifier(expected)]
    assert spiffe_id(BOARD, "hospitals/train", "worker") == expected
    usage = own.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usage) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    remaining = own.not_valid_after_utc - datetime.now(UTC)
    assert timedelta(minutes=59) < remaining <= HOUR


def test_no_identity_is_valid_for_more_than_a_day() -> None:
    """There is no revocation but time."""
    chain = issued(create(), Ed25519PrivateKey.generate(), lifetime=timedelta(days=400))
    own = x509.load_der_x509_certificate(chain[0])
    assert own.not_valid_after_utc - own.not_valid_before_utc <= MAX_IDENTITY_LIFETIME


def test_an_identity_ends_with_its_authority() -> None:
    """A verifier would not believe it longer."""
    now = datetime.now(UTC)
    authority = create(now=now - timedelta(days=3650) + timedelta(minutes=10))
    own, above = map(
        x509.load_der_x509_certificate, issued(authority, Ed25519PrivateKey.generate())
    )
    assert own.not_valid_after_utc == above.not_valid_after_utc


@pytest.mark.parametrize("age", [timedelta(days=3650), timedelta(hours=-1)])
def test_an_authority_issues_only_while_it_is_valid(age: timedelta) -> None:
    """Neither before nor after."""
    authority = create(now=datetime.now(UTC) - age)
    with pytest.raises(AuthorityExpiredError):
        issued(authority, Ed25519PrivateKey.generate())


def test_an_authority_reads_the_same_again() -> None:
    """What the store keeps issues below the same certificate."""
    authority = create()
    again = PolicyAuthority.from_bytes(authority.value.to_bytes(), board=BOARD, policy="train")
    assert again == authority
    assert issued(again, Ed25519PrivateKey.generate())[1:] == authority.value.public


@pytest.mark.parametrize("case", ["public", "key"])
def test_what_is_no_authority_is_refused(case: str) -> None:
    """Its public part alone, or another kind of secret."""
    authority = create().value
    other = SecretValue(SecretKind.X509, authority.private, authority.public)
    value = authority.public_only() if case == "public" else other
    with pytest.raises(MalformedError):
        PolicyAuthority.from_bytes(value.to_bytes(), board=BOARD, policy="train")


@pytest.mark.parametrize(
    "spki",
    [
        b"",
        b"no key",
        public_der(Ed25519PrivateKey.generate().public_key()) + b"\0",
        spki_of(ec_key(SECP256K1()).public_key()),
        spki_of(rsa_key(65537, 2048).public_key()),
        spki_of(X25519PrivateKey.generate().public_key()),
    ],
    ids=["empty", "garbage", "trailing", "curve", "short-rsa", "x25519"],
)
def test_a_key_that_is_weak_or_unknown_gets_no_identity(spki: bytes) -> None:
    """Only what a policy could ask for itself."""
    with pytest.raises(MalformedError):
        create().issue(spki, service="a", now=datetime.now(UTC), lifetime=HOUR)


def test_nothing_shows_the_key_of_an_authority() -> None:
    """Neither a representation of it nor its public part."""
    authority = create()
    assert "private" not in repr(authority)
    assert authority.value.public_only().private == b""


# --- mutual TLS ------------------------------------------------------------------------------


class End:
    """One service with its identity, as a program would use it."""

    def __init__(self, folder: Path, authority: PolicyAuthority, service: str) -> None:
        key = ec_key(SECP256R1())
        self.chain = issued(authority, key, service=service)
        self.file = folder / f"{service}.pem"
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        self.file.write_bytes(pem + certificates(self.chain))

    def context(self, trusted: PolicyAuthority, *, server: bool) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False  # the name is the SPIFFE ID, read by the program
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        context.load_cert_chain(self.file)
        context.load_verify_locations(cadata=certificates(trusted.value.public).decode())
        return context


def certificates(chain: tuple[bytes, ...]) -> bytes:
    return b"".join(
        x509.load_der_x509_certificate(item).public_bytes(Encoding.PEM) for item in chain
    )


def connect(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[object, object]:
    """The name that each end sees of the other. Raises ``SSLError`` where one refuses."""
    near, far = socket.socketpair()
    seen: list[object] = []

    def serve() -> None:
        try:
            with server.wrap_socket(far, server_side=True) as end:
                seen.append(end.getpeercert()["subjectAltName"][0][1])  # type: ignore[index]
                end.sendall(b"x")
        except ssl.SSLError as exc:
            seen.append(exc)

    far.settimeout(20)
    near.settimeout(20)
    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(near) as end:
            name = end.getpeercert()["subjectAltName"][0][1]  # type: ignore[index]
            end.recv(1)
    finally:
        near.close()
        thread.join(20)
        far.close()
    return name, seen[0]


@pytest.fixture
def authorities() -> tuple[PolicyAuthority, PolicyAuthority]:
    return create("train"), create("serve")


def test_services_of_one_policy_know_each_other(
    tmp_path: Path, authorities: tuple[PolicyAuthority, PolicyAuthority]
) -> None:
    """Mutual TLS, with a verifier that is not ours."""
    authority, _ = authorities
    one, two = End(tmp_path, authority, "one"), End(tmp_path, authority, "two")
    seen = connect(one.context(authority, server=True), two.context(authority, server=False))
    assert seen == (spiffe_id(BOARD, "train", "one"), spiffe_id(BOARD, "train", "two"))


def test_a_client_of_another_policy_is_refused(
    tmp_path: Path, authorities: tuple[PolicyAuthority, PolicyAuthority]
) -> None:
    """Although both are of one board, and say the same common name."""
    ours, theirs = authorities
    server, client = End(tmp_path, ours, "one"), End(tmp_path, theirs, "two")
    with pytest.raises(ssl.SSLError, match="UNKNOWN_CA"):
        connect(server.context(ours, server=True), client.context(ours, server=False))


def test_a_server_of_another_policy_is_refused(
    tmp_path: Path, authorities: tuple[PolicyAuthority, PolicyAuthority]
) -> None:
    """The client notices before it says a word."""
    ours, theirs = authorities
    server, client = End(tmp_path, theirs, "one"), End(tmp_path, ours, "two")
    with pytest.raises(ssl.SSLCertVerificationError):
        connect(server.context(ours, server=True), client.context(ours, server=False))


def forged(authority: PolicyAuthority, key: PublicKey, uri: str) -> tuple[bytes, ...]:
    """What somebody could issue who stole the key of an authority."""
    issuer = Issuer(authority.value.private_key("a"), tuple(authority.value.certificates("a")))
    return issue_leaf(
        subject=named("two"),
        public=key,
        issuer=issuer,
        now=datetime.now(UTC),
        lifetime=HOUR,
        endpoints=[Endpoint.CLIENT],
        names=[f"uri:{uri}"],
    )


def test_a_stolen_authority_can_name_nobody_of_another_board(
    tmp_path: Path, authorities: tuple[PolicyAuthority, PolicyAuthority]
) -> None:
    """The name constraint says so, and OpenSSL obeys it."""
    ours, _ = authorities
    server, client = End(tmp_path, ours, "one"), End(tmp_path, ours, "two")
    key = ec_key(SECP256R1())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for board, accepted in ((BOARD, True), (OTHER_BOARD, False)):
        uri = spiffe_id(board, "train", "two")
        client.file.write_bytes(pem + certificates(forged(ours, key.public_key(), uri)))
        ends = server.context(ours, server=True), client.context(ours, server=False)
        if accepted:
            assert connect(*ends)[1] == uri
        else:
            with pytest.raises(ssl.SSLError):
                connect(*ends)
