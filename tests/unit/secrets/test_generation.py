# SPDX-License-Identifier: Apache-2.0
"""Generated values: what they are, what is kept of them, and what everybody may see."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from accord.encoding import Fields, sha256
from accord.errors import AccordError, MalformedError, SecretValueError
from accord.policy import CERTIFICATE_KINDS, SecretKind, SecretSpec, read_secrets
from accord.secrets import MAX_DEPOSIT, SecretValue, generate, public_parts

JSON = dict[str, Any]

BOARD = sha256(b"board")
_P256 = bytes.fromhex("2a8648ce3d030107")
_SHORT_SEED = "302d020100300506032b65700421041f" + "07" * 31
"""PKCS #8 of an Ed25519 key with a byte too few."""

NOW = datetime(2030, 1, 1, tzinfo=UTC)
EVERYTHING: dict[str, JSON] = {
    "web": {
        "kind": "x509",
        "common_name": "web",
        "endpoint": "server",
        "san": ["dns:web.example", "ip:127.0.0.1", "uri:https://web.example/a"],
        "issuer": "sub",
        "valid_days": 30,
    },
    "sub": {"kind": "x509-ca", "common_name": "sub", "issuer": "root", "valid_days": 90},
    "root": {"kind": "x509-ca", "common_name": "root", "key": "signing"},
    "alone": {"kind": "x509", "common_name": "alone", "endpoint": "client", "key": "ed"},
    "public": {"kind": "public-key", "of": "signing"},
    "signing": {"kind": "key", "algorithm": "p384", "migrate": True},
    "ed": {"kind": "key", "algorithm": "ed25519"},
    "ec": {"kind": "key", "algorithm": "p256"},
    "es256": {"kind": "jwt-key", "algorithm": "ES256"},
    "es384": {"kind": "jwt-key", "algorithm": "ES384"},
    "eddsa": {"kind": "jwt-key", "algorithm": "EdDSA"},
    "password": {"kind": "ascii", "size": 24},
    "bytes": {"kind": "binary"},
    "token": {"kind": "asset", "asset": "alice/token"},
    "theirs": {"kind": "import", "policy": "other", "secret": "theirs"},
}


def specs(**secrets: JSON) -> Any:
    return read_secrets(Fields(dict(secrets), "policy.secrets"))


def made(secrets: Any, kept: dict[str, bytes] | None = None) -> Any:
    return generate(secrets, kept=kept or {}, now=NOW, board=BOARD, policy="train")


@pytest.fixture(scope="module")
def values() -> Any:
    return made(specs(**EVERYTHING))


def certificate(value: SecretValue, index: int = 0) -> x509.Certificate:
    return x509.load_der_x509_certificate(value.public[index])


def test_all_secrets_of_its_own_get_a_value(values: Any) -> None:
    """Those of others do not; the order in which they are declared does not matter."""
    assert set(values) == set(EVERYTHING) - {"token", "theirs"}
    assert {name: value.kind for name, value in values.items()} == {
        name: SecretKind(EVERYTHING[name]["kind"]) for name in values
    }


def test_random_values_have_their_size_and_are_never_the_same() -> None:
    """From the operating system's randomness, in letters and digits or in bytes."""
    declared = specs(a={"kind": "ascii", "size": 24}, b={"kind": "binary", "size": 16})
    one, other = made(declared), made(declared)
    assert re.fullmatch(rb"[A-Za-z0-9]{24}", one["a"].private)
    assert len(one["b"].private) == 16
    assert one["a"].private != other["a"].private
    assert one["b"].private != other["b"].private


def test_an_rsa_key_has_3072_bits() -> None:
    """The slowest kind, made once here."""
    rsa = made(specs(r={"kind": "key", "algorithm": "rsa-3072"}))["r"]
    key = rsa.public_key("r")
    assert isinstance(key, RSAPublicKey)
    assert key.key_size == 3072
    assert SecretValue.from_bytes(rsa.to_bytes()) == rsa


def test_keys_are_of_the_algorithm_asked_for(values: Any) -> None:
    """And the public key is of the private one."""
    assert isinstance(values["ed"].public_key("ed"), Ed25519PublicKey)
    for name, curve in (("ec", "secp256r1"), ("signing", "secp384r1"), ("es384", "secp384r1")):
        key = values[name].public_key(name)
        assert isinstance(key, EllipticCurvePublicKey)
        assert key.curve.name == curve
    assert values["public"].public == values["signing"].public
    assert values["public"].private == b""


