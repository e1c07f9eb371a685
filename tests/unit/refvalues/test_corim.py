# SPDX-License-Identifier: Apache-2.0
"""Manifests: what the known profiles mean, whose signature counts, what is refused."""

import base64
import hashlib
from datetime import UTC, datetime
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.refvalues import (
    DIGEST,
    IMPLEMENTATION,
    PSA,
    SIGNER_ID,
    component,
    manifest,
    pem,
    psa_environment,
    psa_triples,
    signed,
    spki,
    tag,
)

from accord.encoding import sha256
from accord.errors import (
    AccordError,
    MalformedError,
    ManifestExpiredError,
    ManifestProfileError,
    ManifestSignatureError,
    ManifestSignerError,
    ManifestUnsignedError,
    TooLargeError,
)
from accord.policy import ComponentRule, Family
from accord.refvalues import Manifest, import_corim

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
KEY = ec.derive_private_key(7, ec.SECP256R1())
OTHER = ec.derive_private_key(8, ec.SECP256R1())
RULE = ComponentRule(digest=DIGEST, signer=SIGNER_ID, name="BL", version="2.1.0")


def read(data: bytes, signer: bytes | None = None) -> Manifest:
    return import_corim(data, signer=signer, now=NOW)


# --- Profiles ---------------------------------------------------------------------------------


def test_psa_components_become_rules() -> None:
    """Digest, signer, measurement type and version; the implementation is a measurement."""
    found = read(manifest(psa_triples()))
    values = found.values[0]

    assert (found.name, found.profile, found.signer) == ("example", PSA, None)
    assert values.family is Family.PSA
    assert values.measurements == {"implementation_id": (IMPLEMENTATION,)}
    assert values.components == (RULE,)
    assert values.missing == ""


def test_each_digest_of_a_component_is_an_alternative() -> None:
    """By which hash a device measures is its own affair."""
    longer = hashlib.sha384(b"boot loader").digest()
    values = component(k2=[[1, DIGEST], ["sha-384", longer]], k11=None, k0=None)
    found = read(manifest(psa_triples(values, values))).values[0]

    assert [rule.digest for rule in found.components] == [DIGEST, longer]
    assert {rule.name for rule in found.components} == {None}


def test_the_older_psa_profile_names_components_in_their_keys() -> None:
    """Tags 600 and 601 of the first revisions."""
    key = tag(601, {1: "BL", 4: "2.1.0", 5: SIGNER_ID})
    environment = {0: {0: tag(600, IMPLEMENTATION)}}
    triples = {0: [[environment, [{0: key, 1: {2: [[1, DIGEST]]}}]]]}

    assert read(manifest(triples, profile="http://arm.com/psa/iot/1")).values[0].components == (
        RULE,
    )


def test_device_keys_become_anchors() -> None:
    """PEM, or the base64 of it, of a device that is named by its instance id."""
    environment = psa_environment(more={1: tag(550, b"\1" + bytes(32))})
    bare = base64.b64encode(spki(OTHER)).decode()
    keys = [[environment, [tag(554, pem(KEY).decode())]], [environment, [tag(554, bare)]]]
    found = read(manifest({**psa_triples(), 3: keys}))

    assert found.anchors == (sha256(spki(KEY)), sha256(spki(OTHER)))


@pytest.mark.parametrize(
    "profile", ["tag:arm.com,2025:cca_platform#1.0.0", "http://arm.com/cca/ssd/1"]
)
def test_cca_platforms_are_components_and_a_configuration(profile: str) -> None:
    """What is missing for a policy is the realm, and it is said."""
    listed: list[Any] = [
        {0: "cca.software-component", 1: component()},
        {0: "cca.platform-config", 1: {4: tag(560, b"\xcf\xcf"), 5: b"\xff\xff"}},
    ]
    values = read(manifest({0: [[psa_environment(), listed]]}, profile=profile)).values[0]

    assert values.family is Family.CCA
    assert values.measurements["config"] == (b"\xcf\xcf",)
    assert values.components == (RULE,)
    assert "rim is missing" in values.missing


