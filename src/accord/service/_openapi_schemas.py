# SPDX-License-Identifier: Apache-2.0
"""The schemas of the OpenAPI document: how requests and answers look on the wire."""

from __future__ import annotations

from collections.abc import Mapping

from accord.encoding import JSONValue
from accord.evidence import Purpose
from accord.service._route import PAGE_ENTRIES


def _ref(name: str) -> JSONValue:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(optional: tuple[str, ...] = (), /, **properties: JSONValue) -> JSONValue:
    """An object with exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def _array(item: JSONValue, **more: JSONValue) -> JSONValue:
    return {"type": "array", "items": item, **more}


def _text(**more: JSONValue) -> JSONValue:
    return {"type": "string", **more}


def _or_null(schema: JSONValue) -> JSONValue:
    return {"anyOf": [schema, {"type": "null"}]}


def _page(item: str) -> JSONValue:
    return _object(items=_array(_ref(item)), next=_or_null(_ref("Count")))


def _bytes(size: int) -> JSONValue:
    """Base64, with padding, of so many bytes."""
    digits = -(-size * 8 // 6)
    return _text(pattern=f"^[A-Za-z0-9+/]{{{digits}}}{'=' * (-digits % 4)}$")


_NAME = "[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?"
_DOCUMENT: JSONValue = {"type": "object"}
_COUNT = _ref("Count")
_DIGEST = _ref("Digest")
_TIME = _ref("Time")
_NAMES = _array(_text())

_BASE: Mapping[str, JSONValue] = {
    "Digest": _text(pattern="^sha256:[0-9a-f]{64}$"),
    "Hex": _text(pattern="^[0-9a-f]{64}$"),
    "Time": _text(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$"),
    "Base64": _text(pattern="^[A-Za-z0-9+/]*={0,2}$"),
    "Nonce": _bytes(32),
    "NoncePurpose": _text(
        enum=[
            purpose.value
            for purpose in (
                Purpose.RELEASE,
                Purpose.LEASE,
                Purpose.BALLOT,
                Purpose.EXCHANGE,
                Purpose.HANDOVER,
            )
        ]
    ),
    "Count": {"type": "integer", "minimum": 0, "maximum": 2**53 - 1},
    "PageSize": {"type": "integer", "minimum": 1, "maximum": PAGE_ENTRIES},
    "ETag": _text(pattern=r'^(\*|"sha256:[0-9a-f]{64}")$'),
    "IdempotencyKey": _text(pattern="^[!-~]{1,128}$"),
    "PolicyName": _text(pattern=f"^{_NAME}(?:/{_NAME}){{0,7}}$", maxLength=255),
    "Text": _text(),
    "Bytes": _text(format="binary"),
    "Document": _DOCUMENT,
    "Problem": _object(
        ("refusal",),
        type=_text(pattern="^urn:accord:error:accord-[A-Z]+-[0-9]{3}$"),
        title=_text(),
        status={"type": "integer", "minimum": 400, "maximum": 599},
        code=_text(pattern="^accord-[A-Z]+-[0-9]{3}$"),
        hint=_text(),
        details={"type": "object", "additionalProperties": {"type": "string"}},
        refusal=_ref("Base64"),
    ),
    "Envelope": _object(
        payloadType=_text(),
        payload=_ref("Base64"),
        signatures=_array(_object(keyid=_DIGEST, sig=_ref("Base64")), minItems=1, maxItems=1024),
    ),
    "Keyset": _DOCUMENT,
    "Evidence": _DOCUMENT,
}

_REQUESTS: Mapping[str, JSONValue] = {
    "AttestRequest": _object(
        ("level", "genesis"),
        board=_DIGEST,
        nonce=_ref("Nonce"),
        level={"type": "integer", "enum": [1, 2]},
        genesis={"type": "boolean"},
    ),
    "StatementRequest": _object(
        ("sealed_key", "evidence"),
        envelope=_ref("Envelope"),
        sealed_key=_ref("Base64"),
        evidence=_ref("Evidence"),
    ),
    "ChallengeRequest": _object(
        ("purpose",),
        purpose=_ref("NoncePurpose"),
    ),
    "ReleaseRequest": _object(
        ("channel", "token", "otp", "tls_spki"),
        schema=_text(enum=["accord.release-request.v1"]),
        board=_DIGEST,
        policy=_ref("PolicyName"),
        service=_text(pattern=f"^{_NAME}$"),
        keyset=_ref("Keyset"),
        nonce=_ref("Nonce"),
        evidence=_ref("Evidence"),
        channel=_text(enum=["L1", "L2"]),
        token=_bytes(32),
        otp=_text(maxLength=16),
        tls_spki=_ref("Base64"),
    ),
    "LeaseRequest": _object(
        schema=_text(enum=["accord.lease-request.v1"]),
        board=_DIGEST,
        run=_text(pattern="^run-[0-9a-f]{32}$"),
        nonce=_ref("Nonce"),
        evidence=_ref("Evidence"),
        channel=_text(enum=["L1", "L2"]),
        signature=_bytes(64),
    ),
    "RecoveryKey": _object(member=_text(), sealed=_ref("Base64")),
    "RecoveryShare": _object(envelope=_ref("Envelope"), sealed=_ref("Base64")),
    "Nothing": _object(),
    "HandoverAsked": _object(
        request=_ref("Envelope"), offer=_ref("Envelope"), evidence=_ref("Evidence")
    ),
    "HandoverOfferAsked": _object(genesis=_ref("Envelope"), nonce=_ref("Nonce")),
    "HandoverTaken": _object(genesis=_ref("Envelope"), request=_ref("Envelope")),
    "ExportRequest": _object(envelope=_ref("Envelope"), evidence=_ref("Evidence")),
}

_CLAIM = _object(
    schema=_text(enum=["accord.service-claim.v1"]), service=_DIGEST, owner=_DOCUMENT, time=_TIME
)

_COUNTER = _object(
    ("expected",),
    standing=_text(enum=["open", "unclean", "refused"]),
    value=_COUNT,
    expected=_COUNT,
)

_ANSWERS: Mapping[str, JSONValue] = {
    "Health": _object(status=_text(enum=["unclaimed", "open", "reader", "halted"])),
    "Version": _object(version=_text(), api=_text(enum=["v1"]), log_key=_DIGEST, openapi=_text()),
    "Attestation": _object(
        ("genesis",), keyset=_ref("Keyset"), evidence=_ref("Evidence"), genesis=_ref("Envelope")
    ),
    "Claim": _CLAIM,
    "Config": _DOCUMENT,
    "Ownership": _object(
        service=_DIGEST, claim=_or_null(_CLAIM), config=_DOCUMENT, counter=_or_null(_COUNTER)
    ),
    "Founded": _object(board=_DIGEST),
    "LogPage": _object(
        entries=_array(_ref("Base64"), maxItems=PAGE_ENTRIES),
        next=_or_null(_COUNT),
        size=_COUNT,
        checkpoint=_ref("Base64"),
    ),
    "Recovery": _object(offer=_ref("Envelope"), header=_ref("Base64")),
    "Handover": _object(handover=_ref("Envelope"), url=_text()),
    "HandoverOffer": _object(offer=_ref("Envelope"), evidence=_ref("Evidence")),
    "HandoverDone": _object(done=_ref("Envelope")),
    "Indexed": _object(index=_COUNT),
    "Challenge": _object(nonce=_ref("Nonce"), expires=_TIME),
    "Sealed": _object(sealed=_ref("Base64")),
    "Proposed": _object(index=_COUNT, proposal=_DIGEST),
}

_PROPOSAL: Mapping[str, JSONValue] = {
    "proposal": _DIGEST,
    "index": _COUNT,
    "title": _text(),
    "author": _text(),
    "base": _DIGEST,
    "actions": _NAMES,
    "policies": _array(_object(name=_ref("PolicyName"), digest=_DIGEST)),
    "status": _text(),
    "expires": _TIME,
    "notice_s": _COUNT,
    "approved_at": _or_null(_TIME),
    "approved": _NAMES,
    "rejected": _NAMES,
    "missing": _NAMES,
}

_VIEWS: Mapping[str, JSONValue] = {
    "Status": _object(
        board=_DIGEST,
        name=_text(),
        charter=_DIGEST,
        log_key=_or_null(_DIGEST),
        entries=_COUNT,
        starts=_COUNT,
        members=_COUNT,
        policies=_COUNT,
        open_proposals=_COUNT,
        assets=_COUNT,
        stops=_COUNT,
        releases=_COUNT,
        freshness=_DOCUMENT,
    ),
    "Members": _object(charter=_DIGEST, members=_array(_DOCUMENT)),
    "Constitution": _object(charter=_DIGEST, constitution=_DOCUMENT, service=_array(_DOCUMENT)),
    "Proposal": _object(**_PROPOSAL),
    "WholeProposal": _object(
        **_PROPOSAL,
        document=_DOCUMENT,
        rules=_array(_object(action=_text(), source=_text(), rule={}, missing=_NAMES)),
        ballots=_array(_DOCUMENT),
    ),
    "Proposals": _page("Proposal"),
    "ListedPolicy": _object(name=_ref("PolicyName"), digest=_DIGEST, versions=_COUNT),
    "Policies": _page("ListedPolicy"),
    "Policy": _object(
        name=_ref("PolicyName"),
        digest=_DIGEST,
        in_force={"type": "boolean"},
        versions=_array(_DIGEST),
        policy=_DOCUMENT,
    ),
    "PolicySecrets": _object(
        policy=_ref("PolicyName"),
        digest=_DIGEST,
        authority={"type": "boolean"},
        secrets=_DOCUMENT,
        exports=_array(_DOCUMENT),
    ),
    "Secrets": _page("PolicySecrets"),
    "Public": _object(
        policy=_ref("PolicyName"),
        digest=_DIGEST,
        public={"type": "object", "additionalProperties": {"type": "string"}},
    ),
    "Stop": _object(
        stop=_DIGEST,
        index=_COUNT,
        member=_text(),
        scope=_text(),
        reason=_text(),
        time=_TIME,
        resumed={"type": "boolean"},
    ),
    "Executions": _page("Stop"),
    "Released": _object(
        run=_text(),
        index=_COUNT,
        policy=_ref("PolicyName"),
        policy_digest=_DIGEST,
        service=_text(),
        assurance=_text(),
        channel=_text(enum=["L1", "L2"]),
        evidence=_DIGEST,
        uses=_array(_DOCUMENT),
        secrets=_array(_DOCUMENT),
        lease_until=_or_null(_TIME),
        outcome=_or_null(_text(enum=["succeeded", "failed"])),
    ),
    "Releases": _page("Released"),
}

SCHEMAS: Mapping[str, JSONValue] = {**_BASE, **_REQUESTS, **_ANSWERS, **_VIEWS}
"""By name; `Document` stands for what the specification of its format describes."""