def test_values_read_the_same_again(values: Any) -> None:
    """One spelling, in which they are stored and sent."""
    for name, value in values.items():
        assert SecretValue.from_bytes(value.to_bytes(), what=name) == value


def test_no_repr_shows_a_private_part(values: Any) -> None:
    """A value in a log line or a traceback tells nothing."""
    for value in values.values():
        text = repr(value)
        assert "private" not in text
        assert not value.private or repr(value.private)[2:12] not in text


# --- certificates ----------------------------------------------------------------------------


def test_certificates_hang_together(values: Any) -> None:
    """Each signed by the one above it, with the names, usages and lengths of its place."""
    web, sub, root = (certificate(values["web"], index) for index in range(3))
    web.verify_directly_issued_by(sub)
    sub.verify_directly_issued_by(root)
    root.verify_directly_issued_by(root)
    assert values["web"].public[1:] == values["sub"].public
    assert certificate(values["root"]) == root
    lengths = [
        item.extensions.get_extension_for_class(x509.BasicConstraints).value
        for item in (web, sub, root)
    ]
    assert [(item.ca, item.path_length) for item in lengths] == [
        (False, None),
        (True, 0),
        (True, 1),
    ]
    names = web.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["web.example"]
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["https://web.example/a"]
    assert [str(item) for item in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_a_certificate_says_who_issued_it_and_for_how_long(values: Any) -> None:
    """The board and the policy stand in its name."""
    web = certificate(values["web"])
    organization = f"board {BOARD.removeprefix('sha256:')[:16]}"
    assert web.subject.rfc4514_string() == f"CN=web,OU=train,O={organization}"
    assert web.not_valid_after_utc == NOW + timedelta(days=30)
    assert NOW - timedelta(minutes=10) < web.not_valid_before_utc < NOW


def test_a_certificate_without_an_issuer_signs_itself(values: Any) -> None:
    """It is no authority all the same."""
    alone = certificate(values["alone"])
    alone.verify_directly_issued_by(alone)
    assert not alone.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_a_long_policy_name_fits_into_a_certificate() -> None:
    """Its end stays, which tells the policies of a namespace apart."""
    name = "/".join(["n" * 60] * 3 + ["last"])
    found = generate(
        specs(a=EVERYTHING["root"], signing=EVERYTHING["signing"]),
        kept={},
        now=NOW,
        board=BOARD,
        policy=name,
    )
    unit = certificate(found["a"]).subject.rfc4514_string().split(",")[1]
    assert unit.startswith("OU=n")
    assert unit.endswith("/last")


# --- what is kept ----------------------------------------------------------------------------


def test_what_is_kept_stays_and_what_is_not_is_made_anew(values: Any) -> None:
    """Certificates are issued anew in any case, here for the key that was kept."""
    kept = {name: values[name].to_bytes() for name in ("signing", "password", "root", "eddsa")}
    again = made(specs(**EVERYTHING), kept)
    for name in ("signing", "password", "public", "eddsa"):
        assert again[name] == values[name]
    for name in set(again) - {"signing", "password", "public", "eddsa"}:
        assert again[name] != values[name]
    old, new = certificate(values["root"]), certificate(again["root"])
    assert new.public_key() == old.public_key()
    assert new.serial_number != old.serial_number


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("password", {"kind": "ascii", "size": 25}),
        ("password", {"kind": "binary", "size": 24}),
        ("ec", {"kind": "key", "algorithm": "p384"}),
        ("ec", {"kind": "key", "algorithm": "ed25519"}),
        ("ec", {"kind": "key", "algorithm": "rsa-3072"}),
        ("ec", {"kind": "jwt-key", "algorithm": "ES256"}),
        ("ed", {"kind": "key", "algorithm": "p256"}),
    ],
)
def test_a_kept_value_of_another_kind_or_size_is_refused(
    name: str, spec: JSON, values: Any
) -> None:
    """It would be used for years, and nobody voted for it."""
    with pytest.raises(SecretValueError):
        made(specs(s=spec), {"s": values[name].to_bytes()})