def realm(**changes: Any) -> dict[int, Any]:
    """The triples of a realm."""
    listed: list[Any] = [
        {0: "cca.rim", 1: {2: [[1, DIGEST]]}},
        {0: "cca.rem0", 1: {2: [[1, bytes(32)]]}},
        {0: "cca.rpv", 1: {4: tag(560, b"value")}},
    ]
    environment = {0: {0: tag(560, changes.get("identity", DIGEST))}}
    return {0: [[environment, [*listed, *changes.get("more", [])]]]}


REALM = "tag:arm.com,2025:cca_realm#1.0.0"


def test_a_realm_is_its_registers() -> None:
    """The personalisation value is filled up to its 64 bytes."""
    values = read(manifest(realm(), profile=REALM)).values[0]

    assert values.measurements == {
        "rim": (DIGEST,),
        "rem0": (bytes(32),),
        "rpv": (b"value" + bytes(59),),
    }
    assert values.missing == ""


def test_the_older_realm_profile_has_integrity_registers() -> None:
    """The realm is then the instance."""
    environment = {0: {0: tag(37, bytes(16)), 1: "ACME"}, 1: tag(560, DIGEST)}
    values = {4: tag(560, b"v"), 14: {"rim": [["sha-256", DIGEST]], "rem1": [[1, bytes(32)]]}}
    triples = {0: [[environment, [{1: values}]]]}
    found = read(manifest(triples, profile="http://arm.com/cca/realm/1")).values[0]

    assert found.measurements == {
        "rim": (DIGEST,),
        "rem1": (bytes(32),),
        "rpv": (b"v" + bytes(63),),
    }


SNP = "tag:amd.com,2025:snp-corim-profile"
SNP_CLASS = tag(111, bytes.fromhex("2b060104019c780201"))
LAUNCH = hashlib.sha384(b"launch").digest()


def snp(environment: Any = None, **changes: Any) -> dict[int, Any]:
    values = {2: [[7, LAUNCH]], 1: tag(552, 5), -2: 0, -3: bytes(32)}
    values |= {int(name.removeprefix("k").replace("_", "-")): v for name, v in changes.items()}
    values = {key: value for key, value in values.items() if value is not None}
    return {0: [[environment or {0: {0: SNP_CLASS}}, [{1: values}]]]}


