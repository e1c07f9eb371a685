# SPDX-License-Identifier: Apache-2.0
"""Verification of SGX quotes: claims, refusals, and what a policy can say of an enclave."""

import dataclasses
import json
import struct
from typing import Any

import pytest

from accord.errors import (
    AppraisalError,
    CollateralMismatchError,
    EnvironmentRefusedError,
    EvidenceMalformedError,
    EvidenceSignatureError,
    TCBRefusedError,
)
from accord.evidence import TCB, Claims, Evidence, RootKind, appraise, parse, verify
from accord.evidence.intel import parse_sgx, verify_sgx
from accord.policy import FAMILIES, Assurance, AttestationVariant, Family
from accord.testing import _pki, _quote


@pytest.fixture(scope="module")
def enclave(generate: Any) -> Any:
    """The vector of an enclave in which everything is right."""
    return next(item for item in generate.Maker().enclaves() if item.name == "sgx_valid")


def check(vector: Any, **changes: Any) -> Claims:
    evidence = dataclasses.replace(
        vector.evidence,
        blob=changes.get("blob", vector.evidence.blob),
        endorsements=changes.get("collateral", vector.collateral).to_endorsements(),
    )
    return verify(evidence, anchors=vector.anchors, now=vector.now, binding=vector.binding)


def test_claims_are_what_the_quote_and_its_collateral_say(enclave: Any, generate: Any) -> None:
    """Claims name root, measurements, platform, TCB and the chain, leaf first."""
    claims = check(enclave)

    assert generate.enclave().items() <= claims.measurements.items()
    assert (claims.family, claims.root_kind) == (Family.SGX, RootKind.TEST)
    assert (claims.instance_id, claims.debug) == (generate.PPID, False)
    assert claims.tcb == TCB("UpToDate", (), 17)
    assert [item.what for item in claims.chain] == [
        "Intel SGX PCK Certificate",
        "Intel SGX PCK Platform CA",
        "Intel SGX Root CA",
    ]
    assert claims.root == claims.chain[-1].digest == enclave.anchors[0]
    assert claims.collateral_expires == generate.ISSUED + _pki.COLLATERAL_VALIDITY
    hardware = dataclasses.replace(claims, root_kind=RootKind.PRODUCTION)
    assert (claims.assurance, hardware.assurance) == (Assurance.SIMULATED, Assurance.ENCLAVE)


def test_claims_go_by_the_names_that_a_policy_knows(enclave: Any) -> None:
    """Every claim is a field of the family, of the right type, and every field is a claim."""
    claims, fields = check(enclave), FAMILIES[Family.SGX]

    assert dict(fields.measurements) == {
        name: (len(value),) for name, value in claims.measurements.items()
    }
    assert dict(fields.attributes) == {
        name: type(value) for name, value in claims.attributes.items()
    }


def test_the_platform_tells_its_kind(enclave: Any) -> None:
    """FMSPC, SGX type and flags of the PCK certificate are claims."""
    found = check(enclave).attributes

    assert (_pki.FMSPC.hex(), "scalable") == (found["fmspc"], found["sgx_type"])
    assert (found["dynamic_platform"], found["cached_keys"], found["smt_enabled"]) == (True,) * 3


@pytest.mark.parametrize(
    ("bit", "name"),
    [(4, "provision_key"), (5, "einittoken_key"), (6, "cet"), (7, "kss"), (10, "aexnotify")],
)
def test_each_attribute_with_a_meaning_is_a_claim(
    enclave: Any, maker: Any, bit: int, name: str
) -> None:
    """Attributes are told one by one, so that a policy needs no mask."""
    plain = check(enclave)
    attributes = (_quote.SGX_FLAGS | 1 << bit).to_bytes(8, "little") + bytes(8)
    claims = check(enclave, blob=maker.world.sgx_quote(maker.data, attributes=attributes))

    assert (plain.attributes[name], claims.attributes[name]) == (False, True)
    assert attributes == claims.measurements["attributes"]


