# SPDX-License-Identifier: Apache-2.0
"""PSA tokens of the reference verifier (TF-M's iat-verifier), good and bad."""

from datetime import UTC, datetime

import pytest
from tests.support.recorded import EVIDENCE, needs_evidence

from accord.errors import AnchorUnknownError, EvidenceMalformedError, EvidenceSignatureError
from accord.evidence import Component, Evidence, RootKind, Verified, verify_unbound
from accord.evidence.arm import read_trust_anchors
from accord.policy import Family

pytestmark = needs_evidence

FOLDER = "psa/tf-m-tools"
COVERS = {
    f"{FOLDER}/iat.cbor": "verifies under key.pub.pem",
    f"{FOLDER}/psa-2_0_0_sign1-token.cbor": "verifies under key.pub.pem; its header is empty",
    f"{FOLDER}/no-sw-measurements.cbor": "verifies, with no component and an unknown lifecycle",
    f"{FOLDER}/missing-sw-comps.cbor": "refused: its list of components is empty",
    f"{FOLDER}/invalid-profile-id.cbor": "refused: its profile is no text",
    f"{FOLDER}/missing-claim.cbor": "refused: mandatory claims are missing",
    f"{FOLDER}/submod-missing-claim.cbor": "refused: mandatory claims are missing",
    f"{FOLDER}/malformed.cbor": "refused: a byte follows the message",
    f"{FOLDER}/key.pub.pem": "the key that signed all of them",
    f"{FOLDER}/key-alt.pub.pem": "signed none of them",
}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PATTERN = bytes.fromhex("07060504030201000f0e0d0c0b0a090817161514131211101f1e1d1c1b1a1918")


def token(name: str, key: str = "key.pub.pem") -> Evidence:
    blob = (EVIDENCE / FOLDER / name).read_bytes()
    return Evidence(Family.PSA, blob, {"iak": (EVIDENCE / FOLDER / key).read_bytes()})


def verified(evidence: Evidence) -> Verified:
    """Verified under whichever key came with it: here the question is what it signed."""
    anchors = [item.digest for item in read_trust_anchors(evidence.endorsements["iak"], what="k")]
    return verify_unbound(evidence, anchors=anchors, now=NOW)


def test_the_reference_token_verifies() -> None:
    """iat.cbor has four components and the oldest profile's labels."""
    claims, bound = verified(token("iat.cbor"))

    assert bound == {"psa": PATTERN}
    assert claims.root_kind is RootKind.TEST
    assert claims.measurements == {
        "implementation_id": PATTERN,
        "instance_id": b"\x01" + PATTERN,
        "boot_seed": PATTERN,
    }
    assert claims.attributes == {
        "profile": "http://example.com",
        "lifecycle": "secured",
        "lifecycle_value": 0x3000,
        "client_id": 2,
        "secure_caller": True,
        "certification_reference": "",
        "algorithm_protected": True,
    }
    assert claims.components == tuple(
        Component(kind, kind, PATTERN, version, PATTERN)
        for kind, version in (("BL", "3.4.2"), ("M1", "1.2"), ("M2", "1.2.3"), ("M3", "1"))
    )


def test_the_token_of_profile_2_verifies() -> None:
    """psa-2_0_0_sign1-token.cbor has a nonce of 64 bytes, and no algorithm in its header."""
    claims, bound = verified(token("psa-2_0_0_sign1-token.cbor"))

    assert bound == {"report_data": bytes(64)}
    assert claims.attributes["profile"] == "http://arm.com/psa/2.0.0"
    assert claims.attributes["certification_reference"] == "0604565272829-10010"
    assert claims.attributes["algorithm_protected"] is False
    assert [(item.kind, item.version) for item in claims.components] == [
        ("SPE", "1.6.0"),
        ("NSPE", "0.0.0"),
    ]


def test_a_token_that_says_it_has_no_measurements_verifies() -> None:
    """no-sw-measurements.cbor is well formed; that nothing vouches for its code is policy."""
    claims, _ = verified(token("no-sw-measurements.cbor"))

    assert claims.components == ()
    assert claims.attributes["lifecycle"] == "unknown"


@pytest.mark.parametrize(
    ("name", "detail"),
    [
        ("missing-sw-comps.cbor", "software components is not a list with entries"),
        ("invalid-profile-id.cbor", "profile is not a text"),
        ("missing-claim.cbor", "is missing"),
        ("submod-missing-claim.cbor", "is missing"),
        ("malformed.cbor", "bytes follow its end"),
    ],
)
def test_bad_tokens_are_refused(name: str, detail: str) -> None:
    """What the reference verifier refuses is refused for the reason in its name."""
    with pytest.raises(EvidenceMalformedError, match=detail):
        verified(token(name))


def test_another_key_did_not_sign_the_token() -> None:
    """key-alt.pub.pem is a key of the same kind."""
    with pytest.raises(EvidenceSignatureError):
        verified(token("iat.cbor", "key-alt.pub.pem"))


def test_a_key_that_is_not_pinned_is_refused() -> None:
    """That a key signed the token proves nothing: anybody has one."""
    evidence = token("iat.cbor")
    (other,) = read_trust_anchors((EVIDENCE / FOLDER / "key-alt.pub.pem").read_bytes(), what="k")

    with pytest.raises(AnchorUnknownError):
        verify_unbound(evidence, anchors=[other.digest], now=NOW)
