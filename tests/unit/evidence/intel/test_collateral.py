# SPDX-License-Identifier: Apache-2.0
"""Collateral: as it travels, and as Intel's services hand it out."""

import base64
import dataclasses
import json
from typing import Any
from urllib.parse import quote

import pytest

from accord.encoding import Fields
from accord.errors import AccordError, EncodingError, EvidenceMalformedError, MalformedError
from accord.evidence import Evidence, verify_unbound
from accord.evidence.intel import Collateral
from accord.policy import Family


def pem_list(der: bytes) -> bytes:
    body = base64.encodebytes(der)
    return b"-----BEGIN X509 CRL-----\n" + body + b"-----END X509 CRL-----\n"


@pytest.fixture
def parts(good: Any) -> dict[str, bytes]:
    """The good vector's collateral as PCS answers."""
    found = good.collateral
    return {
        "tcb": b'{"tcbInfo":%s,"signature":"%s"}'
        % (found.tcb_info.encode(), found.tcb_info_signature.hex().encode()),
        "qe": b'{"enclaveIdentity":%s,"signature":"%s"}\n'
        % (found.qe_identity.encode(), found.qe_identity_signature.hex().encode()),
        "rootcacrl": found.root_ca_crl,
        "pckcrl": found.pck_crl,
        "TCB-Info-Issuer-Chain": quote(found.tcb_info_issuer_chain).encode(),
        "SGX-PCK-CRL-Issuer-Chain": found.pck_crl_issuer_chain.encode(),
    }


def works(good: Any, collateral: Collateral) -> bool:
    evidence = Evidence(Family.TDX, good.evidence.blob, collateral.to_endorsements())
    return verify_unbound(evidence, anchors=good.anchors, now=good.now) == verify_unbound(
        good.evidence, anchors=good.anchors, now=good.now
    )


def test_collateral_reads_back_as_it_was_written(good: Any) -> None:
    """Evidence and JSON carry every byte."""
    found = good.collateral

    assert found == Collateral.from_endorsements(found.to_endorsements())
    assert found == Collateral.from_bytes(json.dumps(found.to_json()).encode())


def test_the_chain_beside_the_quote_is_optional(good: Any) -> None:
    """dcap-qvl writes null where there is none; where there is one it is kept."""
    found = good.collateral
    beside = dataclasses.replace(found, pck_certificate_chain="PEM")
    null = {**found.to_json(), "pck_certificate_chain": None}

    assert found == Collateral.from_bytes(json.dumps(null).encode())
    assert beside == Collateral.from_bytes(json.dumps(beside.to_json()).encode())
    assert beside == Collateral.from_endorsements(beside.to_endorsements())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("root_ca_crl", "xy"),
        ("root_ca_crl", "a"),
        ("root_ca_crl", ""),
        ("pck_crl", 7),
        ("tcb_info_signature", "00"),
        ("qe_identity", None),
        ("tcb_info", "x" * (256 * 1024 + 1)),
        ("tcb_info", "\ud800"),
        ("pck_crl_issuer_chain", "\u00e9"),
        ("pck_certificate_chain", 7),
        ("surprise", "x"),
    ],
)
def test_a_mistyped_field_is_refused(good: Any, field: str, value: object) -> None:
    """JSON of collateral is read strictly: type, size, alphabet and names."""
    document: Any = {**good.collateral.to_json(), field: value}
    with pytest.raises(MalformedError, match=field):
        Collateral.from_fields(Fields(document, "collateral"))


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"null"])
def test_json_that_is_no_collateral_is_refused(data: bytes) -> None:
    """What is no object is no collateral."""
    with pytest.raises(EncodingError):
        Collateral.from_bytes(data)


def test_a_missing_endorsement_is_named(good: Any) -> None:
    """Evidence without all of the collateral is refused, and says what lacks."""
    endorsements = dict(good.evidence.endorsements)
    del endorsements["pck_crl"]
    with pytest.raises(EvidenceMalformedError, match="pck_crl is missing"):
        Collateral.from_endorsements(endorsements)


