# SPDX-License-Identifier: Apache-2.0
"""Certificates, chains and revocation lists of any vendor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from accord.encoding import Digest
from accord.errors import (
    AccordError,
    AnchorUnknownError,
    CertificateRevokedError,
    ChainInvalidError,
    EvidenceExpiredError,
    EvidenceMalformedError,
    EvidenceSignatureError,
)
from accord.evidence import _certificate
from accord.evidence._certificate import (
    Certificate,
    load_certificates,
    parse_certificate,
    signed_parts,
    split_pem,
)
from accord.evidence._chain import (
    chain_expires,
    check_chain_period,
    check_not_revoked,
    endorsers,
    load_revocation_list,
    verify_chain,
)
from accord.evidence._der import elements
from accord.evidence._signature import verify_signature

NOW = datetime(2026, 6, 1, tzinfo=UTC)
KEYS: dict[str, Any] = {
    "rsa": rsa.generate_private_key(65537, 2048),
    "p256": ec.generate_private_key(ec.SECP256R1()),
    "p384": ec.generate_private_key(ec.SECP384R1()),
    "other": ec.generate_private_key(ec.SECP384R1()),
}


@dataclass
class Link:
    """How one certificate of a test chain is made."""

    name: str
    key: Any = field(default_factory=lambda: KEYS["p384"])
    ca: bool = True
    path_length: int | None = None
    usage: tuple[str, ...] | None = None
    critical: str | None = None
    digest: SHA256 | SHA384 | SHA512 = field(default_factory=SHA384)
    pss: bool = False
    issuer: str | None = None
    until: datetime = NOW + timedelta(days=10)


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def usage(*bits: str) -> x509.KeyUsage:
    every = (
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
        "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    )  # fmt: skip
    return x509.KeyUsage(**{bit: bit in bits for bit in every})


def make(*links: Link, signer: Any = None) -> list[bytes]:
    """DER certificates, leaf first, each signed with the next one's key."""
    made = []
    for index, link in enumerate(links):
        above = links[min(index + 1, len(links) - 1)]
        builder = (
            x509.CertificateBuilder()
            .subject_name(name(link.name))
            .issuer_name(name(link.issuer or above.name))
            .public_key(link.key.public_key())
            .serial_number(index + 1)
            .not_valid_before(NOW - timedelta(days=1))
            .not_valid_after(link.until)
            .add_extension(x509.BasicConstraints(link.ca, link.path_length), critical=True)
        )
        if link.usage is not None:
            builder = builder.add_extension(usage(*link.usage), critical=True)
        if link.critical is not None:
            oid = x509.ObjectIdentifier(link.critical)
            builder = builder.add_extension(x509.UnrecognizedExtension(oid, b"\5\0"), critical=True)
        pss = padding.PSS(padding.MGF1(link.digest), link.digest.digest_size) if link.pss else None
        key = signer if signer is not None and index == 0 else above.key
        signed = builder.sign(key, link.digest, rsa_padding=pss)
        made.append(signed.public_bytes(Encoding.DER))
    return made


def parse(ders: list[bytes]) -> list[Certificate]:
    return [parse_certificate(der, what="test") for der in ders]


def verify(ders: list[bytes], *anchors: Digest, **options: Any) -> Certificate:
    chain = parse(ders)
    return verify_chain(chain, anchors=anchors or (chain[-1].digest,), what="chain", **options)


def three(**changes: Any) -> list[bytes]:
    """A leaf, a CA and a root; ``changes`` by role."""
    roles: dict[str, Link] = {
        "leaf": Link("leaf", ca=False, usage=("digital_signature",)),
        "ca": Link("ca", usage=("key_cert_sign", "crl_sign")),
        "root": Link("root"),
    }
    for role, values in changes.items():
        for key, value in values.items():
            setattr(roles[role], key, value)
    return make(*roles.values())


def crl(
    issuer: Certificate | None = None,
    *serials: int,
    key: Any = None,
    change: Callable[[Any], Any] = lambda builder: builder,
) -> bytes:
    """A list of the test CA."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(name(issuer.what if issuer else "ca"))
        .last_update(NOW - timedelta(days=1))
        .next_update(NOW + timedelta(days=5))
    )
    for serial in serials:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW).build()
        builder = builder.add_revoked_certificate(entry)
    return bytes(change(builder).sign(key or KEYS["p384"], SHA384()).public_bytes(Encoding.DER))


def test_a_chain_to_a_pinned_root_is_accepted() -> None:
    """Every link is shown, leaf first, with the earliest end as that of the whole."""
    ders = three(ca={"until": NOW + timedelta(days=3)})
    chain = parse(ders)

    assert verify(ders).what == "root"
    assert [item.what for item in endorsers(chain)] == ["leaf", "ca", "root"]
    assert chain_expires(chain) == NOW + timedelta(days=3)
    check_chain_period(chain, NOW)


@pytest.mark.parametrize("digest", [SHA256(), SHA384(), SHA512()])
@pytest.mark.parametrize("pss", [False, True])
def test_rsa_roots_sign_by_either_padding(digest: SHA256 | SHA384 | SHA512, *, pss: bool) -> None:
    """PKCS #1 and PSS signatures with every supported hash verify."""
    root = Link("root", key=KEYS["rsa"], digest=digest, pss=pss)
    leaf = Link("leaf", ca=False, digest=digest, pss=pss)

    assert verify(make(leaf, root)).what == "root"


