# SPDX-License-Identifier: Apache-2.0
"""Makes the genesis vectors: signed envelopes, one flaw per ``_fail`` folder.

``python -m tests.vectors.genesis.generate`` writes them; a test fails where they differ. All
keys follow from labels and are public: they protect nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tests.support.board import (
    MEMBERS,
    Person,
    genesis_json,
    member_json,
    sign_genesis,
    variant_json,
)

from accord.board import Genesis
from accord.encoding import (
    Envelope,
    EnvelopeSignature,
    canonical_json,
    pre_authentication_encoding,
)
from accord.identity import sign_statement

HERE = Path(__file__).parent
BAD, RULES = "accord-BRD-001", "accord-BRD-002"
MALFORMED, SPELLING, FORMAT = "accord-ENC-001", "accord-ENC-002", "accord-ENC-004"


def flaws() -> Iterator[tuple[str, str, str, Envelope]]:
    """Name, reason, code and envelope of each refused genesis."""
    good, names = sign_genesis(genesis_json()), tuple(MEMBERS)
    yield (
        "unsigned_by_one_fail",
        "One founder has not signed.",
        BAD,
        sign_genesis(genesis_json(), *names[1:]),
    )
    yield (
        "signed_by_a_stranger_fail",
        "Somebody else signed as well.",
        BAD,
        sign_genesis(genesis_json(), *names, "mallory"),
    )
    yield (
        "changed_after_signing_fail",
        "The name was changed after signing.",
        BAD,
        replace(good, payload=canonical_json(genesis_json(name="other"))),
    )
    yield (
        "other_type_fail",
        "Signed as a statement of another kind.",
        FORMAT,
        sign_statement("proposal", genesis_json(), [Person.of(name).signer for name in names]),
    )
    yield (
        "not_canonical_fail",
        "The payload ends in a line break.",
        SPELLING,
        _raw(canonical_json(genesis_json()) + b"\n"),
    )
    short = {k: v for k, v in variant_json().items() if k != "tcb_statuses"}
    yield (
        "default_left_out_fail",
        "A default is not written out.",
        BAD,
        sign_genesis(genesis_json(service=[short])),
    )
    twin = member_json("bob", "data-owner", key="ann")
    document = genesis_json(
        members=[member_json("ann", "data-owner"), twin],
        constitution={"policy.enact": "role:data-owner"},
    )
    yield "one_key_twice_fail", "Two members have one key.", BAD, sign_genesis(document, "ann")
    yield (
        "impossible_rule_fail",
        "A rule that nobody can satisfy.",
        RULES,
        sign_genesis(genesis_json(constitution={"policy.enact": "role:pilot"})),
    )
    yield (
        "empty_rule_fail",
        "A rule that everybody satisfies.",
        RULES,
        sign_genesis(genesis_json(constitution={"policy.enact": {"all": []}})),
    )
    yield "no_anchor_fail", "No hardware is trusted.", BAD, sign_genesis(genesis_json(anchors=[]))
    yield (
        "unknown_field_fail",
        "A field nobody knows.",
        MALFORMED,
        sign_genesis(genesis_json(veto="ann")),
    )


def _raw(payload: bytes) -> Envelope:
    media_type = sign_genesis(genesis_json()).payload_type
    message = pre_authentication_encoding(media_type, payload)
    signers = [Person.of(name).signer for name in MEMBERS]
    return Envelope(
        media_type,
        payload,
        tuple(EnvelopeSignature(item.key_id, item.sign(message)) for item in signers),
    )


def files() -> dict[str, bytes]:
    """Every published file, by its path below this folder."""
    digest = Genesis.from_json(genesis_json()).digest
    cases: list[tuple[str, str, dict[str, str], Envelope]]
    cases = [("valid", "Everything is right.", {"digest": digest}, sign_genesis(genesis_json()))]
    cases += [(name, why, {"error": code}, signed) for name, why, code, signed in flaws()]
    found = {}
    for name, reason, expected, envelope in cases:
        found[f"{name}/README.md"] = f"# {name}\n\n{reason}\n".encode()
        found[f"{name}/genesis.json"] = envelope.to_bytes()
        found[f"{name}/expected.json"] = (json.dumps(expected, indent=2) + "\n").encode()
    return found


if __name__ == "__main__":
    for path, data in files().items():
        (HERE / path).parent.mkdir(exist_ok=True)
        (HERE / path).write_bytes(data)
