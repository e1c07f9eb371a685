# SPDX-License-Identifier: Apache-2.0
"""SCONE sessions: what has an equivalent becomes a policy, and everything else is listed."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.errors import AccordError, PolicySyntaxError, SconeSessionError
from accord.policy import Converted, import_scone, parse_policy, parse_yaml

JSON = dict[str, Any]

WHOLE = """\
name: Weather-Station
version: "0.3.10"
predecessor: 5f1c
salt: 000102030405060708090a0b0c0d0e0f
security:
  attestation:
    mode: hardware
    tolerate: [software-hardening-needed, insecure-configuration]
    ignore_advisories: [INTEL-SA-00615]
access_policy:
  read: [CREATOR]
  list_sessions: [ANY]
  update: [CREATOR]
  create_sessions: [ANY]
services:
  - name: Collector
    image_name: collector
    command: /usr/bin/collect --token $$SCONE::API_TOKEN$$ --every 60
    pwd: /srv
    environment: {MODE: fast, VERBOSE: true, LEVEL: 3, SCONE_HEAP: 1G}
    mrenclaves: ["1111111111111111111111111111111111111111111111111111111111111111"]
  - name: sender
    command: [/usr/bin/send, "two words", $$SCONE::API_TOKEN:hex$$]
    environment: {KEY: "<$$SCONE::SIGNING:privatekey:pkcs8:pem$$>"}
    one_time_password_shared_secret: $$SCONE::DOOR$$
    attestation:
      - mrenclave: "2222222222222222222222222222222222222222222222222222222222222222"
      - signer:
          mrsigner: "3333333333333333333333333333333333333333333333333333333333333333"
          isvprodid: 7
          isvsvn_min: 2
      - signer:
          mrsigner: "3333333333333333333333333333333333333333333333333333333333333333"
          isvprodid: 8
          isvsvn_min: 4
          isvsvn_max: 6
      - signer:
          mrsigner: "3333333333333333333333333333333333333333333333333333333333333333"
          isvprodid: 9
          isvsvn: 1
images:
  - name: collector
    injection_files:
      - {path: /run/collector/web.crt, content: "$$SCONE::WEB:crt:pem$$\\n"}
      - {path: /run/collector/web.key, content: $$SCONE::WEB:privatekey$$, permission: "0o400"}
      - {path: /run/collector/token, content: $$SCONE::API_TOKEN:bin$$, permission: 256}
secrets:
  - {name: API_TOKEN, kind: ascii, size: 40, export: other}
  - {name: DOOR, kind: binary, size: 20}
  - {name: PAIR, kind: private-key, migrate: true}
  - {name: HALF, kind: public-key, private_key: PAIR, export_public: true}
  - {name: ROOT, kind: x509-ca, private_key: PAIR, common_name: Station root, valid_for: 2y}
  - {name: SIGNING, kind: x509, issuer: ROOT, endpoint: client, common_name: signer}
  - name: WEB
    kind: x509
    issuer: ROOT
    endpoint: server
    common_name: station.example
    dns: [station.example]
    san: ["ip:192.0.2.1", "dns:station.example"]
    valid_for: 90 days
    export: [{session: reader}, {namespace: readers}]
  - {name: TAKEN, kind: ascii, import: {session: Other, secret: THEIRS}}
  - {name: GIVEN, kind: ascii, value: never-to-be-repeated}
"""


def with_session(text: str = "", **parts: str) -> Converted:
    """A session with one service that can be expressed, and more."""
    service = parts.get("service", "")
    session = f"""\
