# SPDX-License-Identifier: Apache-2.0
"""Chains and revocation lists: every way to stand in for somebody else."""

import base64
import dataclasses
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256, SHA384
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from accord.errors import (
    AnchorUnknownError,
    ChainInvalidError,
    EvidenceError,
    EvidenceMalformedError,
    EvidenceSignatureError,
)
from accord.evidence import Evidence
from accord.evidence._chain import load_revocation_list
from accord.evidence.intel import verify_tdx
from accord.evidence.intel._chains import (
    PCK_CHAIN,
    PCK_CRL_CHAIN,
    TCB_INFO_CHAIN,
    find_chain,
    read_certificates,
)
from accord.policy import Family
from accord.testing import _pki, _quote


def pem(*ders: bytes) -> bytes:
    """Certificates in the spelling that vendors use."""
    blocks = []
    for der in ders:
        body = base64.b64encode(der).decode()
        lines = [body[at : at + 64] for at in range(0, len(body), 64)]
        blocks.append(
            "\n".join(("-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----"))
        )
    return "\n".join((*blocks, "")).encode()


def load_chain(maker: Any, data: bytes, profile: Any, **changes: Any) -> Any:
    """The chain in ``data`` to the root of the vendor."""
    arguments = {"roots": (), "anchors": (maker.world.root,), **changes}
    return find_chain(read_certificates(data), profile, **arguments)


def tdx(good: Any, *, blob: bytes | None = None, collateral: Any = None) -> Any:
    evidence = Evidence(
        Family.TDX,
        blob or good.evidence.blob,
        (collateral or good.collateral).to_endorsements(),
    )
    return verify_tdx(evidence, anchors=good.anchors, now=good.now)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def signer_chain(maker: Any, generate: Any, **changes: Any) -> bytes:
    """A TCB signer's chain in which the signer's certificate is made differently."""
    world = maker.world
    key = changes.get("key", world.keys.tcb_signer)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, name)
            for name in changes.get("names", ["Intel SGX TCB Signing"])
        ]
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(changes.get("issuer", world.certificates.root.subject))
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(generate.ISSUED)
        .not_valid_after(generate.ISSUED + timedelta(days=10))
    )
    usage = x509.KeyUsage(
        digital_signature=changes.get("signs", True),
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=changes.get("certifies", False),
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    if changes.get("constrained", True):
        constraints = x509.BasicConstraints(changes.get("certifies", False), None)
        builder = builder.add_extension(constraints, critical=True).add_extension(
            usage, critical=True
        )
    for extension, critical in changes.get("extensions", []):
        builder = builder.add_extension(extension, critical=critical)
    signed = builder.sign(
        changes.get("by", world.keys.root), changes.get("hash", SHA256()), ecdsa_deterministic=True
    )
    return pem(der(signed), der(world.certificates.root))


def test_a_chain_made_by_the_book_is_accepted(maker: Any, generate: Any) -> None:
    """The helper's own chain is good, so that its changes are the only flaw."""
    load_chain(maker, signer_chain(maker, generate), TCB_INFO_CHAIN)


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"names": ["Intel SGX PCK Certificate"]}, "it has 0 certificates"),
        ({"names": ["Intel SGX TCB Signing", "Other"]}, "it has 0 certificates"),
        ({"names": []}, "it has 0 certificates"),
        ({"signs": False}, "key usage"),
        ({"certifies": True}, "key usage"),
        ({"constrained": False}, "key usage"),
        ({"key": ec.generate_private_key(ec.SECP384R1())}, "not on P-256"),
        ({"hash": SHA384()}, "ECDSA with SHA-256"),
        ({"by": ec.generate_private_key(ec.SECP256R1())}, "not signed by"),
        ({"issuer": x509.Name([])}, "is there 0 times"),
        ({"extensions": [(x509.InhibitAnyPolicy(0), True)]}, "not understood"),
    ],
)
def test_a_signer_with_one_flaw_is_refused(
    maker: Any, generate: Any, changes: dict[str, Any], detail: str
) -> None:
    """Name, usage, key, algorithm, signature, issuer and criticality all count."""
    with pytest.raises(EvidenceError, match=detail):
        load_chain(maker, signer_chain(maker, generate, **changes), TCB_INFO_CHAIN)


