# SPDX-License-Identifier: Apache-2.0
"""Formats, and templates filled in."""

import base64
import hashlib
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePrivateNumbers,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_private_key,
    load_pem_private_key,
    load_pem_public_key,
)
from cryptography.x509 import load_der_x509_certificate, load_pem_x509_certificates

from accord.encoding import Fields, sha256
from accord.errors import (
    SecretFormatError,
    SecretValueError,
    TemplateError,
    TooLargeError,
    UnknownSecretError,
)
from accord.identity import VerifyKey
from accord.policy import FORMATS, SecretKind, read_secrets
from accord.secrets import SecretValue, fill, fill_file, generate, render, rendered

NOW = datetime(2030, 1, 1, tzinfo=UTC)
TEXT = SecretValue(SecretKind.ASCII, b"hunter2?")
BYTES = SecretValue(SecretKind.BINARY, b"\xff\xfe\x00")
TEMPLATE = SecretValue.deposited(b"{{ accord.text }}")


@pytest.fixture(scope="module")
def values() -> Any:
    secrets = {
        "ca": {"kind": "x509-ca", "common_name": "root"},
        "sub": {"kind": "x509-ca", "common_name": "sub", "issuer": "ca"},
        "web": {"kind": "x509", "common_name": "web", "endpoint": "client", "issuer": "sub"},
        "ec": {"kind": "key", "algorithm": "p256"},
        "ecp": {"kind": "public-key", "of": "ec"},
        "es256": {"kind": "jwt-key", "algorithm": "ES256"},
        "eddsa": {"kind": "jwt-key", "algorithm": "EdDSA"},
    }
    read = read_secrets(Fields(secrets, "secrets"))
    made = generate(read, kept={}, now=NOW, board=sha256(b""), policy="p")
    return {**made, "text": TEXT, "bytes": BYTES, "deposit": TEMPLATE}


@pytest.mark.parametrize(
    ("value", "form", "expected"),
    [
        (TEXT, None, b"hunter2?"),
        (TEXT, "text", b"hunter2?"),
        (TEXT, "hex", b"68756e746572323f"),
        (TEXT, "base64", b"aHVudGVyMj8="),
        (TEXT, "base64url", b"aHVudGVyMj8"),
        (TEXT, "bin", b"hunter2?"),
        (BYTES, None, b"fffe00"),
        (BYTES, "base64", b"//4A"),
        (BYTES, "base64url", b"__4A"),
        (BYTES, "bin", b"\xff\xfe\x00"),
        (TEMPLATE, None, b"{{ accord.text }}"),
    ],
)
def test_bytes_are_written_as_asked(value: SecretValue, form: str | None, expected: bytes) -> None:
    """The default of each kind fits into an argument."""
    assert rendered(value, form, name="a") == expected


def test_keys_are_written_as_asked(values: Any) -> None:
    """Other programs read them."""
    ec = values["ec"]
    private = load_pem_private_key(rendered(ec, None, name="ec"), None)
    assert rendered(ec, "der", name="ec") == ec.private
    der = load_der_private_key(rendered(ec, "der", name="ec"), None)
    public = load_pem_public_key(rendered(ec, "public", name="ec"))
    assert private.public_key() == der.public_key() == public
    assert rendered(values["ecp"], None, name="ecp") == rendered(ec, "public", name="ec")
    assert rendered(values["ecp"], "der", name="ecp") == ec.public[0]


def test_certificates_are_written_as_asked(values: Any) -> None:
    """The chain goes up to the root; the key is its own."""
    web = values["web"]
    own = load_der_x509_certificate(rendered(web, "der", name="web"))
    assert load_pem_x509_certificates(rendered(web, None, name="web")) == [own]
    above = [load_der_x509_certificate(values[name].public[0]) for name in ("sub", "ca")]
    assert load_pem_x509_certificates(rendered(web, "chain", name="web")) == [own, *above]
    key = load_pem_private_key(rendered(web, "privatekey", name="web"), None)
    assert key.public_key() == own.public_key()


def test_openssl_reads_what_is_written(values: Any, tmp_path: Path) -> None:
    """The chain holds for a verifier that is not ours, under its strict rules."""
    for name, form in (("ca", "crt"), ("web", "chain"), ("web", "privatekey")):
        (tmp_path / f"{name}.{form}").write_bytes(rendered(values[name], form, name=name))
    chain = f"{tmp_path}/web.chain"
    verify = ["openssl", "verify", "-x509_strict", "-attime", str(int(NOW.timestamp()))]
    subprocess.run(
        [
            *verify,
            "-purpose",
            "sslclient",
            "-CAfile",
            f"{tmp_path}/ca.crt",
            "-untrusted",
            chain,
            chain,
        ],
        check=True,
        capture_output=True,
        timeout=20,
    )
    key = ["openssl", "pkey", "-noout", "-check", "-in", f"{tmp_path}/web.privatekey"]
    subprocess.run(key, check=True, capture_output=True, timeout=20)


# --- JSON Web Keys ---------------------------------------------------------------------------


