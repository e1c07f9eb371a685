# SPDX-License-Identifier: Apache-2.0
"""TPM quotes: that genuine ones verify, and each attack on them is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from tests.support.tpm import ForgedTPM, attest, sign, sized
from tests.unit.evidence.tpm.conftest import NOW, REPORT_DATA, changed

from accord.encoding import sha256
from accord.errors import (
    AccordError,
    AnchorUnknownError,
    BindingMismatchError,
    ChainInvalidError,
    EnvironmentRefusedError,
    EvidenceExpiredError,
    EvidenceMalformedError,
    EvidenceSignatureError,
    LogMismatchError,
)
from accord.evidence import (
    Binding,
    Evidence,
    Purpose,
    Role,
    RootKind,
    Verified,
    link,
    parse,
    verify,
    verify_unbound,
)
from accord.evidence.tpm import ParsedTPM, pack_quote, parse_quote
from accord.policy import FAMILIES, Assurance, Family
from accord.testing import SimulatedBoot, SimulatedTPM

_EC_KEY = ec.generate_private_key(ec.SECP256R1())
_RSA_KEY = rsa.generate_private_key(65537, 2048)
_DER = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
ONES = {("sha256", index): bytes([index + 1]) * 32 for index in (0, 4, 7, 10)}


def checked(evidence: Evidence, machine: SimulatedTPM) -> Verified:
    return verify_unbound(evidence, anchors=[machine.root_digest], now=NOW)


def test_a_pinned_key_needs_no_certificate_of_its_maker(
    machine: SimulatedTPM, evidence: Evidence
) -> None:
    """Who enrolled the key pins it; that it also has a certificate of a stranger does no harm."""
    claims, _ = verify_unbound(evidence, anchors=[machine.ak_digest], now=NOW)

    assert claims.root == machine.ak_digest


def test_genuine_evidence_verifies(machine: SimulatedTPM, evidence: Evidence) -> None:
    """What was booted, who vouches for the TPM, and what it was asked with."""
    claims, bound = checked(evidence, machine)

    assert bound == {"tpm": link("tpm", REPORT_DATA)}
    assert (claims.root_kind, claims.assurance) == (RootKind.TEST, Assurance.SIMULATED)
    assert claims.root == machine.root_digest
    assert not claims.debug
    assert claims.tcb is None
    assert claims.instance_id.hex() == machine.ak_digest.removeprefix("sha256:")
    assert [item.what for item in claims.chain] == [
        "Simulated attestation key",
        "Accord simulated TPM maker",
    ]
    assert claims.collateral_expires == claims.chain[0].not_after
    assert claims.attributes["secure_boot"] is True
    assert claims.attributes["boot_aggregate"] is True
    assert claims.attributes["relies_on_sha1"] is False
    kernel = hashlib.sha256(SimulatedBoot().kernel).digest()
    program = hashlib.sha256(SimulatedBoot().files["/usr/bin/program"]).digest()
    assert ("boot", kernel) in [(item.kind, item.digest) for item in claims.components]
    assert ("ima", "/usr/bin/program", program) in [
        (item.kind, item.name, item.digest) for item in claims.components
    ]


def test_claims_have_only_names_that_policies_know(
    machine: SimulatedTPM, evidence: Evidence
) -> None:
    """Every measurement and attribute is appraisable, with its type and size."""
    claims, _ = checked(evidence, machine)
    known = FAMILIES[Family.TPM]

    assert known.attributes.keys() == claims.attributes.keys()
    assert all(type(claims.attributes[name]) is kind for name, kind in known.attributes.items())
    for name, value in claims.measurements.items():
        assert len(value) in known.measurements[name]


def test_no_sha1_register_suffices_for_a_policy() -> None:
    """A policy must name more than registers that can be made to collide."""
    for family in (Family.TPM, Family.TXT):
        for alternative in FAMILIES[family].required:
            assert not all(name.startswith("sha1.") for name in alternative)
        assert FAMILIES[family].defaults["relies_on_sha1"] == (False,)
        assert FAMILIES[family].defaults["clock_safe"] == (True,)


def test_evidence_is_bound_to_what_it_was_asked_for(machine: SimulatedTPM) -> None:
    """The same evidence serves its own binding, and no other."""
    binding = Binding(Purpose.RELEASE, Role.SHIELD, bytes(32), bytes(32), None, bytes(32))
    evidence = machine.collect(binding.report_data())
    anchors = [machine.root_digest]

    assert verify(evidence, anchors=anchors, now=NOW, binding=binding).family is Family.TPM
    other = replace(binding, nonce=bytes([1]) * 32)
    with pytest.raises(BindingMismatchError):
        verify(evidence, anchors=anchors, now=NOW, binding=other)


def test_an_enrolled_key_is_an_anchor_by_itself(machine: SimulatedTPM, evidence: Evidence) -> None:
    """Without certificate its digest must be pinned, and nothing expires."""
    bare = replace(evidence, endorsements={})
    claims, _ = verify_unbound(bare, anchors=[machine.ak_digest], now=NOW)

    assert claims.root == machine.ak_digest
    assert claims.collateral_expires is None
    assert claims.attributes["ak_issuer"] == ""
    with pytest.raises(AnchorUnknownError):
        checked(bare, machine)


def test_a_key_without_its_public_area_is_read(machine: SimulatedTPM, evidence: Evidence) -> None:
    """``ak_spki`` serves where nobody kept the TPM's own structure; only one may be there."""
    spki = machine.certificates["ak"].public_key().public_bytes(*_DER)
    claims, _ = checked(changed(evidence, ak_public=None, ak_spki=spki), machine)

    assert claims.root == machine.root_digest
    for wrong in (changed(evidence, ak_spki=spki), changed(evidence, ak_public=None)):
        with pytest.raises(EvidenceMalformedError, match="one of ak_public and ak_spki"):
            checked(wrong, machine)