name: demo
version: "0.3"
services:
  - name: app
    command: [app]
    mrenclaves: ["{"11" * 32}"]
    {service}
{text}
"""
    return import_scone(session.encode())


def missing(made: Converted) -> list[tuple[str, str]]:
    return [(item.where, item.sentence) for item in made.missing]


def test_session_without_gaps_becomes_a_policy() -> None:
    """Every part that has an equivalent has it, and the reader takes the result."""
    made = import_scone(WHOLE.encode())
    policy = parse_policy(made.to_yaml().encode())
    document: Any = policy.to_json()

    assert made.missing == ()
    assert policy.name == "weather-station"
    assert policy.salt == bytes(range(16))
    assert document["access"] == {"read": [], "list": ["anyone"]}
    assert document["services"]["collector"]["command"] == [
        "/usr/bin/collect",
        "--token",
        "{{ accord.api_token }}",
        "--every",
        "60",
    ]
    assert document["services"]["collector"]["environment"] == {
        "MODE": "fast",
        "VERBOSE": "true",
        "LEVEL": "3",
    }
    assert document["services"]["collector"]["workdir"] == "/srv"
    assert document["services"]["collector"]["network"] == "none"
    assert document["services"]["collector"]["files"] == [
        {"at": "/run/collector/web.crt", "content": "{{ accord.web:crt }}\n", "mode": "0700"},
        {"at": "/run/collector/web.key", "content": "{{ accord.web:privatekey }}", "mode": "0400"},
        {"at": "/run/collector/token", "content": "{{ accord.api_token:bin }}", "mode": "0400"},
    ]
    assert document["services"]["sender"]["environment"] == {
        "KEY": "<{{ accord.signing:privatekey }}>"
    }
    assert document["services"]["sender"]["command"][1:] == [
        "two words",
        "{{ accord.api_token:hex }}",
    ]
    assert document["services"]["sender"]["totp"] == "door"
    assert document["services"]["sender"]["workdir"] == "/"


def test_environments_of_a_session() -> None:
    """Enclaves, signers with versions, and what is tolerated of the platform."""
    policy = parse_policy(import_scone(WHOLE.encode()).to_yaml().encode())
    variants = policy.services["sender"].attestation

    assert {variant.family.value for variant in variants} == {"sgx"}
    assert variants[0].measurements == {"mrenclave": (bytes.fromhex("22" * 32),)}
    assert variants[1].measurements == {"mrsigner": (bytes.fromhex("33" * 32),)}
    assert variants[1].attributes == {"isv_prod_id": (7,)}
    assert variants[1].minimums == {"isv_svn": 2}
    assert variants[2].attributes == {"isv_prod_id": (8,), "isv_svn": (4, 5, 6)}
    assert variants[3].attributes == {"isv_prod_id": (9,), "isv_svn": (1,)}
    assert set(variants[0].tcb_statuses) == {
        "UpToDate",
        "SWHardeningNeeded",
        "ConfigurationNeeded",
        "ConfigurationAndSWHardeningNeeded",
    }


def test_secrets_of_a_session() -> None:
    """Kinds, keys, certificates, imports and exports."""
    policy = parse_policy(import_scone(WHOLE.encode()).to_yaml().encode())
    secrets = {name: spec.to_json() for name, spec in policy.secrets.items()}

    assert secrets["api_token"] == {"kind": "ascii", "rotate": 0, "size": 40}
    assert secrets["pair"] == {"kind": "key", "rotate": 0, "migrate": True, "algorithm": "p256"}
    assert secrets["half"] == {"kind": "public-key", "of": "pair"}
    assert policy.secrets["root"].valid_days == 730
    assert policy.secrets["web"].valid_days == 90
    assert policy.secrets["web"].san == ("dns:station.example", "ip:192.0.2.1")
    assert secrets["taken"] == {"kind": "import", "policy": "other", "secret": "theirs"}
    assert secrets["given"] == {"kind": "asset", "asset": "owner/given"}
    assert [(item.secret, item.to, item.namespace) for item in policy.exports] == [
        ("api_token", "other", False),
        ("half", "public", False),
        ("web", "reader", False),
        ("web", "readers", True),
    ]


def test_what_needs_a_decision_is_noted() -> None:
    """Expressed, but by other words or by other people."""
    notes = {item.where: item.sentence for item in import_scone(WHOLE.encode()).notes}

    assert notes["session"].startswith("the purpose is imported")
    assert notes["session.predecessor"] == "is left out: this is a first version here"
    assert notes["session.secrets[0].name"] == "API_TOKEN is called api_token here"
    assert notes["session.services[0].environment.SCONE_HEAP"].startswith("sets the SCONE runtime")
    assert "session.security.attestation.ignore_advisories" in notes
    assert "session.access_policy.update[0]" in notes


def test_values_of_secrets_are_never_repeated() -> None:
    """Not in the policy, and not in a remark."""
    made = import_scone(WHOLE.encode())

    assert "never-to-be-repeated" not in made.to_yaml() + str(made)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("volumes: [{name: data}]", "session.volumes[0]"),
        ("namespace_hash: 5f1c", "session.name"),
        ("colour: red", "session.colour"),
        ("security: {attestation: {mode: none}}", "session.security.attestation.mode"),
        (
            "security: {attestation: {tolerate: [debug-mode]}}",
            "session.security.attestation.tolerate[0]",
        ),
        (
            "security: {attestation: {tolerate: [aepic-leak]}}",
            "session.security.attestation.tolerate[0]",
        ),
        ("security: {trust: all}", "session.security.trust"),
        ("security: 7", "session.security"),
        ("secrets: [{name: x, kind: pgp-key}]", "session.secrets[0].kind"),
        ("secrets: [{kind: ascii}]", "session.secrets[0]"),
        ("secrets: [{name: x, kind: ascii}, {name: X, kind: ascii}]", "session.secrets[1]"),
        ("secrets: [{name: 'a b', kind: ascii}]", "session.secrets[0].name"),
        ("secrets: [{name: x, kind: ascii, size: big}]", "session.secrets[0].size"),
        ("secrets: [{name: x, kind: ascii, migrate: 1}]", "session.secrets[0].migrate"),
        ("secrets: [{name: x, kind: jwt, claims: {a: b}}]", "session.secrets[0]"),
        (
            "secrets: [{name: x, kind: private-key, key_type: RSA-2048}]",
            "session.secrets[0].key_type",
        ),
        ("secrets: [{name: x, kind: x509, endpoint: server}]", "session.secrets[0]"),
        (
            "secrets: [{name: x, kind: x509-ca, valid_for: 3h}]",
            "session.secrets[0].valid_for",
        ),
        (
            "secrets: [{name: x, import: {session: s, secret: t, session_hash: 5f}}]",
            "session.secrets[0].import.session_hash",
        ),
        (
            "secrets: [{name: x, import: {session: s, secret: t, cas_url: c}}]",
            "session.secrets[0].import.cas_url",
        ),
        ("secrets: [{name: x, import: {session: s}}]", "session.secrets[0].import"),
        ("secrets: [{name: x, kind: ascii, export: [{}]}]", "session.secrets[0].export[0]"),
        (
            "secrets: [{name: x, kind: ascii, export: {session: s, session_hash: 5f}}]",
            "session.secrets[0].export[0]",
        ),
        ("images: [{name: i, volumes: []}]", "session.images[0].volumes"),
        ("services: [{command: [x]}]", "session.services[0]"),
        ("access_policy: {update: [NONE]}", "session.access_policy.update[0]"),
        ("access_policy: {update: [{signer: abc}]}", "session.access_policy.update[0]"),
        ("access_policy: {update: [[1]]}", "session.access_policy.update[0]"),
        ("access_policy: {read: [5f1c]}", "session.access_policy.read[0]"),
        ("access_policy: {delete: [CREATOR]}", "session.access_policy.delete"),
    ],
)
def test_part_without_equivalent_is_listed(text: str, where: str) -> None:
    """At its place, so that whoever converts can go through the list."""
    base = "" if text.startswith("services") else None
    made = (
        with_session(text)
        if base is None
        else import_scone(f'name: demo\nversion: "0.3"\n{text}\n'.encode())
    )

    assert where in [item.where for item in made.missing]


@pytest.mark.parametrize(
    ("service", "where"),
    [
        ("environment: {A: '@@1'}", "environment.A"),
        ("environment: {'@@HOME': ''}", "environment.@@HOME"),
        ("environment: {A: [x]}", "environment.A"),
        ("environment: {SCONE_NETWORK_SHIELD: protected}", "environment.SCONE_NETWORK_SHIELD"),
        ("environment: {A: $$SCONE::x:base32$$}", "environment.A"),
        ("environment: {A: $$SCONE::x|escape(json)$$}", "environment.A"),
        ("environment: {A: $$SCONE::x}", "environment.A"),
        ("environment: {A: '{{ accord.x }}'}", "environment.A"),
        ("platforms: [INTEL_QE_ID:00]", "platforms"),
        ("fspf_path: /fs.fspf", "fspf_path"),
        ("pwd: 7", "pwd"),
    ],
)
def test_setting_of_a_service_without_equivalent_is_listed(service: str, where: str) -> None:
    """Nothing that a service relies on is lost in silence."""
    made = with_session(service=service)

    assert f"session.services[0].{where}" in [item.where for item in made.missing]


@pytest.mark.parametrize(
    ("file", "where"),
    [
        ("{path: /etc/x, content: ''}", "path"),
        ("{path: /run/x}", ""),
        ("{path: /run/x, content: '', permission: rwx}", "permission"),
        ("{path: /run/x, content: '', permission: 0o4755}", "permission"),
        ("{path: /run/x, content: '', owner: root}", "owner"),
    ],
)
def test_injection_file_without_equivalent_is_listed(file: str, where: str) -> None:
    """Files stand in memory, below /run, with content of the policy."""
    made = with_session(
        f"images: [{{name: i, injection_files: [{file}]}}]", service="image_name: i"
    )
    place = "session.images[0].injection_files[0]" + (f".{where}" if where else "")

    assert place in [item.where for item in made.missing]


def test_variable_of_the_client_is_noted() -> None:
    """It may also be meant for the program's own shell."""
    made = with_session(service="environment: {A: $HOME/x}")

    assert "session.services[0].environment.A" in [item.where for item in made.notes]
    assert made.missing == ()