@pytest.mark.parametrize("bit", [3, 8, 9, 11, 31, 63])
def test_a_reserved_attribute_is_refused(enclave: Any, maker: Any, bit: int) -> None:
    """A bit that nobody understands may allow anything."""
    attributes = (_quote.SGX_FLAGS | 1 << bit).to_bytes(16, "little")
    blob = maker.world.sgx_quote(maker.data, attributes=attributes)
    with pytest.raises(EnvironmentRefusedError, match="reserved"):
        check(enclave, blob=blob)


def admits(claims: Claims, vector: Any, **changes: Any) -> bool:
    fields = {"measurements": {"mrenclave": (claims.measurements["mrenclave"],)}, **changes}
    variant = AttestationVariant(
        family=Family.SGX,
        simulated=True,
        tcb_statuses=("UpToDate",),
        min_tcb_evaluation_number=0,
        **fields,
    )
    try:
        appraise(claims, [variant], now=vector.now)
    except AppraisalError:
        return False
    return True


def test_an_enclave_is_admitted_by_its_signer_and_least_version(enclave: Any, maker: Any) -> None:
    """MRSIGNER with product and version stands for every later build of the same product."""
    blob = maker.world.sgx_quote(maker.data, isv_prod_id=7, isv_svn=3, config_svn=2)
    claims = check(enclave, blob=blob)
    signer = {"mrsigner": (claims.measurements["mrsigner"],)}
    product = {"isv_prod_id": (7,)}

    assert admits(claims, enclave, measurements=signer, attributes=product, minimums={"isv_svn": 3})
    assert not admits(
        claims, enclave, measurements=signer, attributes=product, minimums={"isv_svn": 4}
    )
    assert not admits(claims, enclave, measurements=signer, attributes={"isv_prod_id": (8,)})
    assert admits(claims, enclave, minimums={"config_svn": 2})
    assert not admits(claims, enclave, minimums={"config_svn": 3})


@pytest.mark.parametrize("bit", [4, 5])
def test_keys_of_intels_own_enclaves_are_refused_by_default(
    enclave: Any, maker: Any, bit: int
) -> None:
    """Provisioning and launch keys are no application's business, unless a policy says so."""
    attributes = (_quote.SGX_FLAGS | 1 << bit).to_bytes(16, "little")
    claims = check(enclave, blob=maker.world.sgx_quote(maker.data, attributes=attributes))
    name = {4: "provision_key", 5: "einittoken_key"}[bit]

    assert not admits(claims, enclave)
    assert admits(claims, enclave, attributes={name: (True,)})


@pytest.mark.parametrize(
    ("field", "old", "new", "error"),
    [
        ("tcb_info", '"id":"SGX"', '"id":"TDX"', EvidenceMalformedError),
        ("tcb_info", '"version":3', '"version":4', EvidenceMalformedError),
        ("tcb_info", '"svn":3', '"svn":4', TCBRefusedError),
        ("tcb_info", '"svn":3', '"svn":"4"', EvidenceMalformedError),
        ("tcb_info", '"fmspc":"ACC0', '"fmspc":"ACC1', CollateralMismatchError),
        ("qe_identity", '"id":"QE"', '"id":"TD_QE"', CollateralMismatchError),
        ("qe_identity", '"isvsvn":4', '"isvsvn":5', TCBRefusedError),
        ("qe_identity", '"isvprodid":1', '"isvprodid":2', CollateralMismatchError),
    ],
)
def test_signed_collateral_that_does_not_fit_is_refused(
    *, enclave: Any, maker: Any, field: str, old: str, new: str, error: type[Exception]
) -> None:
    """Even the vendor's own signature does not make unfit collateral fit."""
    collateral = maker.world.sign_again(enclave.collateral, field, old, new)
    with pytest.raises(error):
        check(enclave, collateral=collateral)


def test_an_old_quoting_enclave_drags_the_platform_down(enclave: Any, maker: Any) -> None:
    """The status of platform and quoting enclave is the worse of the two."""
    old = maker.world.sign_again(enclave.collateral, "qe_identity", '"UpToDate"', '"OutOfDate"')

    assert check(enclave, collateral=old).tcb_status == "OutOfDate"


