# SPDX-License-Identifier: Apache-2.0
"""Secrets and templates in policies: what is read, what is refused, what an update does."""

from typing import Any

import pytest

from accord.encoding import Digest, Fields, base64_encode, sha256
from accord.errors import (
    AccordError,
    MalformedError,
    PolicyContentError,
    SecretFormatError,
    TemplateError,
    UnknownSecretError,
)
from accord.identity import VerifyKey
from accord.policy import (
    AUTHORITY,
    FORMATS,
    IDENTITY,
    Export,
    Fate,
    SecretKind,
    SecretSpec,
    carried_over,
    check_template,
    names_in,
    read_exports,
    read_secrets,
)
from accord.policy._secret_words import FATES, export_words, secret_words

JSON = dict[str, Any]

LOG_KEY = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
PEER = {"board": sha256(b"board"), "log_key": base64_encode(LOG_KEY)}
FULL_PEER = {**PEER, "url": "https://trust.example:8443"}
CA = {"kind": "x509-ca", "common_name": "root"}
WEB = {"kind": "x509", "common_name": "web", "endpoint": "server", "san": ["dns:web.example"]}
KEY = {"kind": "key", "algorithm": "p256"}
DEPOSIT = {"kind": "asset", "asset": "alice/token"}
IMPORT = {"kind": "import", "policy": "a/b", "secret": "token"}


def read(**secrets: JSON) -> Any:
    return read_secrets(Fields(dict(secrets), "policy.secrets"))


def exported(*exports: JSON, **secrets: JSON) -> tuple[Export, ...]:
    return read_exports(Fields({"exports": list(exports)}, "policy"), read(**secrets))


# --- documents -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"kind": "ascii"}, {"kind": "ascii", "rotate": 0, "size": 20}),
        ({"kind": "binary", "rotate": 2}, {"kind": "binary", "rotate": 2, "size": 32}),
        (KEY, {**KEY, "rotate": 0, "migrate": False}),
        (
            {"kind": "jwt-key", "algorithm": "EdDSA", "migrate": True},
            {"kind": "jwt-key", "algorithm": "EdDSA", "migrate": True, "rotate": 0},
        ),
        (CA, {**CA, "rotate": 0, "valid_days": 365}),
        (
            {**WEB, "endpoint": "client", "san": []},
            {**WEB, "endpoint": "client", "san": [], "rotate": 0, "valid_days": 365},
        ),
        (DEPOSIT, DEPOSIT),
        ({**IMPORT, "pin": sha256(b"p"), "service": FULL_PEER},) * 2,
    ],
)
def test_the_resolved_form_has_the_defaults_and_reads_the_same(
    document: JSON, expected: JSON
) -> None:
    """What is hashed says everything, and reading it again gives the same."""
    spec = SecretSpec.from_fields(Fields(document, "secret"))
    assert spec.to_json() == expected
    assert SecretSpec.from_fields(Fields(spec.to_json(), "secret")) == spec


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"kind": "pgp-key"},
        {"kind": "ascii", "size": 15},
        {"kind": "ascii", "size": 4097},
        {"kind": "ascii", "migrate": True},
        {"kind": "ascii", "value": "hunter2"},
        {"kind": "binary", "rotate": -1},
        {"kind": "key"},
        {"kind": "key", "algorithm": "rsa-1024"},
        {"kind": "key", "algorithm": "ES256"},
        {"kind": "jwt-key", "algorithm": "none"},
        {"kind": "jwt-key", "algorithm": "HS256"},
        {"kind": "public-key", "of": "key", "rotate": 1},
        {**DEPOSIT, "asset": "token"},
        {**DEPOSIT, "rotate": 1},
        {**IMPORT, "policy": "../b"},
        {**IMPORT, "pin": "sha256:0"},
        {**IMPORT, "service": PEER},
        {**IMPORT, "service": {**FULL_PEER, "url": "http://trust.example"}},
        {**IMPORT, "service": {**FULL_PEER, "log_key": base64_encode(b"short")}},
        {**CA, "common_name": ""},
        {**CA, "common_name": "x" * 65},
        {**CA, "common_name": "a\nb"},
        {**CA, "valid_days": 0},
        {**CA, "valid_days": 3651},
        {**CA, "san": ["dns:a.example"]},
        {**WEB, "endpoint": "both"},
        {**WEB, "san": []},
        {**WEB, "san": ["uri:spiffe://a/b"]},
        {**WEB, "san": ["dns:a.example", "dns:a.example"]},
        {**WEB, "san": [f"dns:{number}.example" for number in range(33)]},
        {**WEB, "san": ["a.example"]},
        {**WEB, "san": ["dns:A.example"]},
        {**WEB, "san": ["dns:*.*.example"]},
        {**WEB, "san": ["dns:" + "a." * 127 + "example"]},
        {**WEB, "san": ["ip:127.0.0.01"]},
        {**WEB, "san": ["ip:127.0.0.0/8"]},
        {**WEB, "san": ["dns:a.example", "uri:no uri"]},
        {**WEB, "san": ["email:a@example"]},
    ],
)
def test_a_document_that_says_no_secret_is_refused(document: JSON) -> None:
    """A field of another kind, a weak size or an unknown algorithm is never ignored."""
    with pytest.raises((MalformedError, PolicyContentError)):
        SecretSpec.from_fields(Fields(document, "secret"))


