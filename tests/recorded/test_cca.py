# SPDX-License-Identifier: Apache-2.0
"""CCA tokens of veraison's rust-ccatoken: of a model and of reference keys, good and bad."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.recorded import EVIDENCE, needs_evidence

from accord.errors import (
    AnchorUnknownError,
    EvidenceMalformedError,
    EvidenceSignatureError,
    KeyNotBoundError,
)
from accord.evidence import Evidence, RootKind, Verified, verify_unbound
from accord.evidence.arm import read_trust_anchors
from accord.policy import Family

pytestmark = needs_evidence

FOLDER = "cca/rust-ccatoken"
COVERS = {
    f"{FOLDER}/cca-token-01.cbor": "verifies under cpak.json and ta-tfa.json",
    f"{FOLDER}/cca-token-02.cbor": "verifies under ta-02-ok.json, not under ta-02-bad.json",
    f"{FOLDER}/cca-token-draft-ffm-00.cbor": "verifies under cpak.json; its RAK is a COSE key",
    f"{FOLDER}/bug-33-repro.cbor": "refused: RAK not bound",
    f"{FOLDER}/cpak.json": "the key of the model",
    f"{FOLDER}/ta-tfa.json": "the same key, with the model's ids",
    f"{FOLDER}/ta-02-ok.json": "the key that signed cca-token-02",
    f"{FOLDER}/ta-02-bad.json": "refused: its point is not on its curve",
    f"{FOLDER}/ta.json": "a trust anchor of a device that made none of the tokens",
    f"{FOLDER}/pkey.json": "a key that signed none of the tokens",
    f"{FOLDER}/rv.json": "the reference values of cca-token-01",
}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
WHAT = "CCA platform attestation key"


def recorded(name: str) -> bytes:
    return (EVIDENCE / FOLDER / name).read_bytes()


def verified(name: str, anchor: str) -> Verified:
    """Verified under whatever keys ``anchor`` holds."""
    keys = recorded(anchor)
    return verify_unbound(
        Evidence(Family.CCA, recorded(name), {"cpak": keys}),
        anchors=[item.digest for item in read_trust_anchors(keys, what=WHAT)],
        now=NOW,
    )


@pytest.mark.parametrize(
    ("name", "anchor", "challenge", "components"),
    [
        ("cca-token-01.cbor", "cpak.json", "abababab", 4),
        ("cca-token-01.cbor", "ta-tfa.json", "abababab", 4),
        ("cca-token-02.cbor", "ta-02-ok.json", "41424142", 1),
        ("cca-token-draft-ffm-00.cbor", "cpak.json", "6e86d6d9", 13),
        ("cca-token-draft-ffm-00.cbor", "ta-tfa.json", "6e86d6d9", 13),
    ],
)
def test_good_tokens_verify(name: str, anchor: str, challenge: str, components: int) -> None:
    """Platform and realm tokens verify, of both profiles, by key and by trust anchor."""
    claims, bound = verified(name, anchor)

    assert bound["report_data"].hex().startswith(challenge)
    assert len(bound["report_data"]) == 64
    assert len(claims.components) == components
    assert (claims.root_kind, claims.attributes["lifecycle"]) == (RootKind.TEST, "secured")


def test_a_realm_key_that_the_platform_did_not_vouch_for_is_refused() -> None:
    """bug-33-repro.cbor has the platform token of another key."""
    with pytest.raises(KeyNotBoundError, match="RAK"):
        verified("bug-33-repro.cbor", "cpak.json")


def test_a_trust_anchor_off_its_curve_is_refused() -> None:
    """ta-02-bad.json has one key's x and another's y; ta-02-ok.json has both of the right one."""
    with pytest.raises(EvidenceMalformedError, match="not on its curve"):
        verified("cca-token-02.cbor", "ta-02-bad.json")


@pytest.mark.parametrize("name", ["cca-token-01.cbor", "cca-token-02.cbor"])
def test_the_trust_anchor_of_another_device_is_refused(name: str) -> None:
    """ta.json names an instance and an implementation of which there is no token."""
    with pytest.raises(AnchorUnknownError, match="none for instance"):
        verified(name, "ta.json")


def test_another_key_did_not_sign_the_platform_token() -> None:
    """pkey.json is a key of the same curve, and without the ids of a device."""
    with pytest.raises(EvidenceSignatureError):
        verified("cca-token-02.cbor", "pkey.json")


def test_reference_values_describe_the_token() -> None:
    """rv.json lists what cca-token-01.cbor shows: each value is a claim of ours."""
    values: Any = json.loads(recorded("rv.json"))
    platform, realm = values["platform"][1], values["realm"][0]

    claims, _ = verified("cca-token-01.cbor", "cpak.json")

    assert claims.measurements["config"].hex().upper() == platform["platform-configuration"]
    assert claims.measurements["implementation_id"].hex().upper() == platform["implementation-id"]
    assert claims.measurements["rpv"].hex().upper() == realm["personalization-value"]
    assert claims.measurements["rim"].hex() == realm["initial-measurement"]
    assert [claims.measurements[f"rem{index}"].hex() for index in range(4)] == realm[
        "extensible-measurements"
    ]
    assert [
        {
            "component-type": item.name,
            "measurement-value": item.digest.hex().upper(),
            "signer-id": item.signer.hex().upper(),
            "version": item.version,
        }
        for item in claims.components
    ] == platform["sw-components"]