def test_a_look_alike_maker_is_refused(
    evidence: Evidence, machine: SimulatedTPM, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The same names in all certificates, but another root."""
    other = SimulatedTPM.create(tmp_path_factory.mktemp("other"), now=NOW)

    with pytest.raises(AnchorUnknownError):
        checked(other.collect(REPORT_DATA), machine)
    with pytest.raises(EvidenceMalformedError, match="it is of another key"):
        checked(replace(evidence, endorsements=other.endorsements), machine)
    mixed = {**machine.endorsements, "ak_chain": other.endorsements["ak_chain"]}
    with pytest.raises(ChainInvalidError):
        checked(replace(evidence, endorsements=mixed), machine)


def test_an_endorsement_keys_certificate_does_not_serve(
    machine: SimulatedTPM, evidence: Evidence
) -> None:
    """It is of the same TPM, but of a key that cannot sign."""
    ek = machine.certificates["ek"].public_bytes(_DER[0])
    wrong = {**machine.endorsements, "ak_certificate": ek}

    with pytest.raises(EvidenceMalformedError, match="it is of another key"):
        checked(replace(evidence, endorsements=wrong), machine)


def test_two_certificates_for_one_key_are_refused(
    machine: SimulatedTPM, evidence: Evidence
) -> None:
    """``ak_certificate`` is one certificate."""
    twice = {**machine.endorsements, "ak_certificate": 2 * machine.endorsements["ak_chain"]}

    with pytest.raises(EvidenceMalformedError, match="holds 2 certificates"):
        checked(replace(evidence, endorsements=twice), machine)


@pytest.mark.parametrize("padding", [b"\0" * 40, b"\xff" * 300])
def test_padding_of_an_nv_index_is_left_aside(
    machine: SimulatedTPM, evidence: Evidence, padding: bytes
) -> None:
    """Certificates are read from indices that are longer than they are."""
    padded = machine.endorsements["ak_certificate"] + padding
    endorsements = {**machine.endorsements, "ak_certificate": padded}

    assert checked(replace(evidence, endorsements=endorsements), machine)


def test_certificates_hold_only_in_their_time(machine: SimulatedTPM, evidence: Evidence) -> None:
    """Neither before nor after."""
    for shift in (timedelta(days=-30), timedelta(days=4000)):
        with pytest.raises(EvidenceExpiredError):
            verify_unbound(evidence, anchors=[machine.root_digest], now=NOW + shift)


def test_an_unrestricted_key_is_refused(forger: ForgedTPM) -> None:
    """It would sign a quote that somebody wrote by hand."""
    evidence = forger.evidence(ONES, attributes=0x00040072)

    with pytest.raises(EnvironmentRefusedError, match="restricted, sign, fixedTPM"):
        verify_unbound(evidence, anchors=[forger.anchor], now=NOW)


def test_a_quote_of_another_key_is_refused(forger: ForgedTPM) -> None:
    """Same text, same registers, but a key that nobody pinned."""
    stolen = ForgedTPM().evidence(ONES)
    evidence = changed(stolen, ak_public=forger.evidence(ONES).aux["ak_public"])

    with pytest.raises(EvidenceSignatureError):
        verify_unbound(evidence, anchors=[forger.anchor], now=NOW)


@pytest.mark.parametrize(
    ("key", "algorithm", "pss"),
    [
        (_EC_KEY, "sha256", False),
        (ec.generate_private_key(ec.SECP384R1()), "sha384", False),
        (ec.generate_private_key(ec.SECP521R1()), "sha512", False),
        (_RSA_KEY, "sha256", False),
        (rsa.generate_private_key(65537, 3072), "sha384", True),
    ],
)
def test_each_kind_of_key_verifies(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, algorithm: str, *, pss: bool
) -> None:
    """ECDSA on three curves, RSASSA and RSAPSS."""
    forger = ForgedTPM(key)
    evidence = forger.evidence(ONES, algorithm=algorithm, pss=pss)

    claims, _ = verify_unbound(evidence, anchors=[forger.anchor], now=NOW)
    assert claims.measurements["sha256.pcr4"] == ONES["sha256", 4]


def test_a_scheme_that_does_not_fit_the_key_is_refused() -> None:
    """An RSA signature under an elliptic curve key is no signature, nor the reverse."""
    for ours, other in ((_EC_KEY, _RSA_KEY), (_RSA_KEY, _EC_KEY)):
        forger = ForgedTPM(ours)
        made = parse_quote(forger.evidence(ONES).blob)
        blob = pack_quote(made.attested, sign(other, made.attested))
        evidence = replace(forger.evidence(ONES), blob=blob)

        with pytest.raises(EvidenceMalformedError, match="does not fit its key"):
            verify_unbound(evidence, anchors=[forger.anchor], now=NOW)


@pytest.mark.parametrize(
    ("registers", "algorithm"),
    [
        (ONES, "sha1"),
        ({("sha1", 0): bytes(20)}, "sha256"),
    ],
)
def test_reliance_on_sha1_is_claimed(
    forger: ForgedTPM, registers: Mapping[tuple[str, int], bytes], algorithm: str
) -> None:
    """By the signature, or by the only bank: the safe default of policies refuses it."""
    evidence = forger.evidence(registers, algorithm=algorithm)

    claims, _ = verify_unbound(evidence, anchors=[forger.anchor], now=NOW)
    assert claims.attributes["relies_on_sha1"] is True


def test_an_unsafe_clock_is_claimed(forger: ForgedTPM) -> None:
    """The TPM lost power without notice: policies refuse it unless they say otherwise."""
    claims, _ = verify_unbound(forger.evidence(ONES, safe=0), anchors=[forger.anchor], now=NOW)
    assert claims.attributes["clock_safe"] is False


def test_a_certification_is_no_quote(forger: ForgedTPM) -> None:
    """It is signed by the same key, but says nothing of registers."""
    attested = attest(sized(b"name") + sized(b"name"), kind=0x8017)
    blob = pack_quote(attested, sign(forger.key, attested))

    with pytest.raises(EvidenceMalformedError, match="attests a key"):
        verify_unbound(replace(forger.evidence(ONES), blob=blob), anchors=[forger.anchor], now=NOW)


@pytest.mark.parametrize(
    ("pcrs", "detail"),
    [
        (None, "missing"),
        (b"", "expected 4 lines"),
        (b"sha256:0:" + b"01" * 32, "expected 4 lines"),
    ],
)
def test_registers_must_be_given(forger: ForgedTPM, pcrs: bytes | None, detail: str) -> None:
    """All of them, each in a line."""
    evidence = changed(forger.evidence(ONES), pcrs=pcrs)

    with pytest.raises(EvidenceMalformedError, match=detail):
        verify_unbound(evidence, anchors=[forger.anchor], now=NOW)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"sha256:4:", b"sha256:5:"),
        (b"sha256:4:", b"sha256:04:"),
        (b"sha256:0:01", b"sha256:0:0A"),
        (b"sha256:0:01", b"sha256:0: 1"),
        (b"sha256:0:01", b"sha256:0:"),
        (b"sha256:0:", b"sha384:0:"),
    ],
)
def test_registers_have_one_spelling(forger: ForgedTPM, old: bytes, new: bytes) -> None:
    """Other registers, upper case, spaces, short values."""
    evidence = forger.evidence(ONES)
    evidence = changed(evidence, pcrs=evidence.aux["pcrs"].replace(old, new))

    with pytest.raises(EvidenceMalformedError, match="expected sha256"):
        verify_unbound(evidence, anchors=[forger.anchor], now=NOW)


def test_registers_that_were_not_quoted_are_refused(
    machine: SimulatedTPM, evidence: Evidence
) -> None:
    """One bit of one register."""
    pcrs = evidence.aux["pcrs"].replace(b"sha256:15:00", b"sha256:15:01")

    with pytest.raises(LogMismatchError, match="the digest of all quoted registers"):
        checked(changed(evidence, pcrs=pcrs), machine)


def test_the_order_of_banks_is_the_quotes(forger: ForgedTPM) -> None:
    """A TPM hashes banks in the order in which they were asked for."""
    registers = {("sha256", 3): bytes(32), ("sha1", 3): bytes(20), ("sha384", 1): bytes(48)}
    claims, _ = verify_unbound(forger.evidence(registers), anchors=[forger.anchor], now=NOW)

    assert list(claims.measurements) == ["sha256.pcr3", "sha1.pcr3", "sha384.pcr1"]


def test_a_bank_that_we_cannot_name_is_left_out(forger: ForgedTPM) -> None:
    """Its values count for the digest, but no policy can name them."""
    body = b"\0\0\0\1\0\x12\3\1\0\0" + sized(hashlib.sha256(bytes(32)).digest())
    attested = attest(body)
    blob = pack_quote(attested, sign(forger.key, attested))
    evidence = replace(
        changed(forger.evidence(ONES), pcrs=b"sm3_256:0:" + b"00" * 32 + b"\n"), blob=blob
    )

    claims, _ = verify_unbound(evidence, anchors=[forger.anchor], now=NOW)
    assert dict(claims.measurements) == {}


def test_another_program_in_the_log_is_refused(machine: SimulatedTPM, evidence: Evidence) -> None:
    """The log of a machine that boots something else."""
    other = machine.collect(REPORT_DATA, boot=SimulatedBoot(kernel=b"evil"))
    assert other.aux["event_log"] != evidence.aux["event_log"]

    with pytest.raises(LogMismatchError, match="sha256 PCR 9"):
        checked(changed(evidence, event_log=other.aux["event_log"]), machine)


def test_secure_boot_that_is_off_is_seen(machine: SimulatedTPM) -> None:
    """It is a fact of the log, and of PCR 7."""
    evidence = machine.collect(REPORT_DATA, boot=SimulatedBoot(secure_boot=False))

    assert checked(evidence, machine).claims.attributes["secure_boot"] is False


def test_a_log_cannot_hide_a_register(machine: SimulatedTPM, evidence: Evidence) -> None:
    """Without any event of PCR 9 a log would say nothing of the kernel: it is refused."""
    log = evidence.aux["event_log"]
    start = log.index(b"/boot/vmlinuz\0") + len(b"/boot/vmlinuz\0")
    size = log.index(b"/boot/initrd\0") + len(b"/boot/initrd\0") - start
    first = log.index(b"/boot/vmlinuz\0") - (size - len(b"/boot/initrd\0"))

    with pytest.raises(LogMismatchError, match="sha256 PCR 9"):
        checked(changed(evidence, event_log=log[:first] + log[start + size :]), machine)


def test_a_log_of_another_bank_proves_nothing(machine: SimulatedTPM) -> None:
    """The log has no SHA-512, and nothing else was quoted."""
    evidence = machine.collect(REPORT_DATA, selection={"sha512": range(16)})

    with pytest.raises(LogMismatchError, match="all quoted registers"):
        checked(evidence, machine)


def test_every_common_bank_is_replayed(machine: SimulatedTPM) -> None:
    """Three banks in one quote, and one log."""
    selection = {"sha1": range(16), "sha384": range(16), "sha256": range(16)}
    claims, _ = checked(machine.collect(REPORT_DATA, selection=selection), machine)

    assert claims.attributes["relies_on_sha1"] is False
    assert {len(item.digest) for item in claims.components if item.kind == "boot"} == {48}


def test_a_log_that_only_sha1_proves_is_flagged(machine: SimulatedTPM) -> None:
    """Components are then no stronger than SHA-1."""
    claims, _ = checked(machine.collect(REPORT_DATA, selection={"sha1": range(16)}), machine)

    assert claims.attributes["relies_on_sha1"] is True


def test_another_file_in_the_ima_log_is_refused(machine: SimulatedTPM, evidence: Evidence) -> None:
    """A file's digest is changed."""
    log = evidence.aux["ima_log"]
    digest = hashlib.sha256(SimulatedBoot().files["/usr/bin/program"]).hexdigest().encode()

    with pytest.raises(LogMismatchError, match="sha256 PCR 10"):
        checked(changed(evidence, ima_log=log.replace(digest, b"00" * 32)), machine)


def test_an_ima_log_needs_its_register(machine: SimulatedTPM) -> None:
    """PCR 10 was not quoted."""
    evidence = machine.collect(REPORT_DATA, selection={"sha256": range(10)})

    with pytest.raises(LogMismatchError, match="PCR 10"):
        checked(changed(evidence, event_log=None), machine)


def test_an_ima_log_that_grew_since_is_accepted(machine: SimulatedTPM, evidence: Evidence) -> None:
    """Files are measured all the time; what came after the quote is not claimed."""
    later = b"10 " + b"11" * 20 + b" ima-ng sha256:" + b"22" * 32 + b" /later\n"
    claims, _ = checked(changed(evidence, ima_log=evidence.aux["ima_log"] + later), machine)

    assert "/later" not in [item.name for item in claims.components]


def test_without_logs_nothing_is_claimed_of_them(machine: SimulatedTPM, evidence: Evidence) -> None:
    """Absent facts are absent, never false."""
    claims, _ = checked(changed(evidence, event_log=None, ima_log=None), machine)

    assert claims.components == ()
    assert (claims.attributes["event_log"], claims.attributes["ima_log"]) == (False, False)
    assert "secure_boot" not in claims.attributes
    assert "boot_aggregate" not in claims.attributes


@pytest.mark.parametrize("name", ["eventlog", "txt_log", "ek_certificate"])
def test_attachments_that_nobody_reads_are_refused(
    machine: SimulatedTPM, evidence: Evidence, name: str
) -> None:
    """A misspelt log would prove nothing, and nobody would notice."""
    with pytest.raises(EvidenceMalformedError, match=f"no use for {name}"):
        checked(changed(evidence, **{name: b""}), machine)
    endorsements = {**evidence.endorsements, name: b""}
    with pytest.raises(EvidenceMalformedError, match=f"no use for {name}"):
        checked(replace(evidence, endorsements=endorsements), machine)


def test_evidence_is_taken_apart_to_be_shown(evidence: Evidence) -> None:
    """All of it, nothing verified."""
    found = parse(evidence)

    assert isinstance(found, ParsedTPM)
    assert found.ak_public is not None
    assert found.event_log is not None
    assert found.ima_log is not None
    assert found.txt_log is None
    assert len(found.registers) == 16


@given(st.data())
def test_no_mutated_signed_byte_is_accepted(
    machine: SimulatedTPM, evidence: Evidence, data: st.DataObject
) -> None:
    """Whatever byte of quote or signature is changed, wherever."""
    at = data.draw(st.integers(0, len(evidence.blob) - 1))
    flipped = evidence.blob[at] ^ data.draw(st.integers(1, 255))
    blob = evidence.blob[:at] + bytes([flipped]) + evidence.blob[at + 1 :]

    with pytest.raises(AccordError):
        checked(replace(evidence, blob=blob), machine)


@given(st.data())
def test_no_mutated_attachment_escapes_the_catalogue(
    machine: SimulatedTPM, evidence: Evidence, data: st.DataObject
) -> None:
    """A changed log or key is refused, or says nothing that it did not say before."""
    name = data.draw(st.sampled_from(sorted(evidence.aux)))
    old = evidence.aux[name]
    at = data.draw(st.integers(0, len(old) - 1))
    new = old[:at] + data.draw(st.binary(max_size=3)) + old[at + 1 :]
    expected = checked(evidence, machine).claims
    try:
        claims, _ = checked(changed(evidence, **{name: new}), machine)
    except AccordError:
        return
    # Whoever sends a log can withhold what a variable held; a policy that names it then refuses.
    assert claims.measurements.items() <= expected.measurements.items()
    assert [item.digest for item in claims.components if item.kind == "boot"] == [
        item.digest for item in expected.components if item.kind == "boot"
    ]


@given(st.binary(max_size=300))
def test_parsers_raise_nothing_but_the_catalogue(data: bytes) -> None:
    """Bytes as blob and as every attachment."""
    names = ("ak_public", "ak_spki", "pcrs", "event_log", "ima_log", "txt_log")
    for evidence in (
        Evidence(Family.TPM, data),
        Evidence(Family.TPM, _BLOB, {}, dict.fromkeys(names[1:], data)),
        Evidence(Family.TXT, _BLOB, {}, {"ak_public": _PUBLIC, "pcrs": _PCRS, "txt_log": data}),
    ):
        try:
            parse(evidence)
        except AccordError:
            continue


def test_evidence_survives_its_own_encoding(machine: SimulatedTPM, evidence: Evidence) -> None:
    """What travels is what was made."""
    travelled = Evidence.from_bytes(evidence.to_bytes())

    assert sha256(travelled.blob) == sha256(evidence.blob)
    assert checked(travelled, machine).claims == checked(evidence, machine).claims


_FORGED = ForgedTPM().evidence(ONES)
_BLOB, _PUBLIC, _PCRS = _FORGED.blob, _FORGED.aux["ak_public"], _FORGED.aux["pcrs"]
