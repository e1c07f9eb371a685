# SPDX-License-Identifier: Apache-2.0
"""Model signatures that OpenSSF model-signing verifies: a sigstore bundle over a DSSE envelope.

The statement is in-toto's, of predicate ``https://model_signing/signature/v1.0``: the digest of
every file of a model. Beside what that asks for it says which result of which run the files
are; verifiers of v1.0 pass over it. Whose word that is, the key says: it is a reader's, made
outside of the board, and no evidence vouches for it (docs/spec/bundle.md, section 6).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from accord.encoding import (
    MAX_DOCUMENT_BYTES,
    Digest,
    Fields,
    JSONValue,
    base64_encode,
    canonical_json,
    parse_canonical_json,
    parse_json,
    pre_authentication_encoding,
)
from accord.errors import AccordError, ModelSignatureError
from accord.release import STATEMENT_TYPE, parse_run_id

MODEL_TYPE = "https://model_signing/signature/v1.0"
BUNDLE_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_SERIALIZATION: Mapping[str, JSONValue] = {
    "method": "files",
    "hash_type": "sha256",
    "allow_symlinks": False,
}


@dataclass(frozen=True, slots=True)
class ModelOrigin:
    """Which result of which run the files of a model are."""

    board: Digest
    run: str
    output: str
    tag: Digest

    @classmethod
    def from_fields(cls, fields: Fields) -> ModelOrigin:
        """Reads and ends ``fields``. Raises ``MalformedError``."""
        origin = cls(
            fields.digest("board"),
            parse_run_id(fields.take("run"), what=fields.path("run")),
            fields.name("output"),
            fields.digest("tag"),
        )
        fields.end()
        return origin

    def to_json(self) -> JSONValue:
        return {"board": self.board, "run": self.run, "output": self.output, "tag": self.tag}


def load_model_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """A P-256 key without a password. Raises ``ModelSignatureError``."""
    try:
        key = serialization.load_pem_private_key(pem, None)
    except (ValueError, TypeError) as exc:
        raise ModelSignatureError(detail="the key is no PEM file without a password") from exc
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not _is_p256(key.curve):
        raise ModelSignatureError(detail="the key is not of the curve P-256")
    return key


def load_model_public_key(pem: bytes) -> ec.EllipticCurvePublicKey:
    """The public half of a P-256 key. Raises ``ModelSignatureError``."""
    try:
        key = serialization.load_pem_public_key(pem)
    except ValueError as exc:
        raise ModelSignatureError(detail="the public key is no PEM file") from exc
    if not isinstance(key, ec.EllipticCurvePublicKey) or not _is_p256(key.curve):
        raise ModelSignatureError(detail="the public key is not of the curve P-256")
    return key


def sign_model(
    folder: Path, *, name: str, origin: ModelOrigin, key: ec.EllipticCurvePrivateKey
) -> bytes:
    """A signature of all files below ``folder``: what model-signing calls ``model.sig``.

    That they are the result that ``origin`` names is the caller's word.
    Raises ``ModelSignatureError`` where anything but files and folders is there.
    """
    payload = canonical_json(_statement(folder, name, origin))
    signature = key.sign(
        pre_authentication_encoding(_PAYLOAD_TYPE, payload), ec.ECDSA(hashes.SHA256())
    )
    document: JSONValue = {
        "mediaType": BUNDLE_TYPE,
        "verificationMaterial": {
            "publicKey": {"hint": _hint(key.public_key())},
            "tlogEntries": [],
        },
        "dsseEnvelope": {
            "payload": base64_encode(payload),
            "payloadType": _PAYLOAD_TYPE,
            "signatures": [{"sig": base64_encode(signature), "keyid": ""}],
        },
    }
    return json.dumps(document, indent=1).encode() + b"\n"


def verify_model(folder: Path, signature: bytes, key: ec.EllipticCurvePublicKey) -> ModelOrigin:
    """Of which run ``key`` says that the files below ``folder`` are the result.

    Takes signatures that `sign_model` made. Whose the key is, and whether there is such a
    run, is *not* checked. Raises ``ModelSignatureError``.
    """
    try:
        payload = _verified_payload(signature, key)
        fields = Fields(parse_canonical_json(payload, what="model statement"), "model statement")
        subject = fields.objects("subject")
        predicate = fields.object("predicate")
        origin = ModelOrigin.from_fields(predicate.object("accord"))
        name = subject[0].text("name", limit=512) if subject else ""
    except ModelSignatureError:
        raise
    except AccordError as exc:
        raise ModelSignatureError(detail=str(exc)) from exc
    # One rule makes the statement and checks it: any difference is one of the files.
    if not hmac.compare_digest(canonical_json(_statement(folder, name, origin)), payload):
        raise ModelSignatureError(detail=f"the files in {folder} are not those that were signed")
    return origin


def _verified_payload(signature: bytes, key: ec.EllipticCurvePublicKey) -> bytes:
    fields = Fields(
        parse_json(signature, what="model signature", limit=MAX_DOCUMENT_BYTES), "model signature"
    )
    fields.schema(BUNDLE_TYPE, name="mediaType")
    material = fields.object("verificationMaterial")
    if material.object("publicKey").text("hint", limit=64) != _hint(key):
        raise ModelSignatureError(detail="it is by another key")
    envelope = fields.object("dsseEnvelope")
    envelope.schema(_PAYLOAD_TYPE, name="payloadType")
    payload = envelope.data("payload")
    signatures = envelope.objects("signatures")
    if len(signatures) != 1:
        raise ModelSignatureError(detail="expected one signature")
    message = pre_authentication_encoding(_PAYLOAD_TYPE, payload)
    try:
        key.verify(signatures[0].data("sig", limit=128), message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature as exc:
        raise ModelSignatureError(detail="it was not made by that key") from exc
    return payload


def _statement(folder: Path, name: str, origin: ModelOrigin) -> JSONValue:
    """As model-signing writes it: files by name, and one digest over all their digests."""
    found = dict(sorted(_files(folder)))
    root = hashlib.sha256(b"".join(found.values())).hexdigest()
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": root}}],
        "predicateType": MODEL_TYPE,
        "predicate": {
            "serialization": {**_SERIALIZATION},
            "resources": [
                {"name": path, "algorithm": "sha256", "digest": digest.hex()}
                for path, digest in found.items()
            ],
            "accord": origin.to_json(),
        },
    }


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Every file below ``folder`` with its SHA-256. Raises ``ModelSignatureError``."""
    try:
        for place, folders, names in os.walk(folder, onerror=_raise):
            for name in (*names, *folders):
                path = Path(place) / name
                if path.is_symlink() or not (path.is_file() or path.is_dir()):
                    raise ModelSignatureError(detail=f"{path} is neither a file nor a folder")
            for name in names:
                path = Path(place) / name
                yield path.relative_to(folder).as_posix(), _sha256(path)
    except OSError as exc:
        raise ModelSignatureError(detail=f"{folder} cannot be read: {exc.strerror}") from exc


def _raise(error: OSError) -> None:
    raise error


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _is_p256(curve: ec.EllipticCurve) -> bool:
    return isinstance(curve, ec.SECP256R1)


def _hint(key: ec.EllipticCurvePublicKey) -> str:
    """What model-signing puts there: SHA-256 of the public key in PEM."""
    pem = key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(pem).hexdigest()