def test_a_leaf_cannot_issue(maker: Any) -> None:
    """A PCK certificate below a TCB signer is refused, whatever it is signed with."""
    world = maker.world
    imposter = _pki._certificate(
        "Intel SGX PCK Platform CA",
        world.keys.tcb_signer,
        world.certificates.root,
        world.keys.root,
        now=maker.world.certificates.root.not_valid_before_utc,
    )
    leaf = _pki._certificate(
        "Intel SGX PCK Certificate",
        world.pck,
        imposter,
        world.keys.tcb_signer,
        now=imposter.not_valid_before_utc,
    )
    with pytest.raises(ChainInvalidError, match="may not issue"):
        load_chain(maker, pem(der(leaf), der(imposter), der(world.certificates.root)), PCK_CHAIN)


def test_a_path_longer_than_its_root_allows_is_refused(maker: Any) -> None:
    """A root for end entities alone has no intermediates."""
    world = maker.world
    now = world.certificates.root.not_valid_before_utc
    root = _pki._certificate(
        "Intel SGX Root CA", world.keys.root, None, world.keys.root, now=now, path_length=0
    )
    chain = world.pck_chain.replace(
        world.certificates.root.public_bytes(Encoding.PEM), root.public_bytes(Encoding.PEM)
    )
    with pytest.raises(ChainInvalidError, match="too long"):
        load_chain(maker, chain, PCK_CHAIN)


def test_the_chain_of_another_purpose_is_refused(maker: Any) -> None:
    """A revocation list's issuer does not sign TCB info, nor the other way round."""
    collateral = maker.world.collateral()
    with pytest.raises(ChainInvalidError):
        load_chain(maker, collateral.pck_crl_issuer_chain.encode(), TCB_INFO_CHAIN)
    with pytest.raises(ChainInvalidError):
        load_chain(maker, collateral.tcb_info_issuer_chain.encode(), PCK_CRL_CHAIN)


@pytest.mark.parametrize("count", [0, 1])
def test_a_chain_without_its_ca_is_refused(maker: Any, count: int) -> None:
    """A platform that does not say who certified it is certified by nobody."""
    blocks = maker.world.pck_chain.decode().split("-----BEGIN")[1:] * 2
    chain = "".join("-----BEGIN" + block for block in blocks[:count])
    with pytest.raises(EvidenceError):
        load_chain(maker, chain.encode(), PCK_CHAIN)


@pytest.mark.parametrize("tail", [b"", b"\n\0"])
def test_the_two_endings_that_vendors_write_are_read(maker: Any, tail: bytes) -> None:
    """The last line feed may be missing, or a zero byte may follow it."""
    chain = maker.world.pck_chain

    assert load_chain(maker, chain, PCK_CHAIN)[0].digest == (
        load_chain(maker, chain.removesuffix(b"\n") + tail, PCK_CHAIN)[0].digest
    )


@pytest.mark.parametrize(
    "spell",
    [
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text.replace(b"-----BEGIN", b"subject=x\n-----BEGIN"),
        lambda text: text.replace(b"-----END CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n\n"),
        lambda text: text.replace(b"-----END CERTIFICATE-----\n", b"-----END CERTIFICATE-----\0"),
        lambda text: text.replace(b"MII", b"M\nII"),
        lambda text: text + text,
        lambda text: b"".join(reversed(blocks(text))),
    ],
)
def test_pem_may_be_spelled_as_vendors_like(maker: Any, spell: Any) -> None:
    """Line ends, headings, columns, order and repetition change nothing: signatures count."""
    usual, spelled = maker.world.pck_chain, spell(maker.world.pck_chain)

    assert usual != spelled
    assert [item.digest for item in load_chain(maker, usual, PCK_CHAIN)] == [
        item.digest for item in load_chain(maker, spelled, PCK_CHAIN)
    ]


def blocks(text: bytes) -> list[bytes]:
    """The certificates of a PEM file, each by itself."""
    return [b"-----BEGIN" + block for block in text.split(b"-----BEGIN")[1:]]


@pytest.mark.parametrize("new", [b"M!I", b"AAA"])
def test_damaged_base64_is_refused(maker: Any, new: bytes) -> None:
    """What is no base64, or no certificate, is refused."""
    with pytest.raises(EvidenceMalformedError):
        load_chain(maker, maker.world.pck_chain.replace(b"MII", new), PCK_CHAIN)


