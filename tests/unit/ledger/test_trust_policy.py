# SPDX-License-Identifier: Apache-2.0
"""Policies of C2SP: read strictly, counted by groups."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from accord.errors import (
    CheckpointOriginError,
    MalformedError,
    QuorumMissingError,
    SignatureInvalidError,
    TooLargeError,
)
from accord.identity import KeySigner
from accord.ledger import (
    EMPTY_ROOT,
    Checkpoint,
    PolicyGroup,
    PolicyKey,
    TrustPolicy,
    add_signatures,
    cosign,
    cosigner_vkey,
    parse_policy_text,
    policy_text,
    sign_checkpoint,
    vkey,
)


def signer(number: int) -> KeySigner:
    return KeySigner(Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32))


ORIGIN = "example.com/log"
LOG = signer(0)
X1, X2, X3, Y1 = (
    (f"{name}.example", signer(number)) for number, name in enumerate(("x1", "x2", "x3", "y1"), 1)
)
V = {name: cosigner_vkey(name, key.verify_key) for name, key in (X1, X2, X3, Y1)}
EXAMPLE = f"""# As in the standard.
log {vkey(ORIGIN, LOG.verify_key)} https://example.com/

witness X1 {V["x1.example"]}
\twitness X2\t{V["x2.example"]} https://x2.example/
witness X3 {V["x3.example"]}
group X-witnesses 2 X1 X2 X3
witness Y1 {V["y1.example"]}
group Y-witnesses any Y1
  # indented comment
group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""
NOTE = sign_checkpoint(Checkpoint(ORIGIN, 0, EMPTY_ROOT), name=ORIGIN, signer=LOG)


def cosigned(*witnesses: tuple[str, KeySigner]) -> bytes:
    lines = [cosign(NOTE, name=name, signer=key, time=1) for name, key in witnesses]
    return add_signatures(NOTE, lines)


def test_the_example_of_the_standard_is_read_and_counted() -> None:
    """Two of the X witnesses and one of the Y witnesses."""
    policy = parse_policy_text(EXAMPLE)
    assert policy.verify(cosigned(X1, X3, Y1), origin=ORIGIN).size == 0
    assert policy.witnesses["X2"].url == "https://x2.example/"
    for missing in ((X1, X2, X3), (X1, Y1), ()):
        with pytest.raises(QuorumMissingError):
            policy.verify(cosigned(*missing), origin=ORIGIN)


def test_a_checkpoint_of_no_log_or_another_log_is_refused() -> None:
    """Cosignatures do not stand in for the log's own."""
    policy = parse_policy_text(EXAMPLE)
    with pytest.raises(CheckpointOriginError):
        policy.verify(cosigned(X1, X2, Y1), origin="example.com/other")
    other = sign_checkpoint(Checkpoint(ORIGIN, 0, EMPTY_ROOT), name="other", signer=LOG)
    with pytest.raises(SignatureInvalidError):
        policy.verify(other, origin=ORIGIN)


def test_a_policy_may_ask_for_nobody() -> None:
    """``none``, and then the log's signature is enough."""
    text = f"log {vkey(ORIGIN, LOG.verify_key)}\nquorum none\n"
    policy = parse_policy_text(text)
    assert policy.verify(NOTE, origin=ORIGIN).size == 0
    assert policy_text(policy) == text


def test_a_policy_is_read_as_it_was_written() -> None:
    """Without comments, thresholds as numbers."""
    policy = parse_policy_text(EXAMPLE)
    assert parse_policy_text(policy_text(policy)) == policy


def test_groups_of_organisations_count_once() -> None:
    """However many witnesses one of them runs, also where names meet words of the format."""
    keys = {name: PolicyKey(name, key.verify_key) for name, key in (X1, X2, X3)}
    none = PolicyKey("none", Y1[1].verify_key, "http://127.0.0.1:1")
    groups = {
        "a": [keys["x1.example"], keys["x2.example"]],
        "b": [keys["x3.example"]],
        "none": [none],
    }
    policy = TrustPolicy.of_groups(logs=[PolicyKey("log", LOG.verify_key)], groups=groups, quorum=2)
    again = parse_policy_text(policy_text(policy))
    assert again == policy
    assert again.reached({"x1.example", "none"})
    assert not again.reached({"x1.example", "x2.example", "nobody"})


LINE = f"witness w {V['x1.example']}\n"
WRONG = {
    "no quorum": LINE,
    "two quorums": "quorum none\nquorum none\n",
    "quorum of nobody": "quorum w\n" + LINE,
    "unknown word": LINE + "quora w\n",
    "log key as witness": f"witness w {vkey('x1.example', X1[1].verify_key)}\nquorum w\n",
    "witness key as log": f"log {V['x1.example']}\nquorum none\n",
    "witness twice": LINE + LINE.replace(" w ", " v ") + "quorum w\n",
    "key name twice": LINE
    + f"witness v {cosigner_vkey('x1.example', X2[1].verify_key)}\nquorum w\n",
    "name twice": LINE + f"witness w {V['x2.example']}\nquorum w\n",
    "log twice": f"log {vkey('a', LOG.verify_key)}\nlog {vkey('b', LOG.verify_key)}\nquorum none\n",
    "witness called none": LINE.replace(" w ", " none ") + "quorum none\n",
    "group without members": LINE + "group g any\nquorum g\n",
    "group of unknown": "group g any w\n" + LINE + "quorum g\n",
    "group of itself": "group g any g\nquorum g\n",
    "member twice": LINE + "group g any w w\nquorum g\n",
    "member of two groups": LINE + "group g any w\ngroup h any w\nquorum g\n",
    "group called as a witness": LINE + "group w any w\nquorum w\n",
    "threshold nought": LINE + "group g 0 w\nquorum g\n",
    "threshold too large": LINE + "group g 2 w\nquorum g\n",
    "threshold with nought": LINE + "group g 01 w\nquorum g\n",
    "threshold in other digits": LINE + "group g \u0661 w\nquorum g\n",
    "two addresses": LINE.replace("\n", " a b\n") + "quorum w\n",
    "other white space": LINE.replace("witness w", "witness\u00a0w") + "quorum w\n",
    "carriage return": LINE + "quorum w\r\n",
    "no newline": LINE + "quorum w",
    "empty": "",
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG.keys())
def test_other_policies_are_refused(text: str) -> None:
    """A policy that is half understood protects nobody."""
    with pytest.raises(MalformedError):
        parse_policy_text(text)


def test_policies_are_bounded() -> None:
    """Nothing of a larger one is read."""
    with pytest.raises(TooLargeError):
        parse_policy_text("\n" * ((1 << 17) + 1))


def test_a_policy_that_could_not_be_read_is_not_written() -> None:
    """An address with a space would be two words."""
    wrong = TrustPolicy(
        (), {"w": PolicyKey("w", X1[1].verify_key, "a\tb")}, {"g": PolicyGroup(1, ("w",))}, "g"
    )
    with pytest.raises(MalformedError):
        policy_text(wrong)