def test_an_own_copy_of_the_root_is_not_the_root() -> None:
    """A look-alike root, with the vendor's name and another key, is a stranger."""
    real = parse(three())[-1]
    fake = make(Link("leaf", ca=False), Link("ca"), Link("root", key=KEYS["other"]), signer=None)

    with pytest.raises(AnchorUnknownError, match="sha256:"):
        verify(fake, real.digest)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"leaf": {"issuer": "somebody"}}, "names another issuer"),
        ({"ca": {"ca": False, "path_length": None}}, "may not issue"),
        ({"ca": {"usage": ("digital_signature",)}}, "may not issue"),
        ({"root": {"path_length": 0}}, "too long"),
        ({"leaf": {"critical": "1.2.3.4"}}, r"1\.2\.3\.4 is not understood"),
    ],
)
def test_broken_links_are_refused(changes: Any, reason: str) -> None:
    """Each rule of path validation is enforced, and named."""
    with pytest.raises(ChainInvalidError, match=reason):
        verify(three(**changes))


def test_critical_extensions_that_the_caller_knows_are_accepted() -> None:
    """A vendor's own critical extension counts as understood where the family reads it."""
    ders = three(leaf={"critical": "1.2.3.4"})

    assert verify(ders, understood=frozenset({"1.2.3.4"})).what == "root"


def test_a_leaf_signed_by_another_key_is_refused() -> None:
    """The right names do not help."""
    ders = make(Link("leaf", ca=False), Link("root"), signer=KEYS["other"])

    with pytest.raises(ChainInvalidError, match="leaf is not signed by root"):
        verify(ders)


@pytest.mark.parametrize("count", [0, 11])
def test_chains_of_absurd_length_are_refused(count: int) -> None:
    """Nothing at all proves nothing; nor is any work spent on a long one."""
    with pytest.raises(ChainInvalidError):
        verify_chain(parse(make(Link("root")) * count), anchors=(), what="chain")


def test_short_rsa_keys_are_refused() -> None:
    """A key that can be factored signs nothing, not even at the root."""
    weak = rsa.generate_private_key(65537, 1024)  # noqa: S505 - that is the attack
    with pytest.raises(EvidenceMalformedError, match="not supported"):
        verify(make(Link("leaf", ca=False), Link("root", key=weak)))


@pytest.mark.parametrize(
    "algorithm",
    [
        "300d06092a864886f70d0101050500",  # SHA-1 with RSA
        "300d06092a864886f70d01010a3000",  # RSA-PSS with its default parameters: SHA-1
        "3000",
    ],
)
def test_algorithms_with_broken_hashes_are_refused(algorithm: str) -> None:
    """Algorithms that can be forged are not supported, whoever uses them."""
    message = b"message"
    key = KEYS["rsa"]
    signature = key.sign(message, padding.PKCS1v15(), SHA1())  # noqa: S303 - that is the attack

    with pytest.raises(EvidenceMalformedError):
        verify_signature(
            key.public_key(), bytes.fromhex(algorithm), signature, message, what="it", by="root"
        )


def test_periods_are_checked_at_both_ends() -> None:
    """A chain holds until the last second of its shortest certificate, and not longer."""
    chain = parse(three())

    check_chain_period(chain, NOW + timedelta(days=10))
    with pytest.raises(EvidenceExpiredError):
        check_chain_period(chain, NOW + timedelta(days=10, seconds=1))


def test_certificates_come_as_der_or_pem() -> None:
    """Line ends and headings of PEM are the vendor's own business."""
    ders = three()
    pem = b"".join(x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM) for der in ders)
    messy = b"# from the vendor\r\n" + pem.replace(b"\n", b"\r\n") + b"\0"

    assert ders == split_pem(messy, what="test")
    assert [parse(ders)[0]] == list(load_certificates(ders[0], what="test"))


@pytest.mark.parametrize(
    "pem",
    [b"", b"-----BEGIN CERTIFICATE-----\n=A\n-----END CERTIFICATE-----\n", b"-----BEGIN KEY-----"],
)
def test_what_is_no_pem_is_refused(pem: bytes) -> None:
    """A file without a certificate is an error, never an empty chain."""
    with pytest.raises(EvidenceMalformedError):
        split_pem(pem, what="test")


