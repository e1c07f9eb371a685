# SPDX-License-Identifier: Apache-2.0
"""Statements signed elsewhere, and keys that were made elsewhere."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.board import Person, World, digest

from accord.board import AssetWithdrawal, Ballot, Choice, ProposalWithdrawal
from accord.client import (
    Unsigned,
    import_identity,
    read_identity,
    read_seal_key,
    read_verify_key,
)
from accord.encoding import canonical_json
from accord.errors import (
    AccordError,
    IdentityConflictError,
    MalformedError,
    SignatureInvalidError,
    UnsignedStatementError,
    UnsupportedFormatError,
)
from accord.identity import sign_statement

BALLOT = Ballot(digest("board"), digest("proposal"), "ann", Choice.APPROVE, 1)


def pem(key: object) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined,no-any-return]


def test_signature_made_elsewhere_is_the_same() -> None:
    """The file holds the signed bytes: whoever signs them has signed the statement."""
    ann, unsigned = Person.of("ann"), Unsigned.of("ballot", BALLOT.to_json())
    read = Unsigned.from_bytes(unsigned.to_bytes(), path="x")
    envelope = read.finish(ann.signer.private_key.sign(unsigned.to_bytes()), ann.public.verify_key)

    assert envelope == sign_statement("ballot", BALLOT.to_json(), [ann.signer])
    assert (read.kind, read.digest) == ("ballot", envelope.statement_digest)
    assert read.sign(ann.signer) == envelope.signatures[0].signature
    assert read.body == BALLOT.to_json()


def test_signature_of_somebody_else_is_refused() -> None:
    """Before it is sent anywhere."""
    unsigned, bob = Unsigned.of("ballot", BALLOT.to_json()), Person.of("bob")
    with pytest.raises(SignatureInvalidError):
        unsigned.finish(unsigned.sign(bob.signer), Person.of("ann").public.verify_key)
    with pytest.raises(MalformedError, match="64 bytes"):
        unsigned.finish(b"short", bob.public.verify_key)


def test_statement_says_whose_it_is_where_it_does() -> None:
    """A ballot its member, an asset its owner, a withdrawn proposal nobody."""
    world = World.ready()
    withdrawal = AssetWithdrawal(world.board, "ann/records", digest("x"))
    gone = ProposalWithdrawal(world.board, digest("x"))

    assert Unsigned.of("ballot", BALLOT.to_json()).speaker() == "ann"
    assert Unsigned.of("proposal", world.proposal_of().to_json()).speaker() == "lab"
    assert Unsigned.of("asset-withdrawal", withdrawal.to_json()).speaker() == "ann"
    assert Unsigned.of("proposal-withdrawal", gone.to_json()).speaker() is None
    assert Unsigned.of("ballot", {"member": 1}).speaker() is None
    assert Unsigned.of("ballot", []).speaker() is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"DSSEv1",
        b"DSSEv1 1 a 1 ",
        b"DSSEv1 1 a 1 bc",
        b"DSSEv1 01 a 1 b",
        b"DSSEv1 1 \xff 1 b",
        b"DSSEv1 9999 a 1 b",
        b"DSSEv1 1 a 99999999999 b",
        b"dssev1 1 a 1 b",
        b"DSSEv1 1 a  1 b",
        canonical_json(BALLOT.to_json()),
    ],
)
def test_other_bytes_are_no_statement(data: bytes) -> None:
    """Nothing else is passed off as something to be signed."""
    with pytest.raises(UnsignedStatementError):
        Unsigned.from_bytes(data, path="file")


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 200), st.sampled_from([b"", b"DSSEv1 1 a "]))
def test_no_file_makes_the_reader_fall_over(junk: bytes, at: int, head: bytes) -> None:
    """A statement or one of our errors; what is read writes the same bytes."""
    good = Unsigned.of("ballot", BALLOT.to_json()).to_bytes()
    for data in (head + junk, good[:at] + junk + good[at:]):
        try:
            assert Unsigned.from_bytes(data, path="file").to_bytes() == data
        except AccordError:
            continue


def test_foreign_type_is_told() -> None:
    """A file of another tool."""
    with pytest.raises(UnsupportedFormatError):
        _ = Unsigned("text/plain", b"x").kind


def test_identity_is_imported_once(tmp_path: Path) -> None:
    """From public keys in PEM; another one does not replace it."""
    ann = Person.of("ann")
    verify = read_verify_key(pem(ann.signer.private_key.public_key()), what="key")
    seal = read_seal_key(pem(ann.seal_private_key.public_key()), what="key")
    made = import_identity(tmp_path / "ann", "ann", verify, seal)

    assert made == ann.public
    assert made == import_identity(tmp_path / "ann", "ann", verify, seal)
    assert made == read_identity((tmp_path / "ann" / "identity.json").read_bytes(), what="x")
    with pytest.raises(IdentityConflictError):
        import_identity(tmp_path / "ann", "bob", verify, seal)
    with pytest.raises(MalformedError):
        import_identity(tmp_path / "zoe", "Zoe", verify, seal)


def test_keys_of_another_kind_are_refused() -> None:
    """Neither for the other purpose, nor on another curve, nor the point that opens everything."""
    ann = Person.of("ann")
    signing, sealing = ann.signer.private_key.public_key(), ann.seal_private_key.public_key()
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    low = X25519PublicKey.from_public_bytes(bytes(32))
    for data in (pem(sealing), pem(other), b"nothing", pem(signing)[:40]):
        with pytest.raises(MalformedError):
            read_verify_key(data, what="key")
    for data in (pem(signing), pem(other), pem(low), b""):
        with pytest.raises(MalformedError):
            read_seal_key(data, what="key")
    assert read_verify_key(pem(Ed25519PrivateKey.generate().public_key()), what="key").raw