def test_text_that_is_not_ascii_is_refused(good: Any) -> None:
    """PEM and the vendor's JSON are ASCII."""
    endorsements = {**good.evidence.endorsements, "tcb_info": "\u00e9".encode()}
    with pytest.raises(EvidenceMalformedError, match="tcb_info is not ASCII"):
        Collateral.from_endorsements(endorsements)


def test_answers_of_pcs_are_put_together(good: Any, parts: dict[str, bytes]) -> None:
    """Parts are told apart by content, in any order, whatever their names."""
    found = Collateral.from_pcs_parts(parts)
    renamed = {str(index): parts[name] for index, name in enumerate(sorted(parts))}

    assert good.collateral == found == Collateral.from_pcs_parts(renamed)


def test_the_signed_text_is_taken_over_byte_for_byte(good: Any, parts: dict[str, bytes]) -> None:
    """White space around the signed text is no part of it; within it every byte counts."""
    spaced = parts["tcb"].replace(b'{"tcbInfo":', b' { "version" : [1, 2] ,\n"tcbInfo" : ')
    found = Collateral.from_pcs_parts({**parts, "tcb": spaced})

    assert good.collateral.tcb_info == found.tcb_info


@pytest.mark.parametrize("spell", [pem_list, lambda der: der.hex().encode() + b"\n"])
def test_lists_come_in_three_spellings(*, good: Any, parts: dict[str, bytes], spell: Any) -> None:
    """PCS writes DER, others PEM or hex."""
    spelled = {**parts, "pckcrl": spell(parts["pckcrl"]), "rootcacrl": spell(parts["rootcacrl"])}

    assert good.collateral == Collateral.from_pcs_parts(spelled)


@pytest.mark.parametrize("spell", [pem_list, lambda der: der.hex().encode()])
def test_evidence_may_carry_lists_in_any_of_them(good: Any, spell: Any) -> None:
    """Whoever collected evidence need not know DER."""
    found = dataclasses.replace(
        good.collateral,
        pck_crl=spell(good.collateral.pck_crl),
        root_ca_crl=spell(good.collateral.root_ca_crl),
    )

    assert works(good, found)


def test_a_platforms_certificate_is_recognised(
    good: Any, maker: Any, parts: dict[str, bytes]
) -> None:
    """The chain of a quote that does not carry it comes as one more part, in PEM or DER."""
    pck = maker.world.pck_chain.decode().split("-----END")[0] + "-----END CERTIFICATE-----\n"
    body = "".join(pck.splitlines()[1:-1])
    found = Collateral.from_pcs_parts({**parts, "pckCert.pem": pck.encode()})
    der = Collateral.from_pcs_parts({**parts, "pckCert.der": base64.b64decode(body)})

    assert maker.world.pck_chain.decode() == found.pck_certificate_chain
    assert found == der


def test_identities_of_other_enclaves_are_left_aside(good: Any, parts: dict[str, bytes]) -> None:
    """Intel hands out the identity of its verifying enclave beside that of the quoting one."""
    other = parts["qe"].replace(b'"TD_QE"', b'"QVE"')

    assert good.collateral == Collateral.from_pcs_parts({**parts, "qve": other})


@pytest.mark.parametrize("name", ["tcb", "qe", "rootcacrl", "pckcrl", "TCB-Info-Issuer-Chain"])
def test_a_missing_part_is_told(parts: dict[str, bytes], name: str) -> None:
    """Half of the collateral is none."""
    del parts[name]
    with pytest.raises(EvidenceMalformedError, match=r"missing|0 times"):
        Collateral.from_pcs_parts(parts)