def test_names_of_every_sort_may_stand_in_a_certificate() -> None:
    """Wildcards, both kinds of addresses, and URIs."""
    names = ["dns:*.a.example", "dns:localhost", "ip:127.0.0.1", "ip:::1", "uri:spiffe://a/b"]
    assert read(web={**WEB, "san": names})["web"].san == tuple(names)


@pytest.mark.parametrize("name", ["A", "a b", "", "authority", "identity", "accord.a}}"])
def test_a_name_that_templates_cannot_have_is_refused(name: str) -> None:
    """Names that the trust service itself fills in are taken."""
    with pytest.raises(PolicyContentError):
        read(**{name: {"kind": "ascii"}})


# --- references ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "secrets",
    [
        {"p": {"kind": "public-key", "of": "nothing"}},
        {"p": {"kind": "public-key", "of": "p"}},
        {"a": {"kind": "ascii"}, "p": {"kind": "public-key", "of": "a"}},
        {"web": {**WEB, "issuer": "nobody"}},
        {"web": {**WEB, "issuer": "web"}},
        {"web": {**WEB, "issuer": "other"}, "other": WEB},
        {"web": {**WEB, "key": "ca"}, "ca": CA},
        {"j": {"kind": "jwt-key", "algorithm": "ES256"}, "ca": {**CA, "key": "j"}},
        {"ca": {**CA, "issuer": "ca"}},
        {"a": {**CA, "issuer": "b"}, "b": {**CA, "issuer": "a"}},
        {"a": {**CA, "issuer": "b"}, "b": {**CA, "issuer": "a"}, "web": {**WEB, "issuer": "a"}},
        {"i": IMPORT, "web": {**WEB, "issuer": "i"}},
        {"ca": {**CA, "valid_days": 30}, "web": {**WEB, "issuer": "ca", "valid_days": 31}},
        {
            "root": {**CA, "valid_days": 30},
            "ca": {**CA, "issuer": "root", "valid_days": 31},
            "web": {**WEB, "issuer": "ca", "valid_days": 31},
        },
    ],
)
def test_a_reference_to_nothing_to_another_kind_or_in_a_circle_is_refused(secrets: JSON) -> None:
    """A policy that could not be carried out is refused before anybody votes."""
    with pytest.raises(PolicyContentError):
        read(**secrets)


def test_references_of_the_right_kind_are_taken() -> None:
    """Keys for certificates, authorities below authorities, public keys of either kind."""
    secrets = read(
        k=KEY,
        j={"kind": "jwt-key", "algorithm": "ES384"},
        p={"kind": "public-key", "of": "k"},
        q={"kind": "public-key", "of": "j"},
        root={**CA, "key": "k"},
        sub={**CA, "issuer": "root"},
        web={**WEB, "issuer": "sub", "key": "k"},
    )
    assert len(secrets) == 7


def test_secrets_that_take_long_to_make_are_limited() -> None:
    """Neither too many of them, nor too many RSA keys."""
    with pytest.raises(PolicyContentError):
        read(**{f"s{number}": {"kind": "ascii"} for number in range(129)})
    rsa = {"kind": "key", "algorithm": "rsa-3072"}
    with pytest.raises(PolicyContentError):
        read(**{f"s{number}": rsa for number in range(5)})