def test_command_and_enclave_must_be_named() -> None:
    """What an image would say is not known to a policy."""
    made = import_scone(b'name: demo\nversion: "0.3"\nservices: [{name: app}]\n')

    assert [item.sentence for item in made.missing] == [
        "does not say which program may run: add `attestation`",
        "say which program runs; no image tells",
    ]


def test_version_range_that_is_too_long_is_listed() -> None:
    """Nobody would read it."""
    signer = f"{{mrsigner: '{'33' * 32}', isvprodid: 1, isvsvn_max: 100}}"
    made = with_session(service=f"attestation: [{{signer: {signer}}}]")

    assert "list the versions that are admitted" in made.missing[0].sentence


def test_singletons_need_tokens() -> None:
    """Each enclave starts once."""
    made = with_session("security: {singleton_enclaves: true}")

    assert parse_policy(made.to_yaml().encode()).services["app"].singleton


# --- who decides -----------------------------------------------------------------------------


def update(text: str) -> tuple[Any, list[str]]:
    made = with_session(f"access_policy: {{update: {text}}}")
    access: Any = dict(made.document).get("access", {})
    return access.get("update"), [item.sentence for item in made.missing]


def test_signers_become_members_that_somebody_must_name() -> None:
    """A key says nothing about who is meant on the board; the same key means the same member."""
    rule, listed = update("[{signer: AAA}, {require-all: [{signer: BBB}, {signer: AAA}]}]")

    assert rule == {"any": ["member:signer-1", {"all": ["member:signer-2", "member:signer-1"]}]}
    assert listed == [
        "write the member who is meant instead of signer-1: key AAA",
        "write the member who is meant instead of signer-2: key BBB",
    ]