def number(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=="), "big")


def test_an_elliptic_jwk_holds_the_key(values: Any) -> None:
    """All three numbers, each of full width (RFC 7518, 6.2)."""
    value = values["es256"]
    jwk = json.loads(rendered(value, None, name="es256"))
    assert (jwk["kty"], jwk["crv"], jwk["alg"], jwk["use"]) == ("EC", "P-256", "ES256", "sig")
    assert {len(jwk[part]) for part in ("x", "y", "d")} == {43}
    public = EllipticCurvePublicNumbers(number(jwk["x"]), number(jwk["y"]), SECP256R1())
    key = EllipticCurvePrivateNumbers(number(jwk["d"]), public).private_key()
    pem = load_pem_private_key(rendered(value, "pem", name="es256"), None)
    assert isinstance(pem, EllipticCurvePrivateKey)
    assert key.private_numbers() == pem.private_numbers()
    del jwk["d"]
    assert json.loads(rendered(value, "public", name="es256")) == jwk


def test_an_ed25519_jwk_is_that_of_the_rfc() -> None:
    """RFC 8037, appendices A.1 to A.3."""
    raw = base64.urlsafe_b64decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
    key = Ed25519PrivateKey.from_private_bytes(raw)
    spki = VerifyKey(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).spki
    private = bytes.fromhex("302e020100300506032b657004220420") + raw
    value = SecretValue(SecretKind.JWT_KEY, private, (spki,))
    assert json.loads(rendered(value, "jwk", name="a")) == {
        "alg": "EdDSA",
        "crv": "Ed25519",
        "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
        "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
        "kty": "OKP",
        "use": "sig",
        "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    }


def test_a_key_id_is_the_thumbprint(values: Any) -> None:
    """RFC 7638: the digest of the members that make the key, in order."""
    jwk = json.loads(rendered(values["es256"], "public", name="a"))
    required = f'{{"crv":"P-256","kty":"EC","x":"{jwk["x"]}","y":"{jwk["y"]}"}}'
    digest = hashlib.sha256(required.encode()).digest()
    assert jwk["kid"] == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


# --- what is refused -------------------------------------------------------------------------


def test_every_format_of_every_kind_can_be_written(values: Any) -> None:
    """The table that policies are checked against holds."""
    kinds = {value.kind: value for value in values.values()}
    assert set(kinds) == set(FORMATS)
    for kind, forms in FORMATS.items():
        for form in forms:
            assert rendered(kinds[kind], form, name="a")


def test_a_format_of_another_kind_is_refused(values: Any) -> None:
    """Also where an import turned out to be something else than its policy expected."""
    for name, form in (("text", "pem"), ("ec", "hex"), ("ecp", "privatekey"), ("web", "pem")):
        with pytest.raises(SecretFormatError):
            rendered(values[name], form, name=name)


@pytest.mark.parametrize("data", [b"\xff", b"a\0b"])
def test_bytes_that_are_no_text_are_refused_as_text(data: bytes) -> None:
    """And the error shows none of them."""
    with pytest.raises(SecretValueError) as caught:
        rendered(SecretValue.deposited(data), None, name="token")
    assert caught.value.__context__ is None
    assert repr(data)[2:-1] not in str(caught.value)


def test_the_private_part_of_what_is_only_shown_is_refused(values: Any) -> None:
    """An empty key would be worse than none."""
    for name, form in (("web", "privatekey"), ("es256", "jwk"), ("ec", "der")):
        with pytest.raises(SecretValueError):
            rendered(values[name].public_only(), form, name=name)


# --- templates -------------------------------------------------------------------------------


def test_templates_are_filled_in_once(values: Any) -> None:
    """A value that looks like a template stays what it is: template injection."""
    text = "a={{ accord.deposit }} b={{accord.text}} {{ other }} {{ accord.text:hex }}"
    expected = "a={{ accord.text }} b=hunter2? {{ other }} 68756e746572323f"
    assert fill(text, values, where="here") == expected
    assert fill_file(text, values, where="here") == expected.encode()


def test_neighbours_do_not_make_a_template_together() -> None:
    """Nor does a value with the braces around it."""
    halves = {
        "a": SecretValue.deposited(b"{{ accord"),
        "b": SecretValue.deposited(b".text }}"),
        "text": TEXT,
    }
    filled = fill("{{ accord.a }}{{ accord.b }}", halves, where="here")
    assert filled == "{{ accord.text }}"


def test_files_may_hold_any_bytes_arguments_may_not(values: Any) -> None:
    """A zero byte would cut an argument short."""
    assert fill_file("\u00e9{{ accord.bytes:bin }}", values, where="f") == b"\xc3\xa9\xff\xfe\0"
    with pytest.raises(SecretFormatError):
        fill("{{ accord.bytes:bin }}", values, where="here")


def test_an_unknown_name_is_fatal(values: Any) -> None:
    """The program never starts with a hole where its password should be."""
    with pytest.raises(UnknownSecretError):
        fill("{{ accord.nothing }}", values, where="here")
    with pytest.raises(UnknownSecretError):
        render("{{ accord.text:hex }}", {("text", None): b"x"})
    with pytest.raises(TemplateError):
        fill("{{ accord.text", values, where="here")


def test_what_grows_too_large_is_refused() -> None:
    """Many references to one long value are no way to fill the memory."""
    long = {"a": SecretValue.deposited(bytes(60_000))}
    with pytest.raises(TooLargeError):
        fill_file("{{ accord.a:bin }}" * 20, long, where="here")
