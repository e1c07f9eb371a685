# SPDX-License-Identifier: Apache-2.0
"""Reference manifests: what is signed is what is read."""

from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accord.errors import AccordError, EvidenceMalformedError, EvidenceSignatureError
from accord.evidence.nvidia._rim import MAX_MANIFEST_BYTES, load_manifest, parse_manifest
from accord.testing import SimulatedNVIDIA
from accord.testing._nvidia_report import GPUFirmware, write_manifest

FEW = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
DSIG = b"http://www.w3.org/2000/09/xmldsig#"
VALUES = (b"\1" * 48, b"\2" * 48)


@pytest.fixture(scope="session")
def manifest(gpu: SimulatedNVIDIA) -> bytes:
    """A small one, with two alternatives for measurement 1."""
    return write_manifest(
        gpu.manifests,
        [item.public_bytes(Encoding.DER) for item in gpu.manifest_chain],
        product="GH100",
        version="550.90.07",
        references={1: VALUES},
        size=3,
    )


def test_a_manifest_is_read_as_it_was_signed(manifest: bytes) -> None:
    """Only active measurements count."""
    signed = load_manifest(manifest, what="driver_rim")
    assert signed.manifest.product == "GH100"
    assert signed.manifest.version == "550.90.07"
    assert {index: item.values for index, item in signed.manifest.references.items()} == {1: VALUES}
    assert signed.chain[0].what == "HCC RIM L4 Signer"
    assert signed.manifest == parse_manifest(manifest, what="driver_rim")


Change = Callable[[bytes], bytes]


def swap(old: bytes, new: bytes) -> Change:
    def change(data: bytes) -> bytes:
        if old not in data:
            raise LookupError(old)
        return data.replace(old, new, 1)

    return change


def append_to_payload(element: bytes) -> Change:
    return swap(b"</ns0:Payload>", element + b"</ns0:Payload>")


@pytest.mark.parametrize(
    "change",
    [
        swap(b"01" * 48, b"03" * 48),
        swap(b'colloquialVersion="550', b'colloquialVersion="551'),
        swap(b'product="GH', b'product="GB'),
        swap(b'active="True"', b'active="False"'),
        swap(b'role="tagCreator"', b'role="tagMaker"'),
        swap(b"<ns0:Payload>\n", b"<ns0:Payload>\n\n"),
        append_to_payload(b"<ns0:Resource/>"),
        swap(b"#ecdsa-sha384", b"#ecdsa-sha512"),
        swap(b"<ds:SignatureValue>", b"<ds:SignatureValue>AAAA"),
        swap(b"<ds:DigestValue>", b"<ds:DigestValue>AAAA"),
        swap(b"<ds:SignedInfo>", b"<ds:SignedInfo> "),
        # Only in scope, used by nobody, yet part of the canonical form of what is signed.
        swap(b'<ds:Signature xmlns:ds="', b'<ds:Signature xmlns:x="urn:x" xmlns:ds="'),
    ],
)
def test_a_changed_manifest_is_refused(manifest: bytes, change: Change) -> None:
    """Values, versions, white space, what the signature covers."""
    with pytest.raises(EvidenceSignatureError):
        load_manifest(change(manifest), what="x")


@pytest.mark.parametrize(
    "change",
    [
        swap(b'URI=""', b'URI="#x"'),
        swap(b"#enveloped-signature", b"#base64"),
        swap(b"2006/12/xml-c14n11", b"2001/10/xml-exc-c14n#"),
        swap(b"xmldsig-more#ecdsa-sha384", b"xmldsig#rsa-sha1"),
        swap(b"xmldsig-more#sha384", b"xmldsig#sha1"),
        swap(b"<ds:DigestValue>", b"<ds:DigestValue>!"),
        swap(b"<ds:X509Certificate>", b"<ds:X509Certificate>AAAA"),
        swap(b"<ds:X509Data>", b"<ds:KeyValue>"),
        swap(b"</SoftwareIdentity>", b"</SoftwareIdentity><x/>"),
        swap(b"<SoftwareIdentity", b"<!DOCTYPE x><SoftwareIdentity"),
        lambda data: data.replace(b"SoftwareIdentity", b"SomethingElse"),
        lambda data: data.replace(DSIG, b"urn:other"),
        lambda data: data.replace(b"ds:Reference", b"ds:Other"),
        lambda data: data.replace(b"X509Certificate", b"X509Other"),
        lambda data: data + bytes(MAX_MANIFEST_BYTES),
    ],
)
def test_a_signature_that_we_do_not_understand_is_refused(manifest: bytes, change: Change) -> None:
    """Other algorithms, other references, no certificate."""
    with pytest.raises(EvidenceMalformedError):
        load_manifest(change(manifest), what="x")