def test_the_issuer_of_the_list_may_only_be_in_the_quote(
    good: Any, parts: dict[str, bytes]
) -> None:
    """Who keeps only the bodies of Intel's answers has no PCK CA: the quote has it."""
    del parts["SGX-PCK-CRL-Issuer-Chain"]
    found = Collateral.from_pcs_parts(parts)

    assert found.pck_crl_issuer_chain == ""
    assert found == Collateral.from_endorsements(found.to_endorsements())
    assert found == Collateral.from_bytes(json.dumps(found.to_json()).encode())
    assert works(good, found)


def test_two_of_a_kind_are_refused(parts: dict[str, bytes]) -> None:
    """Nobody guesses which TCB info is meant."""
    with pytest.raises(EvidenceMalformedError, match="2 times"):
        Collateral.from_pcs_parts({**parts, "again": parts["tcb"]})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"{}",
        b'{"other":1}',
        b'{"tcbInfo":x}',
        b'{"tcbInfo":{}}',
        b'{"tcbInfo":{},"signature":"00"}',
        b'{"tcbInfo":[1],"signature":"' + b"00" * 64 + b'"}',
        b'{"tcbInfo":{},"tcbInfo":{},"signature":"00"}',
        b'{"tcbInfo":{} "signature":"00"}',
        b'{"tcbInfo":{"\xc3\xa9":1}}',
        b"{" + b'"a":' * 3 + b"[" * 5000,
        b"\x30\x00",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        b"-----BEGIN X509 CRL-----\nA\n-----END X509 CRL-----",
        b"text",
        bytes((1 << 20) + 1),
    ],
)
def test_a_part_that_is_nothing_is_refused(parts: dict[str, bytes], data: bytes) -> None:
    """A file that is no part of collateral is named, not skipped."""
    with pytest.raises(AccordError):
        Collateral.from_pcs_parts({**parts, "surprise": data})


@pytest.mark.parametrize(
    "name", ["tcb_info_issuer_chain", "pck_crl", "tcb_info", "qe_identity", "pck_certificate_chain"]
)
def test_endorsements_of_absurd_size_are_refused(good: Any, name: str) -> None:
    """Evidence has the limits of collateral: nothing of it is read before they hold."""
    flood = {**good.evidence.endorsements, name: b"-" * ((256 << 10) + 1)}
    evidence = dataclasses.replace(good.evidence, endorsements=flood)

    with pytest.raises(EvidenceMalformedError, match=f"{name} is larger than 262144 bytes"):
        verify_unbound(evidence, anchors=good.anchors, now=good.now)


@pytest.mark.parametrize("size", [63, 65, 128, 4096])
def test_a_signature_of_another_size_is_refused(good: Any, size: int) -> None:
    """64 bytes, as in collateral."""
    changed = {**good.evidence.endorsements, "qe_identity_signature": bytes(size)}
    evidence = dataclasses.replace(good.evidence, endorsements=changed)

    with pytest.raises(EvidenceMalformedError, match=f"has {size} bytes, not 64"):
        verify_unbound(evidence, anchors=good.anchors, now=good.now)


def test_a_flood_of_certificates_beside_a_quote_is_refused(good: Any) -> None:
    """Thousands of certificates that nobody signed were parsed, and kept in memory."""
    chain = good.evidence.endorsements["tcb_info_issuer_chain"]
    flood = {**good.evidence.endorsements, "tcb_info_issuer_chain": chain * 17}
    evidence = dataclasses.replace(good.evidence, endorsements=flood)

    with pytest.raises(EvidenceMalformedError, match="more than 32 certificates"):
        verify_unbound(evidence, anchors=good.anchors, now=good.now)


@pytest.mark.timeout(20)
def test_a_long_answer_is_read_in_time(parts: dict[str, bytes]) -> None:
    """A copy of the rest for every member made it quadratic: half a minute for a megabyte."""
    members = b",".join(b'"%d" : 0' % index for index in range(60_000))
    parts["long"] = b"{" + members + b"}"

    with pytest.raises(EvidenceMalformedError, match="neither TCB info nor enclave identity"):
        Collateral.from_pcs_parts(parts)
