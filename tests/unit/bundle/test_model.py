# SPDX-License-Identifier: Apache-2.0
"""Signatures of models: OpenSSF model-signing verifies ours, and we refuse what was changed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from accord.bundle import (
    ModelOrigin,
    load_model_key,
    load_model_public_key,
    sign_model,
    verify_model,
)
from accord.encoding import sha256
from accord.errors import ModelSignatureError

ORIGIN = ModelOrigin(sha256(b"board"), "run-" + "1" * 32, "model", sha256(b"tag"))


@pytest.fixture
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder whose order of names differs between strings and paths."""
    folder = tmp_path / "model"
    for name in ("a.txt", "a/b.bin", "a-b/c", "weights.safetensors"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode() * 100)
    return folder


def public_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def test_what_was_signed_verifies_and_says_of_which_run(
    model: Path, key: ec.EllipticCurvePrivateKey
) -> None:
    """The signature names board, run, output and tag."""
    signature = sign_model(model, name="model", origin=ORIGIN, key=key)

    assert verify_model(model, signature, key.public_key()) == ORIGIN


def test_the_tool_of_others_verifies_our_signature(
    model: Path, key: ec.EllipticCurvePrivateKey, tmp_path: Path
) -> None:
    """OpenSSF model-signing, which shares no code with us, accepts it and refuses a change."""
    verifying = pytest.importorskip("model_signing.verifying")
    (tmp_path / "key.pub").write_bytes(public_pem(key))
    (tmp_path / "model.sig").write_bytes(sign_model(model, name="model", origin=ORIGIN, key=key))

    def verify() -> None:
        config = verifying.Config().use_elliptic_key_verifier(public_key=tmp_path / "key.pub")
        config.verify(model, tmp_path / "model.sig")

    verify()
    (model / "a.txt").write_bytes(b"other")
    with pytest.raises(ValueError, match="mismatch"):
        verify()


@pytest.mark.parametrize("change", ["byte", "drop", "add", "rename", "link", "fifo"])
def test_another_folder_is_refused(
    model: Path, key: ec.EllipticCurvePrivateKey, change: str
) -> None:
    """Every file is signed by name and content, and nothing beside them."""
    signature = sign_model(model, name="model", origin=ORIGIN, key=key)
    path = model / "a" / "b.bin"
    match change:
        case "byte":
            path.write_bytes(path.read_bytes()[:-1] + b"x")
        case "drop":
            path.unlink()
        case "add":
            (model / "more").write_bytes(b"")
        case "rename":
            path.rename(model / "a" / "c.bin")
        case "link":
            (model / "link").symlink_to(path)
        case _:
            os.mkfifo(model / "pipe")

    with pytest.raises(ModelSignatureError):
        verify_model(model, signature, key.public_key())


def test_every_changed_byte_of_a_signature_is_refused(
    model: Path, key: ec.EllipticCurvePrivateKey
) -> None:
    """Blanks and field order of the wrapping aside, which nobody signs."""
    signature = sign_model(model, name="model", origin=ORIGIN, key=key)
    document: Any = json.loads(signature)
    envelope = document["dsseEnvelope"]
    for field, text in (
        ("payload", envelope["payload"]),
        ("sig", envelope["signatures"][0]["sig"]),
    ):
        for at in range(0, len(text), len(text) // 40):
            other = "A" if text[at] != "A" else "B"
            forged = json.loads(signature)
            changed = text[:at] + other + text[at + 1 :]
            if field == "payload":
                forged["dsseEnvelope"]["payload"] = changed
            else:
                forged["dsseEnvelope"]["signatures"][0]["sig"] = changed
            with pytest.raises(ModelSignatureError):
                verify_model(model, json.dumps(forged).encode(), key.public_key())


@pytest.mark.parametrize(
    "forge",
    [
        b"",
        b"[]",
        b"{}",
        b'{"mediaType": "other"}',
        b"\xff",
    ],
)
def test_what_is_no_signature_is_refused(
    model: Path, key: ec.EllipticCurvePrivateKey, forge: bytes
) -> None:
    """In words, never with a traceback."""
    with pytest.raises(ModelSignatureError):
        verify_model(model, forge, key.public_key())


def test_another_key_is_refused(model: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """By its hint, and where that was changed to fit, by the signature."""
    other = ec.generate_private_key(ec.SECP256R1())
    signature = sign_model(model, name="model", origin=ORIGIN, key=key)
    with pytest.raises(ModelSignatureError, match="another key"):
        verify_model(model, signature, other.public_key())
    theirs = json.loads(sign_model(model, name="model", origin=ORIGIN, key=other))
    forged = json.loads(signature)
    forged["verificationMaterial"] = theirs["verificationMaterial"]
    with pytest.raises(ModelSignatureError, match="not made by that key"):
        verify_model(model, json.dumps(forged).encode(), other.public_key())
    forged["dsseEnvelope"]["signatures"] *= 2
    with pytest.raises(ModelSignatureError, match="one signature"):
        verify_model(model, json.dumps(forged).encode(), other.public_key())


def test_keys_of_other_kinds_are_refused(key: ec.EllipticCurvePrivateKey) -> None:
    """Only P-256, which model-signing takes with SHA-256."""
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    plain = serialization.NoEncryption()
    p384 = ec.generate_private_key(ec.SECP384R1())
    for other in (p384, Ed25519PrivateKey.generate()):
        with pytest.raises(ModelSignatureError, match="P-256"):
            load_model_key(other.private_bytes(encoding, form, plain))
    with pytest.raises(ModelSignatureError, match="P-256"):
        load_model_public_key(public_pem(p384))
    for load in (load_model_key, load_model_public_key):
        with pytest.raises(ModelSignatureError, match="PEM"):
            load(b"nothing")
    assert (
        key.private_numbers()
        == load_model_key(key.private_bytes(encoding, form, plain)).private_numbers()
    )
    assert key.public_key() == load_model_public_key(public_pem(key))


def test_a_folder_that_is_not_there_is_refused_in_words(
    key: ec.EllipticCurvePrivateKey, tmp_path: Path
) -> None:
    """There is nothing to sign."""
    with pytest.raises(ModelSignatureError, match="cannot be read"):
        sign_model(tmp_path / "nothing", name="model", origin=ORIGIN, key=key)