def test_a_snp_launch_becomes_measurements_and_a_minimum() -> None:
    """A newer guest of the same digest is as good."""
    values = read(manifest(snp(), profile=SNP)).values[0]

    assert values.measurements == {"measurement": (LAUNCH,), "host_data": (bytes(32),)}
    assert (values.attributes, values.minimums) == ({"vmpl": (0,)}, {"guest_svn": 5})
    assert values.missing == ""
    bare = read(manifest(snp(k1=None, k_2=None, k_3=None), profile=SNP)).values[0]
    assert (bare.attributes, bare.minimums) == ({}, {})


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (manifest(psa_triples(), profile="tag:example.com:other"), "its profile is tag:example"),
        (manifest(psa_triples(), k3=None), "its profile is not named; known are tag:arm"),
        (
            manifest(
                psa_triples(), k3=tag(111, bytes.fromhex("6086480186f84d01100 1".replace(" ", "")))
            ),
            "2.16.840.1.113741.1.16.1",
        ),
        (manifest(psa_triples(component(k3={0: True}))), "values 3, which no policy can name"),
        (manifest(psa_triples(component(k1=4))), "values 1, which no policy can name"),
        (manifest({0: [[psa_environment(), [{0: "x", 1: component()}]]]}), "is called 'x'"),
        (
            manifest(
                {0: [[psa_environment(), [{0: "psa.software-component", 1: component(), 2: []}]]]}
            ),
            "restricted to an authority",
        ),
        (
            manifest({0: [[psa_environment(more={2: b"group"}), [{0: "x", 1: component()}]]]}),
            "narrowed to a group",
        ),
        (
            manifest({0: [[{0: {0: tag(560, IMPLEMENTATION), 3: 1}}, [{0: "x", 1: component()}]]]}),
            "narrowed to a group, instance, layer or index",
        ),
        (
            manifest({3: [[psa_environment(), [tag(557, [1, DIGEST])]]]}),
            "not in the form that tag 554 marks",
        ),
        (
            manifest(
                {
                    0: [
                        [
                            psa_environment(),
                            [{0: "cca.platform-config", 1: {4: b"\xcf", 5: b"\x0f"}}],
                        ]
                    ]
                },
                profile="tag:arm.com,2025:cca_platform#1.0.0",
            ),
            "a mask leaves bits",
        ),
        (manifest(realm(more=[{0: "cca.x", 1: {2: []}}]), profile=REALM), "is called 'cca.x'"),
        (manifest(snp({0: {0: tag(111, b"\x2a")}}), profile=SNP), "none of SEV-SNP"),
        (manifest(snp(k3={-3: False}), profile=SNP), "values 3, which no policy"),
        (
            manifest({0: [[{0: {0: SNP_CLASS}}, [{0: 641, 1: {2: [[7, LAUNCH]]}}]]]}, profile=SNP),
            "more than its one measurement",
        ),
        (
            manifest(
                {0: [[{0: {0: b"x"}, 1: b"y"}, [{1: {}}, {1: {}}]]]},
                profile="http://arm.com/cca/realm/1",
            ),
            "more than one measurement",
        ),
    ],
    ids=range(16),
)
def test_what_no_policy_can_say_is_refused(data: bytes, match: str) -> None:
    """To leave a condition out would admit more than the author vouched for."""
    with pytest.raises(ManifestProfileError, match=match):
        read(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        cbor2.dumps(1),
        cbor2.dumps(tag(501, [])),
        cbor2.dumps(tag(501, {0: "x", 3: PSA})),
        cbor2.dumps(tag(501, {0: "x", 1: [], 3: PSA})),
        cbor2.dumps(tag(501, {0: "x", 1: [1], 3: PSA})),
        cbor2.dumps(tag(501, {0: "x", 1: [tag(505, b"\xa0")], 3: PSA})),
        cbor2.dumps(tag(501, {0: "x", 1: [tag(506, b"\x80")], 3: PSA})),
        cbor2.dumps(tag(501, {0: "x", 1: [tag(506, b"\xa0")], 3: PSA})),
        manifest({}),
        manifest([]),
        manifest({0: {}}),
        manifest({0: [[]]}),
        manifest({0: [[psa_environment(), []]]}),
        manifest({0: [[psa_environment(), [1]]]}),
        manifest({0: [[psa_environment(), [{0: "psa.software-component"}]]]}),
        manifest({0: [[{}, [{0: "x", 1: {}}]]]}),
        manifest({0: [[{0: {0: tag(560, b"short")}}, [{0: "x", 1: {}}]]]}),
        manifest({0: [[{0: {0: 5}}, [{0: "x", 1: {}}]]]}),
        manifest(psa_triples(component(k2=[]))),
        manifest(psa_triples(component(k2=[[1, b"short"]]))),
        manifest(psa_triples(component(k2=[[2, DIGEST]]))),
        manifest(psa_triples(component(k2=[[[], DIGEST]]))),
        manifest(psa_triples(component(k2=[DIGEST]))),
        manifest(psa_triples(component(k11=5))),
        manifest(psa_triples(component(k0="1.0"))),
        manifest(psa_triples(component(k13=None))),
        manifest(psa_triples(component(k13=[]))),
        manifest(psa_triples(component(k13=[tag(560, b"a"), tag(560, b"b")]))),
        manifest(psa_triples(component(k13=[tag(560, b"")]))),
        manifest(psa_triples(component(k13=[1]))),
        manifest(
            {0: [[psa_environment(), [{0: tag(601, {1: 5, 5: b"x"}), 1: {2: [[1, DIGEST]]}}]]]}
        ),
        manifest({0: [[psa_environment(), [{0: tag(601, {9: 5}), 1: {2: [[1, DIGEST]]}}]]]}),
        manifest(realm(identity=bytes(32)), profile=REALM),
        manifest(snp(k1="new"), profile=SNP),
        manifest(snp(k_2=True), profile=SNP),
        manifest(snp(k_3="x"), profile=SNP),
        manifest({0: [[{0: {0: b"x"}, 1: b"y"}, [{1: {}}]]]}, profile="http://arm.com/cca/realm/1"),
        manifest(psa_triples(), k0=None),
        manifest(psa_triples(), k0=b"short"),
        manifest(psa_triples(), k3=5),
        manifest(psa_triples(), k3=tag(111, b"")),
        manifest(psa_triples(), k3=tag(111, b"\x80")),
        manifest(psa_triples(), k4={}),
        manifest(psa_triples(), k4={1: SECONDS}),
        manifest(psa_triples(), k4={1: tag(1, 2**62)}),
        manifest(psa_triples(), k4={1: tag(1, SECONDS), 2: 1}),
        manifest(psa_triples(), k9=1),
        manifest({3: [[psa_environment(), [tag(554, "no key")]]]}),
        manifest(psa_triples()) + b"\0",
    ],
    ids=range(51),
)
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    """Missing fields, other types, other sizes, unknown fields."""
    with pytest.raises(MalformedError):
        read(data)


