# SPDX-License-Identifier: Apache-2.0
"""Keys, identity files, signed statements, sealed messages, and how each is attacked."""

import contextlib
import hashlib
import hmac
import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from tests.support.board import Person

from accord.encoding import Envelope, EnvelopeSignature, Fields, canonical_json, sha256
from accord.errors import (
    AccordError,
    IdentityConflictError,
    IdentityExposedError,
    IdentityNotFoundError,
    MalformedError,
    NotCanonicalError,
    SealedMessageError,
    SignatureInvalidError,
    UnsupportedFormatError,
)
from accord.identity import (
    FileIdentity,
    Keyset,
    PublicIdentity,
    SealKey,
    VerifyKey,
    _signer,
    open_sealed,
    read_private,
    seal,
    sign_statement,
    statement_kind,
    verify_statement,
    write_whole,
)

SECRET = "identity.secret.json"

# --- files -----------------------------------------------------------------------------------


def test_identity_survives_its_file(tmp_path: Path) -> None:
    """What was created is what is loaded, and creating it again changes nothing."""
    made = FileIdentity.create(tmp_path, "ann")
    kept = (tmp_path / SECRET).read_bytes()

    assert made.public == FileIdentity.load(tmp_path).public
    assert made.public == FileIdentity.create(tmp_path, "ann").public
    assert kept == (tmp_path / SECRET).read_bytes()


def test_private_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    """The secret file is 0600 from the start; the public one can be shared."""
    FileIdentity.create(tmp_path, "ann")

    assert stat.S_IMODE((tmp_path / SECRET).stat().st_mode) == 0o600
    assert b"sign" not in (tmp_path / "identity.json").read_bytes()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o660])
def test_exposed_private_key_is_refused(tmp_path: Path, mode: int) -> None:
    """A key that others may read or replace is not used, and the reason says so."""
    FileIdentity.create(tmp_path, "ann")
    (tmp_path / SECRET).chmod(mode)

    with pytest.raises(IdentityExposedError, match=f"mode {mode:04o}"):
        FileIdentity.load(tmp_path)


def test_identity_of_another_is_never_replaced(tmp_path: Path) -> None:
    """A slip of --home cannot destroy a key."""
    FileIdentity.create(tmp_path, "ann")

    with pytest.raises(IdentityConflictError, match="identity of ann, not of bob"):
        FileIdentity.create(tmp_path, "bob")


def test_missing_identity_is_named(tmp_path: Path) -> None:
    """Nothing there, or a folder in its place."""
    with pytest.raises(IdentityNotFoundError):
        FileIdentity.load(tmp_path)
    with pytest.raises(IdentityNotFoundError):
        read_private(tmp_path)


@pytest.mark.parametrize("name", ["Ann", "", "../ann", "a b", "ann\n"])
def test_identity_needs_a_plain_name(tmp_path: Path, name: str) -> None:
    """A name that is refused leaves no file."""
    with pytest.raises(MalformedError):
        FileIdentity.create(tmp_path / "home", name)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda d: {**d, "schema": "accord.identity-secret.v2"},
        lambda d: {**d, "extra": 1},
        lambda d: {**d, "sign": "AA=="},
        lambda d: {k: v for k, v in d.items() if k != "seal"},
        lambda d: [d],
    ],
)
def test_damaged_identity_is_refused(tmp_path: Path, change: Callable[[Any], Any]) -> None:
    """Every damage is an error of the catalogue."""
    document = {"schema": "accord.identity-secret.v1", "name": "ann", "sign": "", "seal": ""}
    write_whole(tmp_path / SECRET, canonical_json(change(document)), mode=0o600)

    with pytest.raises(AccordError):
        FileIdentity.load(tmp_path)