def test_a_chain_of_certificates_is_limited() -> None:
    """Eight are read, nine are not."""
    chain = {f"ca{n}": {**CA, "issuer": f"ca{n + 1}"} for n in range(7)} | {"ca7": CA}
    assert len(read(**chain)) == 8
    with pytest.raises(PolicyContentError):
        read(web={**WEB, "issuer": "ca0"}, **chain)


# --- exports ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "export",
    [
        {"secret": "nothing", "to": "b"},
        {"secret": "i", "to": "b"},
        {"secret": "d", "to": "b"},
        {"secret": "a", "to": "public"},
        {"secret": "k", "to": "public", "pin": sha256(b"p")},
        {"secret": "k", "to": "public", "namespace": True},
        {"secret": "k", "to": "public", "service": PEER},
        {"secret": "k", "to": "b", "pin": sha256(b"p"), "namespace": True},
        {"secret": "k", "to": "B"},
        {"secret": "k", "to": "b", "service": FULL_PEER},
        {"secret": "k"},
    ],
)
def test_an_export_that_cannot_be_meant_is_refused(export: JSON) -> None:
    """Among them: what was imported or deposited is not passed on, random values are not public."""
    with pytest.raises((MalformedError, PolicyContentError)):
        exported(export, a={"kind": "ascii"}, k=KEY, i=IMPORT, d=DEPOSIT)


def test_an_export_twice_is_refused() -> None:
    """The second could silently loosen the first."""
    with pytest.raises(PolicyContentError):
        exported({"secret": "k", "to": "b", "pin": sha256(b"p")}, {"secret": "k", "to": "b"}, k=KEY)


def test_exports_read_the_same_again() -> None:
    """The resolved form has the defaults."""
    written: list[JSON] = [
        {"secret": "k", "to": "public"},
        {"secret": "k", "to": "a/b", "pin": sha256(b"p")},
        {"secret": "k", "to": "a", "namespace": True, "service": PEER},
    ]
    exports = exported(*written, k=KEY)
    resolved = [export.to_json() for export in exports]
    assert resolved[0] == {"secret": "k", "to": "public", "namespace": False}
    assert exported(*resolved, k=KEY) == exports
    assert [export.is_public for export in exports] == [True, False, False]


V1, V2 = sha256(b"one"), sha256(b"two")
HERE: JSON = {"board": None, "log_key": None}
THERE: JSON = {"board": sha256(b"board"), "log_key": VerifyKey(LOG_KEY)}


@pytest.mark.parametrize(
    ("export", "policy", "version", "place", "expected"),
    [
        ({"to": "b"}, "b", V1, HERE, True),
        ({"to": "b"}, "c", V1, HERE, False),
        ({"to": "b"}, "b/c", V1, HERE, False),
        ({"to": "b", "namespace": True}, "b/c", V1, HERE, True),
        ({"to": "b", "namespace": True}, "b", V1, HERE, True),
        ({"to": "b", "namespace": True}, "bc", V1, HERE, False),
        ({"to": "b", "pin": V1}, "b", V1, HERE, True),
        ({"to": "b", "pin": V1}, "b", V2, HERE, False),
        ({"to": "public"}, "public", V1, HERE, False),
        ({"to": "b"}, "b", V1, THERE, False),
        ({"to": "b", "service": PEER}, "b", V1, THERE, True),
        ({"to": "b", "service": PEER}, "b", V1, HERE, False),
        ({"to": "b", "service": PEER}, "b", V1, {**THERE, "board": V1}, False),
        ({"to": "b", "service": PEER}, "b", V1, {**THERE, "log_key": VerifyKey(bytes(32))}, False),
    ],
)
def test_an_export_is_for_exactly_whom_it_names(
    export: JSON, policy: str, version: Digest, place: JSON, expected: object
) -> None:
    """Another policy, version, board or service gets nothing; nor does a policy called public."""
    (found,) = exported({"secret": "k", **export}, k=KEY)
    assert found.covers(policy, version, **place) == expected