def test_triples_that_are_no_reference_values_are_said_to_be_left_out() -> None:
    """They widen nothing, so the rest stands."""
    values = read(manifest({**psa_triples(), 1: [], 10: []})).values[0]

    assert [caveat[:17] for caveat in values.caveats] == ["triples of kind 1", "triples of kind 1"]
    depending = read(manifest(psa_triples(), k2=[{0: "https://example.com"}])).values[0]
    assert "depends on other manifests" in depending.caveats[0]


def test_a_huge_manifest_is_not_read() -> None:
    """A limit comes before any work."""
    with pytest.raises(TooLargeError):
        read(bytes((1 << 20) + 1))


# --- Signatures and time ------------------------------------------------------------------------

PAYLOAD = manifest(psa_triples())


@pytest.mark.parametrize(
    ("key", "alg"),
    [
        (KEY, -7),
        (ec.derive_private_key(7, ec.SECP384R1()), -35),
        (ec.derive_private_key(7, ec.SECP521R1()), -36),
        (ed25519.Ed25519PrivateKey.from_private_bytes(b"\1" * 32), -8),
    ],
)
@pytest.mark.parametrize("outer", [18, 502])
def test_a_signed_manifest_is_of_its_signer(key: Any, alg: int, outer: int) -> None:
    """By either tag, by each kind of key, in either form of the key."""
    data = signed(PAYLOAD, key, alg=alg, outer=outer)

    assert read(data, spki(key)).signer == sha256(spki(key))
    assert read(data, pem(key)).values == read(PAYLOAD).values


def test_the_wrappings_of_older_drafts_are_read() -> None:
    """Tag 500 around it all, tag 18 within 502, tag 500 around the payload."""
    message = cbor2.loads(signed(cbor2.dumps(tag(500, cbor2.loads(PAYLOAD))), KEY, alg=-7))
    for data in (tag(500, message), tag(502, message), tag(500, tag(502, message))):
        assert read(cbor2.dumps(data), spki(KEY)).signer
    assert read(cbor2.dumps(tag(500, cbor2.loads(PAYLOAD)))).signer is None


def test_an_unsigned_manifest_does_not_pass_for_a_signed_one() -> None:
    """Who asks for a signature gets one, or nothing."""
    with pytest.raises(ManifestUnsignedError, match="example"):
        read(PAYLOAD, spki(KEY))


def test_a_signed_manifest_is_not_taken_for_unsigned() -> None:
    """A signature that nobody checks would look like one."""
    with pytest.raises(ManifestSignerError):
        read(signed(PAYLOAD, KEY, alg=-7))