def test_a_missing_root_is_taken_from_elsewhere(maker: Any, good: Any) -> None:
    """Some services leave the root out of every chain but one."""
    leaf, ca, root = blocks(maker.world.pck_chain)
    pinned = read_certificates(root)

    whole = load_chain(maker, leaf + ca + root, PCK_CHAIN)
    found = load_chain(maker, leaf + ca, PCK_CHAIN, roots=pinned)
    assert [item.digest for item in whole] == [item.digest for item in found]
    bare = good.collateral.pck_crl_issuer_chain.replace(root.decode(), "")
    collateral = dataclasses.replace(good.collateral, pck_crl_issuer_chain=bare)
    assert tdx(good) == tdx(good, collateral=collateral)


def test_a_root_that_is_nowhere_is_told_as_such(maker: Any) -> None:
    """Without a root there is nothing to compare with the anchor."""
    leaf, ca, _ = blocks(maker.world.pck_chain)
    with pytest.raises(AnchorUnknownError, match="not there"):
        load_chain(maker, leaf + ca, PCK_CHAIN)


def test_a_look_alike_root_beside_the_real_one_changes_nothing(maker: Any) -> None:
    """Of two roots of one name the pinned one counts."""
    other = blocks(maker.other.pck_chain)[-1]
    chain = load_chain(maker, other + maker.world.pck_chain, PCK_CHAIN)

    assert maker.world.root == chain[-1].digest


def test_a_platform_certified_by_the_root_itself_is_refused(maker: Any) -> None:
    """Between a platform and the root stands a PCK CA, always."""
    world = maker.world
    leaf = _pki._certificate(
        "Intel SGX PCK Certificate",
        world.pck,
        world.certificates.root,
        world.keys.root,
        now=world.certificates.root.not_valid_before_utc,
    )
    with pytest.raises(ChainInvalidError, match="expected Intel SGX PCK Platform CA"):
        load_chain(maker, pem(der(leaf), der(world.certificates.root)), PCK_CHAIN)


def test_two_cas_of_one_name_are_refused(maker: Any) -> None:
    """Nobody guesses which of two certificates of one name is meant."""
    other = blocks(maker.other.pck_chain)[1]
    with pytest.raises(ChainInvalidError, match="2 times"):
        load_chain(maker, other + maker.world.pck_chain, PCK_CHAIN)


def test_two_platforms_in_one_chain_are_refused(maker: Any) -> None:
    """A chain that could be of either of two platforms is of none."""
    other = blocks(maker.other.pck_chain)[0]
    with pytest.raises(ChainInvalidError, match="it has 2 certificates"):
        load_chain(maker, other + maker.world.pck_chain, PCK_CHAIN)


@pytest.mark.parametrize("serial", [b"\x00", b"\x80\x01"])
def test_a_serial_number_that_is_not_positive_is_refused(maker: Any, serial: bytes) -> None:
    """RFC 5280 wants positive serial numbers; a library's warning is not enough."""
    data = der(maker.world.certificates.tcb_signer)
    number = maker.world.certificates.tcb_signer.serial_number.to_bytes(16, "big").lstrip(b"\0")
    number = b"\0" + number if number[0] & 0x80 else number
    bad = data.replace(number, serial.ljust(len(number), b"\0"))

    assert bad != data
    with pytest.raises(ChainInvalidError, match="positive"):
        load_chain(maker, pem(bad, der(maker.world.certificates.root)), TCB_INFO_CHAIN)


def test_unused_bits_in_a_signature_are_refused(maker: Any) -> None:
    """A signature has one spelling: the count of unused bits is zero."""
    certificate = maker.world.certificates.tcb_signer
    data, size = der(certificate), len(certificate.signature)
    bad = data[: -size - 1] + b"\1" + data[-size:]
    with pytest.raises(EvidenceMalformedError):
        load_chain(maker, pem(bad, der(maker.world.certificates.root)), TCB_INFO_CHAIN)


def crl(maker: Any, *, extension: bool = False) -> Any:
    world = maker.world
    now = world.certificates.root.not_valid_before_utc
    builder = x509.CertificateRevocationListBuilder().issuer_name(world.certificates.pck_ca.subject)
    builder = builder.last_update(now).next_update(now + timedelta(days=1))
    if extension:
        builder = builder.add_extension(x509.DeltaCRLIndicator(1), critical=True)
    return builder