# --- updates ---------------------------------------------------------------------------------

MIGRATED = {**KEY, "migrate": True}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (None, {"kind": "ascii"}, Fate.GENERATED),
        ({"kind": "ascii"}, {"kind": "ascii"}, Fate.KEPT),
        ({"kind": "ascii"}, {"kind": "ascii", "size": 21}, Fate.GENERATED),
        ({"kind": "ascii"}, {"kind": "ascii", "rotate": 1}, Fate.GENERATED),
        ({"kind": "ascii", "size": 32}, {"kind": "binary"}, Fate.GENERATED),
        (KEY, KEY, Fate.GENERATED),
        (MIGRATED, KEY, Fate.GENERATED),
        (KEY, MIGRATED, Fate.GENERATED),
        (MIGRATED, MIGRATED, Fate.KEPT),
        (MIGRATED, {**MIGRATED, "algorithm": "p384"}, Fate.GENERATED),
        (MIGRATED, {**MIGRATED, "rotate": 1}, Fate.GENERATED),
        ({**MIGRATED, "rotate": 7}, {**MIGRATED, "rotate": 7}, Fate.KEPT),
        (None, CA, Fate.GENERATED),
        (CA, CA, Fate.REISSUED),
        (WEB, WEB, Fate.REISSUED),
        (CA, WEB, Fate.GENERATED),
        ({"kind": "ascii"}, IMPORT, Fate.IMPORTED),
        (IMPORT, IMPORT, Fate.IMPORTED),
        (DEPOSIT, DEPOSIT, Fate.DEPOSITED),
        (DEPOSIT, {"kind": "ascii"}, Fate.GENERATED),
        ({"kind": "ascii"}, None, Fate.DROPPED),
    ],
)
def test_an_update_keeps_what_it_promises_and_nothing_else(
    old: JSON | None, new: JSON | None, expected: Fate
) -> None:
    """Random values stay, keys only by both versions' will, certificates never."""
    before = read(s=old) if old is not None else {}
    after = read(s=new) if new is not None else {}
    assert dict(carried_over(before, after)) == {"s": expected}


def test_a_public_key_shares_the_fate_of_its_key() -> None:
    """It changes exactly where the key does, or where it is of another one."""
    public = {"kind": "public-key", "of": "k"}
    assert carried_over(read(k=MIGRATED, p=public), read(k=MIGRATED, p=public))["p"] == Fate.KEPT
    assert carried_over(read(k=KEY, p=public), read(k=KEY, p=public))["p"] == Fate.GENERATED
    other = read(k=MIGRATED, j=MIGRATED, p={**public, "of": "j"})
    both = read(k=MIGRATED, j=MIGRATED, p=public)
    assert carried_over(both, other)["p"] == Fate.GENERATED


# --- templates -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("{{ other.thing }} {accord.x} {% accord %} accord.x }}", []),
        ("a={{ accord.a }}", [("a", None, 2, 16)]),
        ("{{accord.a:hex}}{{\taccord.b.c_d-e:base64url  }}", None),
        ("{{{ accord.a }}}", [("a", None, 1, 15)]),
    ],
)
def test_references_are_found_where_they_stand(text: str, expected: list[Any] | None) -> None:
    """White space inside is free; other tools' braces are left alone."""
    found = [(r.name, r.format, r.start, r.end) for r in names_in(text)]
    if expected is None:
        expected = [("a", "hex", 0, 16), ("b.c_d-e", "base64url", 16, len(text))]
    assert found == expected


@pytest.mark.parametrize(
    "text",
    [
        "{{ accord.a",
        "{{ accord.a }",
        "{{ accord }}",
        "{{ accord. }}",
        "{{ accord.A }}",
        "{{ Accord.a }}",
        "{{ ACCORD.a }}",
        "{{ accord.a: }}",
        "{{ accord.a:HEX }}",
        "{{ accord.a :hex }}",
        "{{ accord.a : hex }}",
        "{{ accord.a|upper }}",
        "{{\naccord.a }}",
        "{{\u00a0accord.a }}",
        "{{- accord.a -}}",
        "{{ accordion }}",
        "{{ accord.{{ accord.a }} }}",
        "{{ accord.a }} {{ accord['b'] }}",
        "{{ accord.a. }}",
        "{{ accord.\u0430 }}",
    ],
)
def test_what_looks_like_a_reference_and_is_none_is_refused(text: str) -> None:
    """Left in place, it would reach the program as it stands: a password of `{{ accord.A }}`."""
    with pytest.raises(TemplateError):
        names_in(text)