def test_a_second_signature_wraps_nothing(manifest: bytes) -> None:
    """Signature wrapping: the signed part moved aside, another in its place."""
    start, end = manifest.index(b"<ds:Signature "), manifest.index(b"</SoftwareIdentity>")
    signature = manifest[start:end]
    for wrapped in (
        manifest[:start] + signature + manifest[start:],
        swap(b"</ns0:Payload>", signature + b"</ns0:Payload>")(manifest[:start] + manifest[end:]),
        swap(b"</ns0:Payload>", signature + b"</ns0:Payload>")(manifest),
    ):
        with pytest.raises(EvidenceMalformedError):
            load_manifest(wrapped, what="x")


def test_another_key_than_the_first_certificates_is_refused(
    gpu: SimulatedNVIDIA, manifest: bytes
) -> None:
    """The signer is the leaf, and no other."""
    chain = [item.public_bytes(Encoding.DER) for item in gpu.manifest_chain]
    forged = write_manifest(
        ec.generate_private_key(ec.SECP384R1()),
        chain,
        product="GH100",
        version="550.90.07",
        references={1: VALUES},
    )
    with pytest.raises(EvidenceSignatureError):
        load_manifest(forged, what="x")


def test_a_short_signature_is_refused(manifest: bytes) -> None:
    """r and s have 48 bytes each."""
    start = manifest.index(b"<ds:SignatureValue>") + len(b"<ds:SignatureValue>")
    with pytest.raises(EvidenceSignatureError):
        load_manifest(manifest[:start] + manifest[start + 4 :], what="x")


@pytest.mark.parametrize(
    "change",
    [
        swap(b'type="Measurement"', b'type="Opaque"'),
        swap(b'active="True"', b'active="true"'),
        swap(b'index="1"', b'index="-1"'),
        swap(b'index="1"', b'index="255"'),
        swap(b'index="1"', b'index="99999999999"'),
        swap(b'index="1"', b'index=""'),
        swap(b'alternatives="2"', b'alternatives="3"'),
        swap(
            b'size="48" type="Measurement" ns2:Hash0="01',
            b'size="0" type="Measurement" ns2:Hash0="01',
        ),
        swap(b'Hash0="0101', b'Hash0="01'),
        swap(b'Hash0="0101', b'Hash0="zz01'),
        swap(b"<ns0:Meta ", b"<ns0:Other "),
        swap(b'colloquialVersion="550.90.07"', b'colloquialVersion=""'),
        lambda data: data.replace(b"ns0:Payload", b"ns0:Other"),
        lambda data: data.replace(
            b'active="False" alternatives="1" index="0"',
            b'active="True" alternatives="1" index="1"',
        ),
    ],
)
def test_a_manifest_without_one_meaning_is_refused(manifest: bytes, change: Change) -> None:
    """Half-active, doubled, unknown or misshapen measurements."""
    with pytest.raises(EvidenceMalformedError):
        parse_manifest(change(manifest), what="x")


def test_resources_of_an_unknown_kind_are_not_passed_over(manifest: bytes) -> None:
    """A manifest may demand more than measurements; what we do not know we cannot promise."""
    with pytest.raises(EvidenceMalformedError, match="another kind"):
        parse_manifest(append_to_payload(b'<ns0:Resource type="MinSVN"/>')(manifest), what="x")


@FEW
@given(at=st.integers(0, 100_000), bit=st.integers(0, 7))
def test_every_signed_byte_counts(manifest: bytes, at: int, bit: int) -> None:
    """A flipped bit is refused, or lies outside of what is signed and changes nothing."""
    start = manifest.index(b"<ds:KeyInfo>")
    changed = bytearray(manifest)
    changed[at % start] ^= 1 << bit
    try:
        loaded = load_manifest(bytes(changed), what="x")
    except AccordError:
        return
    # Spellings that mean the same (a reference URI in other quotes, base64 padding bits).
    assert loaded.manifest == load_manifest(manifest, what="x").manifest


@FEW
@given(data=st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """The parser raises nothing else."""
    with pytest.raises(EvidenceMalformedError):
        parse_manifest(data, what="x")


def test_the_simulated_manifests_are_complete(gpu: SimulatedNVIDIA) -> None:
    """As many active measurements as NVIDIA's own manifests have."""
    counts = [
        len(load_manifest(gpu.manifest(GPUFirmware(), name), what=name).manifest.references)
        for name in ("driver_rim", "vbios_rim")
    ]
    assert counts == [20, 12]