def test_another_signer_is_refused() -> None:
    """Whatever key id its header names."""
    with pytest.raises(ManifestSignatureError):
        read(signed(PAYLOAD, OTHER, alg=-7), spki(KEY))


@pytest.mark.parametrize("alg", [-8, -35, 0, None, 5, "ES256", True])
def test_the_header_does_not_choose_the_algorithm(alg: Any) -> None:
    """The key does."""
    with pytest.raises(ManifestSignerError):
        read(signed(PAYLOAD, KEY, alg=alg), spki(KEY))


@pytest.mark.parametrize(
    "changes", [{"k2": [9]}, {"k3": "text/plain"}, {"k3": None}, {"k8": 5}, {"k8": b"\x80"}]
)
def test_a_header_that_is_not_of_a_manifest_is_refused(changes: Any) -> None:
    """Critical parameters, another content, a meta map that is none."""
    with pytest.raises(MalformedError):
        read(signed(PAYLOAD, KEY, alg=-7, **changes), spki(KEY))


@pytest.mark.parametrize(
    "message",
    [[], [b"", {}, None, b""], [b"", {}, b"", b"", b""], [{}, {}, b"", b""], "x"],
    ids=range(5),
)
def test_what_is_no_cose_sign1_is_refused(message: Any) -> None:
    """A detached payload among it."""
    with pytest.raises(MalformedError):
        read(cbor2.dumps(tag(18, message)), spki(KEY))


def test_a_signature_has_one_length() -> None:
    """Zeros around r and s are another spelling."""
    message = cbor2.loads(signed(PAYLOAD, KEY, alg=-7)).value
    signature = message[3]
    for other in (
        b"",
        signature[:-1],
        bytes(2) + signature,
        b"\0" + signature[:32] + b"\0" + signature[32:],
    ):
        with pytest.raises(ManifestSignatureError):
            read(cbor2.dumps(tag(18, [*message[:3], other])), spki(KEY))


def test_a_key_that_signs_no_manifests_is_refused() -> None:
    """RSA, and what is no key."""
    public = rsa.generate_private_key(65537, 2048).public_key()
    for key in (public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), b"", b"x"):
        with pytest.raises(MalformedError):
            read(signed(PAYLOAD, KEY, alg=-7), key)


@pytest.mark.parametrize(
    ("bounds", "good"),
    [
        ({1: SECONDS}, True),
        ({0: SECONDS, 1: SECONDS}, True),
        ({1: SECONDS - 1}, False),
        ({0: SECONDS + 1, 1: SECONDS + 9}, False),
    ],
)
def test_a_manifest_is_valid_in_its_time(bounds: dict[int, int], *, good: bool) -> None:
    """As its own map says, and as its signer said."""
    validity = {key: tag(1, value) for key, value in bounds.items()}
    meta = cbor2.dumps({0: {0: "ACME"}, 1: validity})
    for data, key in (
        (manifest(psa_triples(), k4=validity), None),
        (signed(PAYLOAD, KEY, alg=-7, k8=meta), spki(KEY)),
    ):
        if good:
            assert read(data, key).values
        else:
            with pytest.raises(ManifestExpiredError):
                read(data, key)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_changed_byte_of_a_signed_manifest_is_accepted(data: st.DataObject) -> None:
    """But in the unprotected header, which is empty here, and the outer tag."""
    good = bytearray(signed(PAYLOAD, KEY, alg=-7))
    at = data.draw(st.integers(1, len(good) - 1))
    good[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(AccordError):
        read(bytes(good), spki(KEY))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_changed_byte_of_an_unsigned_manifest_makes_it_fall_over(data: st.DataObject) -> None:
    """Another manifest, or an error of the catalogue."""
    good = bytearray(PAYLOAD)
    for _ in range(data.draw(st.integers(1, 3))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = read(bytes(good))
    except AccordError as exc:
        shown = str(exc)
    else:
        shown = "".join(item.missing for item in found.values)
    assert shown.isprintable()