def test_counted_rules_are_written_out() -> None:
    """Two of three; one of two; all of one; counted again within."""
    abc = "[{signer: a}, {signer: b}, {signer: c}]"
    one, two, three = "member:signer-1", "member:signer-2", "member:signer-3"

    assert update(f"[{{require-at-least-2: {abc}}}]")[0] == {
        "any": [{"all": [one, two]}, {"all": [one, three]}, {"all": [two, three]}]
    }
    assert update(f"[{{require-at-least-1: {abc}}}]")[0] == {"any": [one, two, three]}
    assert update(f"[{{require-at-least-3: {abc}}}]")[0] == {"all": [one, two, three]}


@pytest.mark.parametrize(
    "text",
    [
        "[{require-at-least-4: [{signer: a}]}]",
        f"[{{require-at-least-6: [{', '.join(f'{{signer: s{n}}}' for n in range(12))}]}}]",
    ],
)
def test_rule_that_cannot_be_written_out_is_listed(text: str) -> None:
    """Too many ways, or none."""
    rule, listed = update(text)

    assert rule is None
    assert "give those who are meant a role, and count it with `at_least`" in listed


# --- what is no session ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[]", "expected a mapping with a name"),
        ("{}", "expected a mapping with a name"),
        ("name: 7", "expected a mapping with a name"),
        ("name: x", "version None of the language"),
        ('{name: x, version: "0.2"}', r"version 0\.2 of the language"),
        ("{name: x, version: 0.31}", r"version 0\.31 of the language"),
    ],
)
def test_other_documents_are_refused(text: str, match: str) -> None:
    """Also older versions of the language, in which the same words mean other things."""
    with pytest.raises(SconeSessionError, match=match):
        import_scone(text.encode())


def test_session_is_yaml() -> None:
    """As strict as a policy: what two readers read differently is refused."""
    with pytest.raises(PolicySyntaxError):
        import_scone(b"name: &a x\nversion: *a\n")