@pytest.mark.parametrize("cut", range(9))
def test_interrupted_creation_leaves_no_half_identity(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int
) -> None:
    """Killed at any system call, the next attempt ends with a whole identity, both halves."""
    calls = 0

    def dying(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls > cut:
                raise KeyboardInterrupt
            return function(*args, **options)

        return wrapped

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", dying(os.open))
        patch.setattr(os, "fsync", dying(os.fsync))
        patch.setattr(Path, "replace", dying(Path.replace))
        with contextlib.suppress(KeyboardInterrupt):
            FileIdentity.create(tmp_path, "ann")
    complete = (tmp_path / SECRET).exists()
    before = (tmp_path / SECRET).read_bytes() if complete else b""
    made = FileIdentity.create(tmp_path, "ann")

    assert made.public == FileIdentity.load(tmp_path).public
    assert canonical_json(made.public.to_json()) == (tmp_path / "identity.json").read_bytes()
    assert before == ((tmp_path / SECRET).read_bytes() if complete else b"")
    assert sorted(path.name for path in tmp_path.glob("*.json")) == ["identity.json", SECRET]


def test_part_of_a_file_is_never_a_link_to_elsewhere(tmp_path: Path) -> None:
    """A link that somebody planted under the temporary name is replaced, not followed."""
    target = tmp_path / "target"
    target.write_bytes(b"untouched")
    (tmp_path / ".file.part").symlink_to(target)
    write_whole(tmp_path / "file", b"new")

    assert target.read_bytes() == b"untouched"
    assert (tmp_path / "file").read_bytes() == b"new"
    assert not (tmp_path / "file").is_symlink()


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    """Printing an identity by mistake prints no key."""
    identity = FileIdentity.create(tmp_path, "ann")
    raw = identity.signer.private_key.private_bytes_raw()

    assert repr(raw) not in repr(identity)
    assert raw.hex() not in repr(identity) + repr(identity.signer)
    assert _signer._SECRET_FILE == SECRET


# --- public keys -----------------------------------------------------------------------------


def test_public_identity_round_trip() -> None:
    """Reading what was written gives the same identity."""
    public = Person.of("ann").public

    assert public == PublicIdentity.from_fields(Fields(public.to_json(), "identity"))


@pytest.mark.parametrize("tls", [None, bytes(32)])
def test_keyset_round_trip(tls: bytes | None) -> None:
    """With and without a TLS key, and the digest tells them apart."""
    keyset = Person.of("ann").keyset(tls)

    assert keyset == Keyset.from_fields(Fields(keyset.to_json(), "keyset"))
    assert keyset.digest != Person.of("ann").keyset(bytes([1]) * 32).digest
    assert keyset.verify_spki_sha256 == hashlib.sha256(keyset.verify_key.spki).digest()


def test_key_id_is_the_digest_of_the_spki() -> None:
    """Any tool can compute it: RFC 8410's prefix, then the raw key."""
    key = Person.of("ann").signer.verify_key
    spki = bytes.fromhex("302a300506032b6570032100") + key.raw

    assert spki == key.spki
    assert sha256(spki) == key.key_id


def test_key_of_wrong_size_is_refused() -> None:
    """A key is 32 bytes."""
    with pytest.raises(MalformedError):
        _ = VerifyKey(b"short").key_id
    with pytest.raises(MalformedError):
        _ = SealKey(b"short").key


LOW_ORDER = (
    # RFC 7748, section 6.1, and the list at https://cr.yp.to/ecdh.html#validate
    bytes(32),
    (1).to_bytes(32, "little"),
    (2**255 - 19).to_bytes(32, "little"),
    (2**255 - 20).to_bytes(32, "little"),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
)


@pytest.mark.parametrize("raw", LOW_ORDER)
def test_nothing_is_sealed_to_a_point_of_low_order(raw: bytes) -> None:
    """Everybody could open it: the shared secret would be zero."""
    with pytest.raises(MalformedError):
        seal(b"secret", SealKey(raw), purpose="grant", context=None)


# --- statements ------------------------------------------------------------------------------


def keys(*names: str) -> dict[Any, VerifyKey]:
    found = [Person.of(name).signer.verify_key for name in names]
    return {key.key_id: key for key in found}


def signed(kind: str = "ballot", *names: str) -> Envelope:
    signers = [Person.of(name).signer for name in names or ("ann",)]
    return sign_statement(kind, {"a": 1}, signers)


def test_statement_round_trip() -> None:
    """What was signed is what is read, with who signed it."""
    statement = verify_statement(signed("ballot", "ann", "bob"), "ballot", keys("ann", "bob"))

    assert statement.body == {"a": 1}
    assert statement.signers == keys("ann", "bob").keys()
    assert statement.digest == signed().statement_digest
    assert statement.fields().integer("a", minimum=0) == 1


def test_statement_of_another_kind_is_refused() -> None:
    """A signature under one type is worth nothing under another."""
    with pytest.raises(UnsupportedFormatError):
        verify_statement(signed("ballot"), "proposal", keys("ann"))


def test_relabelled_statement_is_refused() -> None:
    """The type is signed: changing the label breaks the signature."""
    relabelled = replace(signed("ballot"), payload_type=signed("proposal").payload_type)

    with pytest.raises(SignatureInvalidError):
        verify_statement(relabelled, "proposal", keys("ann"))


def test_signature_by_a_stranger_is_refused() -> None:
    """Not skipped: an envelope says exactly who signed it."""
    with pytest.raises(SignatureInvalidError):
        verify_statement(signed("ballot", "ann", "mallory"), "ballot", keys("ann"))


def test_signature_under_the_name_of_another_is_refused() -> None:
    """The key id is a hint: naming a member's key does not make the signature his."""
    forged = signed("ballot", "mallory")
    renamed = (EnvelopeSignature(Person.of("ann").signer.key_id, forged.signatures[0].signature),)

    with pytest.raises(SignatureInvalidError):
        verify_statement(replace(forged, signatures=renamed), "ballot", keys("ann"))


def test_signatures_exchanged_between_members_are_refused() -> None:
    """Each signature belongs to its key."""
    envelope = signed("ballot", "ann", "bob")
    first, second = envelope.signatures
    swapped = (
        EnvelopeSignature(first.key_id, second.signature),
        EnvelopeSignature(second.key_id, first.signature),
    )

    with pytest.raises(SignatureInvalidError):
        verify_statement(replace(envelope, signatures=swapped), "ballot", keys("ann", "bob"))


@pytest.mark.parametrize("bit", [0, 5, 255, 256, 300, 511])
def test_flipped_bit_of_a_signature_is_refused(bit: int) -> None:
    """Also in the half that only limits its size."""
    envelope = signed()
    number = int.from_bytes(envelope.signatures[0].signature, "little") ^ (1 << bit)
    item = replace(envelope.signatures[0], signature=number.to_bytes(64, "little"))

    with pytest.raises(SignatureInvalidError):
        verify_statement(replace(envelope, signatures=(item,)), "ballot", keys("ann"))


def test_second_signature_from_the_first_is_refused() -> None:
    """Adding the group's order to s gives no second valid signature (RFC 8032, 5.1.7)."""
    order = 2**252 + 27742317777372353535851937790883648493
    envelope = signed()
    raw = envelope.signatures[0].signature
    s = int.from_bytes(raw[32:], "little") + order
    item = replace(envelope.signatures[0], signature=raw[:32] + s.to_bytes(32, "little"))

    with pytest.raises(SignatureInvalidError):
        verify_statement(replace(envelope, signatures=(item,)), "ballot", keys("ann"))


def test_payload_has_one_spelling_even_if_signed() -> None:
    """A signature does not excuse a payload that two readers could hash differently."""
    ann, media_type = Person.of("ann").signer, signed().payload_type
    payload = b'{"a": 1}'
    message = b"DSSEv1 %d %b %d %b" % (len(media_type), media_type.encode(), 8, payload)
    envelope = Envelope(media_type, payload, (EnvelopeSignature(ann.key_id, ann.sign(message)),))

    with pytest.raises(NotCanonicalError):
        verify_statement(envelope, "ballot", keys("ann"))


@pytest.mark.parametrize(
    ("media_type", "kind"),
    [
        ("application/vnd.accord.ballot.v1+json", "ballot"),
        ("application/vnd.accord.asset-withdrawal.v1+json", "asset-withdrawal"),
        ("application/vnd.in-toto+json", "run"),
    ],
)
def test_kind_is_read_from_the_type(media_type: str, kind: str) -> None:
    """Our types by their name, run statements by in-toto's."""
    assert kind == statement_kind(Envelope(media_type, b"", ()))
    assert media_type == sign_statement(kind, {}, []).payload_type


@pytest.mark.parametrize(
    "media_type", ["application/json", "application/vnd.accord.ballot.v2+json", ""]
)
def test_foreign_type_is_refused(media_type: str) -> None:
    """A statement of another system, or of another version, is nothing to us."""
    with pytest.raises(UnsupportedFormatError):
        statement_kind(Envelope(media_type, b"", ()))


# --- sealed messages -------------------------------------------------------------------------

CONTEXT = {"board": "b", "nonce": "n"}


def test_sealed_message_is_opened_by_its_reader() -> None:
    """And looks different every time."""
    ann = Person.of("ann")
    first = seal(b"secret", ann.seal_key, purpose="grant", context=CONTEXT)
    second = seal(b"secret", ann.seal_key, purpose="grant", context=CONTEXT)

    assert first != second
    assert b"secret" not in first
    assert open_sealed(first, ann.seal_private_key, purpose="grant", context=CONTEXT) == b"secret"


@pytest.mark.parametrize(
    ("who", "purpose", "context"),
    [
        ("bob", "grant", CONTEXT),
        ("ann", "asset-key", CONTEXT),
        ("ann", "grant", {**CONTEXT, "nonce": "m"}),
        ("ann", "grant", None),
    ],
)
def test_sealed_message_is_opened_for_nothing_else(who: str, purpose: str, context: Any) -> None:
    """Another key, another purpose, another context: nothing."""
    message = seal(b"secret", Person.of("ann").seal_key, purpose="grant", context=CONTEXT)

    with pytest.raises(SealedMessageError, match=purpose):
        open_sealed(message, Person.of(who).seal_private_key, purpose=purpose, context=context)


def test_changed_sealed_message_is_refused() -> None:
    """Every bit counts; so does the length."""
    ann = Person.of("ann")
    message = seal(b"secret", ann.seal_key, purpose="grant", context=None)
    places = (0, 31, 32, len(message) - 1)
    changed = [bytes([*message[:at], message[at] ^ 1, *message[at + 1 :]]) for at in places]
    cut = [message[:size] for size in (0, 31, 32, 47, len(message) - 1)]

    for bad in (*changed, *cut, message + b"\0"):
        with pytest.raises(SealedMessageError):
            open_sealed(bad, ann.seal_private_key, purpose="grant", context=None)


def hkdf_extract(salt: bytes, ikm: bytes) -> bytes:
    return hmac.digest(salt or bytes(32), ikm, "sha256")


def hkdf_expand(prk: bytes, info: bytes, size: int) -> bytes:
    out, block = b"", b""
    for number in range(1, 3):
        block = hmac.digest(prk, block + info + bytes((number,)), "sha256")
        out += block
    return out[:size]


def hpke_key(
    enc: bytes, key: X25519PrivateKey, info: bytes, *, aead_id: int, key_size: int
) -> tuple[bytes, bytes]:
    """Key and base nonce, written from RFC 9180, sections 4.1, 5.1 and 7, alone."""

    def labeled_extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
        return hkdf_extract(salt, b"HPKE-v1" + suite + label + ikm)

    def labeled_expand(suite: bytes, prk: bytes, label: bytes, info: bytes, size: int) -> bytes:
        return hkdf_expand(prk, size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info, size)

    kem = b"KEM" + (0x0020).to_bytes(2, "big")
    suite = b"HPKE" + b"".join(i.to_bytes(2, "big") for i in (0x0020, 0x0001, aead_id))
    shared = key.exchange(X25519PublicKey.from_public_bytes(enc))
    eae = labeled_extract(kem, b"", b"eae_prk", shared)
    context = enc + key.public_key().public_bytes_raw()
    secret = labeled_expand(kem, eae, b"shared_secret", context, 32)
    schedule = (
        b"\0"
        + labeled_extract(suite, b"", b"psk_id_hash", b"")
        + labeled_extract(suite, b"", b"info_hash", info)
    )
    prk = labeled_extract(suite, secret, b"secret", b"")
    return (
        labeled_expand(suite, prk, b"key", schedule, key_size),
        labeled_expand(suite, prk, b"base_nonce", schedule, 12),
    )


def test_second_hpke_reader_agrees_with_rfc_9180() -> None:
    """The reader used below is right: vector A.1.1 of the RFC (which has AES-128)."""
    key = X25519PrivateKey.from_private_bytes(
        bytes.fromhex("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8")
    )
    enc = bytes.fromhex("37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431")
    derived, nonce = hpke_key(enc, key, b"Ode on a Grecian Urn", aead_id=1, key_size=16)
    message = bytes.fromhex(
        "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a"
    )

    assert derived.hex() == "4531685d41d65f03dc48f6b8302c05b0"
    assert nonce.hex() == "56d890e5accaaf011cff4b7d"
    assert AESGCM(derived).decrypt(nonce, message, b"Count-0") == b"Beauty is truth, truth beauty"


def test_sealed_message_is_hpke_with_our_info() -> None:
    """A second reader, made from the RFC and docs/spec/statements.md, opens what we seal."""
    ann = Person.of("ann")
    message = seal(b"secret", ann.seal_key, purpose="grant", context={"b": 1, "a": "x"})
    info = b'accord/seal/v1\0{"context":{"a":"x","b":1},"purpose":"grant"}'
    key, nonce = hpke_key(message[:32], ann.seal_private_key, info, aead_id=2, key_size=32)

    assert AESGCM(key).decrypt(nonce, message[32:], b"") == b"secret"