def test_a_template_with_an_unknown_name_or_format_is_refused() -> None:
    """Before the vote, not when the program starts."""
    secrets = read(a={"kind": "ascii"}, k=KEY, i=IMPORT)
    check_template("{{ accord.a:hex }} {{ accord.i:chain }}", secrets, where="here")
    check_template("{{ accord.k:der }}", secrets, where="here", file=True)
    with pytest.raises(UnknownSecretError):
        check_template("{{ accord.b }}", secrets, where="here")
    for text in ("{{ accord.a:pem }}", "{{ accord.k:text }}", "{{ accord.i:rot13 }}"):
        with pytest.raises(SecretFormatError):
            check_template(text, secrets, where="here", file=True)
    for text in ("{{ accord.a:bin }}", "{{ accord.k:der }}", "{{ accord.i:bin }}"):
        with pytest.raises(SecretFormatError):
            check_template(text, secrets, where="here")


def test_own_certificates_exist_where_the_service_has_them() -> None:
    """And the key of the authority has no format at all."""
    own = (AUTHORITY, IDENTITY)
    check_template("{{ accord.authority }}{{ accord.identity:privatekey }}", {}, where="x", own=own)
    with pytest.raises(UnknownSecretError):
        check_template("{{ accord.identity }}", {}, where="here", own=(AUTHORITY,))
    with pytest.raises(SecretFormatError):
        check_template("{{ accord.authority:privatekey }}", {}, where="here", own=own)


@pytest.mark.parametrize("kind", [kind for kind in SecretKind if kind is not SecretKind.IMPORT])
def test_each_kind_has_a_default_that_fits_everywhere(kind: SecretKind) -> None:
    """A template without a format works in arguments too."""
    secrets = {"a": SecretSpec(kind=kind)}
    check_template(f"{{{{ accord.a:{FORMATS[kind][0]} }}}}", secrets, where="here")
    check_template("{{ accord.a }}", secrets, where="here")


def test_errors_show_names_and_no_values() -> None:
    """The sentence has what somebody needs to fix it."""
    with pytest.raises(AccordError) as caught:
        check_template("{{ accord.b }}", {}, where="policy.services.a.command[1]")
    assert str(caught.value) == (
        "policy.services.a.command[1] names the secret b, which is not there"
    )


# --- words -----------------------------------------------------------------------------------


def test_words_say_everything_that_a_secret_is() -> None:
    """So that no difference between two versions goes unseen."""
    secrets = read(
        a={"kind": "ascii"},
        b={"kind": "ascii", "rotate": 1},
        k=KEY,
        l=MIGRATED,
        p={"kind": "public-key", "of": "k"},
        web={**WEB, "common_name": "\u0430"},
        i=IMPORT,
        pinned={**IMPORT, "pin": sha256(b"p"), "service": FULL_PEER},
        d=DEPOSIT,
    )
    words = {name: secret_words(spec) for name, spec in secrets.items()}
    assert len(set(words.values())) == len(words)
    assert words["a"] == "is random letters and digits: rotate 0, size 20"
    assert words["p"] == 'is the public key of another secret: of "k"'
    assert '"\\u0430"' in words["web"]


def test_words_say_everything_that_an_export_is() -> None:
    """Who gets it, in which version, and where."""
    exports = exported(
        {"secret": "k", "to": "public"},
        {"secret": "k", "to": "a"},
        {"secret": "j", "to": "a", "namespace": True},
        {"secret": "j", "to": "b", "pin": sha256(b"p"), "service": PEER},
        k=KEY,
        j=KEY,
    )
    words = [export_words(export) for export in exports]
    assert words[:3] == [
        "shows the public part of its secret k to everybody",
        "gives its secret k to the policy a",
        "gives its secret j to all policies in and at a",
    ]
    assert sha256(b"p") in words[3]
    assert sha256(b"board") in words[3]
    assert set(FATES) == set(Fate)