def test_result_that_the_reader_refuses_is_never_called_complete() -> None:
    """What no table foresees is still said."""
    made = with_session("secrets: [{name: x, kind: ascii, size: 3}]")

    assert missing(made) == [
        ("policy", "policy.secrets.x.size is malformed: 3 is not within 16 to 4096")
    ]


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 600)
    | st.sampled_from(["", "x", "ANY", "$$SCONE::x:crt$$", "0o400", "/run/x", "P-384", "x509"]),
    lambda below: (
        st.lists(below, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "name",
                    "kind",
                    "size",
                    "value",
                    "import",
                    "export",
                    "session",
                    "secret",
                    "issuer",
                    "dns",
                    "san",
                    "valid_for",
                    "signer",
                    "command",
                    "environment",
                    "attestation",
                    "mrenclave",
                    "mrsigner",
                    "isvsvn_max",
                    "image_name",
                    "path",
                    "content",
                    "permission",
                    "injection_files",
                    "tolerate",
                    "update",
                    "read",
                    "require-all",
                    "require-at-least-2",
                ]
            ),
            below,
            max_size=4,
        )
    ),
    max_leaves=12,
)
SECTIONS = st.sampled_from(
    ["security", "access_policy", "services", "images", "secrets", "volumes"]
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(SECTIONS, VALUES | st.lists(VALUES, max_size=2)))
def test_no_session_makes_the_converter_fall_over(sections: JSON) -> None:
    """A policy that the reader takes, or a list of what is missing; nothing else."""
    import json

    made = import_scone(json.dumps({"name": "x", "version": "0.3", **sections}).encode())
    try:
        parse_policy(made.to_yaml().encode())
    except AccordError:
        assert made.missing != ()
    assert parse_yaml(made.to_yaml().encode()) == dict(made.document)


# --- nothing is lost in silence ---------------------------------------------------------------


def test_names_that_differ_in_capitals_alone_replace_nothing_unseen() -> None:
    """Names have no capitals here: the second service, or image, of a name is told."""
    twice = f"""\
name: demo
version: "0.3"
services:
  - {{name: App, command: [first], mrenclaves: ["{"11" * 32}"]}}
  - {{name: app, command: [second], mrenclaves: ["{"22" * 32}"]}}
images: [{{name: i}}, {{name: i, injection_files: [{{path: /run/x, content: x}}]}}]
"""
    made = import_scone(twice.encode())
    services: Any = made.document["services"]

    assert services["app"]["command"] == ["first"]
    assert missing(made) == [
        ("session.images[1]", "another image is called i already"),
        ("session.services[1]", "another service is called app already"),
    ]


@pytest.mark.parametrize("mode", ["'9444'", "'0o9444'", "'\u0664\u0664\u0664'", "'1444'"])
def test_mode_that_is_none_is_told(mode: str) -> None:
    """Digits that are not octal are no reason to fall over."""
    file = f"{{path: /run/x, content: x, permission: {mode}}}"
    made = with_session(
        f"images: [{{name: i, injection_files: [{file}]}}]",
        service="image_name: i",
    )

    where = "session.images[0].injection_files[0].permission"
    assert [item.where for item in made.missing] == [where]


@pytest.mark.parametrize(
    "given", ["JBSWY3DPEHPK3PXP", "x$$SCONE::DOOR$$", "$$SCONE::DOOR|hex$$", "$$SCONE::A/B$$"]
)
def test_secret_of_one_time_passwords_never_stands_in_the_draft(given: str) -> None:
    """Only a reference to a secret is taken over; a literal one is not even repeated."""
    made = with_session(service=f'one_time_password_shared_secret: "{given}"')

    where = "session.services[0].one_time_password_shared_secret"
    assert [item.where for item in made.missing] == [where]
    assert "totp" not in made.to_yaml()
    assert "JBSWY3DPEHPK3PXP" not in made.to_yaml() + str(made.missing) + str(made.notes)


@pytest.mark.parametrize("bound", ["isvsvn_min: 5", "isvsvn_max: 2"])
def test_version_beside_a_range_is_told(bound: str) -> None:
    """Neither silently wins."""
    signer = f"{{mrsigner: '{'33' * 32}', isvprodid: 1, isvsvn: 3, {bound}}}"
    made = with_session(service=f"attestation: [{{signer: {signer}}}]")

    assert [item.where for item in made.missing] == [
        "session.services[0].attestation[0].signer.isvsvn"
    ]