def issuer(maker: Any) -> Any:
    return load_chain(maker, maker.world.collateral().pck_crl_issuer_chain.encode(), PCK_CRL_CHAIN)[
        0
    ]


def test_a_list_by_somebody_else_is_refused(maker: Any) -> None:
    """A revocation list in the issuer's name but by another key revokes nothing."""
    signed = crl(maker).sign(maker.other.keys.pck_ca, SHA256())
    with pytest.raises(EvidenceSignatureError):
        load_revocation_list(signed.public_bytes(Encoding.DER), issuer(maker))


def test_a_list_by_a_key_that_may_not_sign_lists_is_refused(maker: Any) -> None:
    """An issuer without the key usage for lists revokes nothing."""
    data = crl(maker).sign(maker.world.keys.pck_ca, SHA256()).public_bytes(Encoding.DER)
    load_revocation_list(data, issuer(maker))
    with pytest.raises(EvidenceSignatureError):
        load_revocation_list(data, dataclasses.replace(issuer(maker), signs_lists=False))


def test_a_partial_list_is_refused(maker: Any) -> None:
    """A delta list would hide older revocations."""
    signed = crl(maker, extension=True).sign(maker.world.keys.pck_ca, SHA256())
    with pytest.raises(EvidenceMalformedError, match="not understood"):
        load_revocation_list(signed.public_bytes(Encoding.DER), issuer(maker))


@pytest.mark.parametrize("data", [b"", b"\x30\x00", b"\x30\x03\x02\x01\x01"])
def test_bytes_that_are_no_list_are_refused(maker: Any, data: bytes) -> None:
    """What is not a signed object is refused before the library sees it."""
    with pytest.raises(EvidenceMalformedError):
        load_revocation_list(data, issuer(maker))


def test_a_list_that_never_expires_is_refused(maker: Any) -> None:
    """Without a next update nobody could tell that a list is old."""
    good = maker.world.collateral().pck_crl
    parsed = x509.load_der_x509_crl(good)
    tbs = parsed.tbs_certlist_bytes
    at = tbs.index(b"\x17\x0d", tbs.index(b"\x17\x0d") + 1)
    inner = tbs[4:at] + tbs[at + 15 :] if tbs[1] == 0x82 else tbs[3:at] + tbs[at + 15 :]
    endless = _pki._der(0x30, inner)
    signature = maker.world.keys.pck_ca.sign(endless, ec.ECDSA(SHA256()))
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    data = _pki._der(0x30, endless + algorithm + _pki._der(0x03, b"\0" + signature))
    with pytest.raises(EvidenceMalformedError, match="never expires"):
        load_revocation_list(data, issuer(maker))


def test_a_pck_certificate_without_its_extension_is_refused(good: Any, maker: Any) -> None:
    """A PCK certificate that names no platform fits no TCB info."""
    world = maker.world
    leaf = _pki._certificate(
        "Intel SGX PCK Certificate",
        world.pck,
        world.certificates.pck_ca,
        world.keys.pck_ca,
        now=world.certificates.root.not_valid_before_utc,
    )
    chain = _pki.to_pem(leaf, world.certificates.pck_ca, world.certificates.root)
    certification = _quote.certify(world.pck, world.attestation, chain)
    blob = world.quote(maker.data, certification=certification)
    with pytest.raises(EvidenceMalformedError, match="names no platform"):
        tdx(good, blob=blob)


def test_the_list_of_another_pck_ca_is_refused(good: Any, maker: Any) -> None:
    """A second CA under the same root cannot vouch that nothing was revoked."""
    world = maker.world
    keys = dataclasses.replace(world.keys, pck_ca=maker.other.keys.pck_ca)
    second = _pki.VendorCertificates.issue(keys, now=world.certificates.root.not_valid_before_utc)
    foreign = _pki.issue_collateral(keys, second, now=world.certificates.root.not_valid_before_utc)
    swapped = dataclasses.replace(
        good.collateral,
        pck_crl_issuer_chain=foreign.pck_crl_issuer_chain,
        pck_crl=foreign.pck_crl,
    )
    with pytest.raises(ChainInvalidError, match="another PCK CA"):
        tdx(good, collateral=swapped)