def older_info(collateral: Any, **changes: Any) -> str:
    """The same TCB info in the format of PCS API v3."""
    info = json.loads(collateral.tcb_info)
    del info["id"]
    info["version"] = 2
    for level in info["tcbLevels"]:
        svns = level["tcb"].pop("sgxtcbcomponents")
        level["tcb"] |= {
            f"sgxtcbcomp{index:02}svn": item["svn"] for index, item in enumerate(svns, 1)
        }
        level["tcb"] |= changes
    return json.dumps(info)


def test_tcb_info_version_two_serves_sgx(enclave: Any, maker: Any) -> None:
    """The older format, which Intel's own samples have, says the same."""
    text = older_info(enclave.collateral)
    old = maker.world.sign_again(enclave.collateral, "tcb_info", enclave.collateral.tcb_info, text)
    high = older_info(enclave.collateral, sgxtcbcomp05svn=9)
    newer = maker.world.sign_again(
        enclave.collateral, "tcb_info", enclave.collateral.tcb_info, high
    )

    assert check(enclave) == check(enclave, collateral=old)
    with pytest.raises(TCBRefusedError):
        check(enclave, collateral=newer)


def test_tcb_info_version_two_never_serves_tdx(good: Any, enclave: Any, maker: Any) -> None:
    """Version 2 knows nothing of TDX modules."""
    text = older_info(enclave.collateral)
    collateral = maker.world.sign_again(good.collateral, "tcb_info", good.collateral.tcb_info, text)
    evidence = dataclasses.replace(good.evidence, endorsements=collateral.to_endorsements())
    with pytest.raises(CollateralMismatchError, match="TEE is TDX"):
        verify(evidence, anchors=good.anchors, now=good.now, binding=good.binding)


@pytest.mark.parametrize("kind", [1, 2, 3, 4])
def test_a_quote_without_its_chain_takes_it_from_beside(
    enclave: Any, maker: Any, kind: int
) -> None:
    """A quote may only say which PCK certificate it means: then the chain comes beside it."""
    blob, chain = enclave.evidence.blob, maker.world.pck_chain
    at = blob.index(chain)
    named = blob[: at - 6] + struct.pack("<HI", kind, 36) + bytes(36)
    size = len(named) - 436
    named = named[:432] + struct.pack("<I", size) + named[436:]
    beside = dataclasses.replace(enclave.collateral, pck_certificate_chain=chain.decode())

    assert check(enclave) == check(enclave, blob=named, collateral=beside)
    with pytest.raises(EvidenceMalformedError, match="pck_certificate_chain is missing"):
        check(enclave, blob=named)


def test_a_chain_beside_a_quote_that_has_one_is_not_used(enclave: Any, maker: Any) -> None:
    """The quote's own chain counts: a stranger's beside it changes nothing."""
    stranger = maker.other.pck_chain.decode()
    beside = dataclasses.replace(enclave.collateral, pck_certificate_chain=stranger)

    assert check(enclave) == check(enclave, collateral=beside)


@pytest.mark.parametrize("offset", range(0, 432, 7))
def test_no_signed_byte_can_change(enclave: Any, offset: int) -> None:
    """Header and report are signed, byte by byte."""
    blob = enclave.evidence.blob
    flipped = blob[:offset] + bytes((blob[offset] ^ 1,)) + blob[offset + 1 :]
    with pytest.raises((EvidenceMalformedError, EvidenceSignatureError)):
        check(enclave, blob=flipped)


def test_a_td_is_no_enclave(good: Any) -> None:
    """A TDX quote is refused where SGX is expected, before anything else."""
    evidence = Evidence(Family.SGX, good.evidence.blob, good.evidence.endorsements)
    with pytest.raises(EvidenceMalformedError, match="it is of TDX"):
        verify_sgx(evidence, anchors=good.anchors, now=good.now)


def test_a_quote_is_shown_without_being_verified(enclave: Any, good: Any) -> None:
    """Whoever explains a quote sees its fields, whether they are true or not."""
    assert parse(enclave.evidence) == parse_sgx(enclave.evidence)
    assert parse(good.evidence).report.rtmrs  # type: ignore[attr-defined]