@given(st.data())
def test_mutated_certificates_are_refused_or_unsigned(data: Any) -> None:
    """Whatever byte is changed: an error of the catalogue, or a chain that does not verify."""
    ders = list(CHAIN)
    which = data.draw(st.integers(0, 1))
    at = data.draw(st.integers(0, len(ders[which]) - 1))
    bit = data.draw(st.integers(0, 7))
    changed = bytearray(ders[which])
    changed[at] ^= 1 << bit
    ders[which] = bytes(changed)

    with pytest.raises(AccordError):
        verify(ders)


CHAIN = tuple(three())


@given(st.binary(max_size=300))
def test_garbage_is_no_certificate(data: bytes) -> None:
    """Only errors of the catalogue come out."""
    with pytest.raises(AccordError):
        parse_certificate(data, what="test")


def test_revoked_certificates_are_refused() -> None:
    """A list that the CA signed revokes by serial number."""
    leaf, ca, _ = parse(three())
    found = load_revocation_list(crl(ca, leaf.serial, 77), ca)

    assert found.revoked == {leaf.serial, 77}
    with pytest.raises(CertificateRevokedError):
        check_not_revoked(leaf, found)
    check_not_revoked(ca, found)


def test_lists_of_somebody_else_are_refused() -> None:
    """Neither another name nor another key makes a revocation list of this CA."""
    leaf, ca, root = parse(three())

    for data, issuer in ((crl(root), ca), (crl(ca, key=KEYS["other"]), ca), (crl(leaf), leaf)):
        with pytest.raises(EvidenceSignatureError):
            load_revocation_list(data, issuer)


def test_partial_lists_are_refused() -> None:
    """A delta list is not the whole list: taking it for one would miss revocations."""
    ca = parse(three())[1]
    delta = crl(ca, change=lambda item: item.add_extension(x509.DeltaCRLIndicator(1), True))

    with pytest.raises(EvidenceMalformedError, match=r"2\.5\.29\.27"):
        load_revocation_list(delta, ca)


@pytest.mark.parametrize("junk", [1_400_000, 120_000])
@pytest.mark.timeout(10)
def test_a_flood_of_elements_is_no_list(junk: int) -> None:
    """What nobody signed is refused before it is walked: 2.8 MB took three seconds."""
    ca = parse(three())[1]
    tbs = element(0x30, b"\5\0" * junk)

    for der in (element(0x30, tbs + b"\x30\0" + b"\3\1\0"), element(0x30, b"\5\0" * junk)):
        with pytest.raises(EvidenceMalformedError, match=r"larger than|more than"):
            load_revocation_list(der, ca)


def test_entries_of_a_list_that_nobody_signed_are_not_read() -> None:
    """The signature comes first: what is wrong in an entry is not even found."""
    _, ca, _ = parse(three())
    other = parse(three())[1]
    tbs, algorithm, signature = signed_parts(crl(ca, 5), "test")
    broken = tbs.raw.replace(b"\x02\x01\x05", b"\x04\x01\x05")
    assert broken != tbs.raw

    with pytest.raises(EvidenceSignatureError):
        load_revocation_list(
            element(0x30, broken + algorithm.raw + element(3, b"\0" + signature)), other
        )


def element(tag: int, value: bytes) -> bytes:
    size = len(value)
    if size < 128:
        return bytes((tag, size)) + value
    octets = (size.bit_length() + 7) // 8
    return bytes((tag, 128 + octets)) + size.to_bytes(octets, "big") + value


@pytest.mark.parametrize("count", [33, 8_500])
def test_a_flood_of_certificates_is_not_parsed(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Their number is counted first."""
    block = b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
    monkeypatch.setattr(_certificate, "parse_certificate", None)

    with pytest.raises(EvidenceMalformedError, match="more than 32 certificates"):
        load_certificates(block * count, what="test")


def test_an_absurd_object_identifier_in_a_certificate_is_malformed() -> None:
    """Whatever the extension, no error but ours comes out."""
    der = make(Link("x", critical="1.3.6.1.4.1.99999.7"), Link("ca"))[0]
    tbs, algorithm, signature = signed_parts(der, "test")
    fields = elements(tbs.value, what="test")
    absurd = element(6, b"\x2a" + b"\xff" * 2100 + b"\1") + element(4, b"x")
    listed = elements(elements(fields[-1].value, what="test")[0].value, what="test")
    extensions = b"".join(item.raw for item in listed) + element(0x30, absurd) * 2
    body = b"".join(item.raw for item in fields[:-1]) + element(0xA3, element(0x30, extensions))
    forged = element(0x30, element(0x30, body) + algorithm.raw + element(3, b"\0" + signature))

    with pytest.raises(EvidenceMalformedError, match="appears twice"):
        parse_certificate(forged, what="test")


@given(st.data())
def test_mutated_lists_are_refused(data: Any) -> None:
    """No changed byte of a revocation list is accepted."""
    ca = parse(list(CHAIN))[1]
    der = bytearray(LIST)
    at = data.draw(st.integers(0, len(der) - 1))
    der[at] ^= 1 << data.draw(st.integers(0, 7))

    with pytest.raises(AccordError):
        load_revocation_list(bytes(der), ca)


LIST = crl(None, 5)