def test_a_kept_key_without_its_private_part_is_refused(values: Any) -> None:
    """What somebody could only see is not what somebody has."""
    kept = {"s": values["ec"].public_only().to_bytes()}
    with pytest.raises(SecretValueError):
        made(specs(s={"kind": "key", "algorithm": "p256", "migrate": True}), kept)


# --- what everybody may see ------------------------------------------------------------------


def test_public_parts_have_nothing_private(values: Any) -> None:
    """Certificates and keys as PEM, keys for tokens as JWK, random values not at all."""
    parts = public_parts(values)
    assert set(parts) == set(values) - {"password", "bytes"}
    for name, text in parts.items():
        assert "PRIVATE" not in text
        if values[name].kind is SecretKind.JWT_KEY:
            assert set(json.loads(text)) <= {"alg", "crv", "kid", "kty", "use", "x", "y"}
        elif values[name].kind in CERTIFICATE_KINDS:
            assert x509.load_pem_x509_certificate(text.encode()) == certificate(values[name])
        else:
            assert load_pem_public_key(text.encode()) == values[name].public_key(name)


def test_the_public_part_alone_reads_again_and_has_no_private_one(values: Any) -> None:
    """For an importer to whom it was exported as public."""
    alone = values["web"].public_only()
    assert alone.private == b""
    assert SecretValue.from_bytes(alone.to_bytes()) == alone
    with pytest.raises(RuntimeError):
        values["password"].public_only()


# --- bytes that are no value -----------------------------------------------------------------


def test_bytes_that_are_no_value_are_refused(values: Any) -> None:
    """Another kind's shape, a private part of another key, or no key at all."""
    ec, ed, web = values["ec"], values["ed"], values["web"]
    unknown_curve = (web.public[0].replace(_P256, _P256[:-1] + b"\x77"), *web.public[1:])
    wrong = [
        SecretValue(SecretKind.ASCII, b""),
        SecretValue(SecretKind.ASCII, b"text", ec.public),
        SecretValue(SecretKind.KEY, ec.private),
        SecretValue(SecretKind.KEY, ec.private, ed.public),
        SecretValue(SecretKind.KEY, ec.private, (*ec.public, *ec.public)),
        SecretValue(SecretKind.KEY, b"no key", ec.public),
        SecretValue(SecretKind.KEY, ec.private, (b"no key",)),
        SecretValue(SecretKind.KEY, bytes.fromhex(_SHORT_SEED), ed.public),
        SecretValue(SecretKind.PUBLIC_KEY, ec.private, ec.public),
        SecretValue(SecretKind.X509, web.private),
        SecretValue(SecretKind.X509, web.private, (b"no certificate",)),
        SecretValue(SecretKind.X509, ec.private, web.public),
        SecretValue(SecretKind.X509, web.private, unknown_curve),
        SecretValue(SecretKind.IMPORT, b"text"),
    ]
    for value in wrong:
        with pytest.raises(AccordError):
            SecretValue.from_bytes(value.to_bytes())


def test_an_rsa_key_signs_no_tokens() -> None:
    """There is no JWK of one here."""
    rsa = made(specs(r={"kind": "key", "algorithm": "rsa-3072"}))["r"]
    with pytest.raises(MalformedError):
        SecretValue.from_bytes(SecretValue(SecretKind.JWT_KEY, rsa.private, rsa.public).to_bytes())


def test_no_error_about_a_private_key_quotes_it(values: Any) -> None:
    """Neither the sentence nor what it was raised from."""
    broken = SecretValue(SecretKind.KEY, b"hunter2 hunter2", values["ec"].public)
    with pytest.raises(MalformedError) as caught:
        SecretValue.from_bytes(broken.to_bytes())
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize("size", [0, MAX_DEPOSIT + 1])
def test_a_deposit_of_nothing_or_too_much_is_refused(size: int) -> None:
    """Data belongs in a volume."""
    with pytest.raises(MalformedError):
        SecretValue.deposited(bytes(size))


def test_a_deposit_is_kept_as_it_is() -> None:
    """Whatever bytes its owner gave."""
    value = SecretValue.deposited(bytes(range(256)))
    assert SecretValue.from_bytes(value.to_bytes()) == value
    assert value.private == bytes(range(256))


def test_specifications_that_were_not_read_are_not_silently_made() -> None:
    """The kinds of others have nothing to make."""
    assert made({"s": SecretSpec(kind=SecretKind.ASSET, asset="a/b")}) == {}
