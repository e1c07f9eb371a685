# SPDX-License-Identifier: Apache-2.0
"""Credential activation, against a TPM that is real software."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from tests.support.tpm import public_area
from tests.unit.evidence.tpm.conftest import NOW

from accord.attesters._tpm_commands import (
    AK_P256,
    AK_RSA2048,
    EK_P256,
    EK_P384,
    EK_RSA2048,
    ENDORSEMENT,
)
from accord.encoding import sha256
from accord.errors import (
    AnchorUnknownError,
    CredentialRefusedError,
    EnvironmentRefusedError,
    EvidenceExpiredError,
    EvidenceMalformedError,
    TPMCommandError,
)
from accord.evidence._certificate import split_pem
from accord.evidence.tpm import AKEnrolment, make_credential, parse_public
from accord.testing import SimulatedTPM, SoftwareTPM

ENTROPY = secrets.token_bytes


@pytest.mark.parametrize("template", [EK_RSA2048, EK_P256, EK_P384])
@pytest.mark.parametrize("ak_template", [AK_P256, AK_RSA2048])
def test_a_tpm_finds_the_secret(
    software_tpm: SoftwareTPM, template: bytes, ak_template: bytes
) -> None:
    """For RSA-2048, P-256 and P-384 endorsement keys, and every kind of attestation key."""
    tpm = software_tpm.tpm
    ek_public, ek = tpm.create_primary(ENDORSEMENT, template)
    ak_public, ak = tpm.create_primary(ENDORSEMENT, ak_template)
    public, name = tpm.read_public(ak)
    secret = ENTROPY(32)
    credential = make_credential(ek_public, name, secret, entropy=ENTROPY)

    assert (public, parse_public(ak_public).name) == (ak_public, name)
    assert secret == tpm.activate_credential(
        ak, ek, credential.id_object, credential.encrypted_secret
    )


@pytest.mark.parametrize("template", [EK_RSA2048, EK_P256, EK_P384])
def test_a_tpm_refuses_a_credential_for_another_key(
    software_tpm: SoftwareTPM, template: bytes
) -> None:
    """The name in the credential is of a key that the TPM does not hold."""
    tpm = software_tpm.tpm
    ek_public, ek = tpm.create_primary(ENDORSEMENT, template)
    _, ak = tpm.create_primary(ENDORSEMENT, AK_P256)
    other = parse_public(public_area(ec.generate_private_key(ec.SECP256R1()))).name
    credential = make_credential(ek_public, other, bytes(32), entropy=ENTROPY)

    for _ in range(5):  # a refused session is given back: five would not fit
        with pytest.raises(TPMCommandError, match="TPM2_ActivateCredential"):
            tpm.activate_credential(ak, ek, credential.id_object, credential.encrypted_secret)


def test_another_tpm_does_not_find_the_secret(software_tpm: SoftwareTPM, tmp_path: Path) -> None:
    """A credential for the endorsement key of one machine is of no use to another."""
    with SoftwareTPM(tmp_path / "other") as other:
        ek_public, _ = other.tpm.create_primary(ENDORSEMENT, EK_P256)
    _, ek = software_tpm.tpm.create_primary(ENDORSEMENT, EK_P256)
    ak_public, ak = software_tpm.tpm.create_primary(ENDORSEMENT, AK_P256)
    credential = make_credential(
        ek_public, parse_public(ak_public).name, bytes(32), entropy=ENTROPY
    )

    with pytest.raises(TPMCommandError):
        software_tpm.tpm.activate_credential(
            ak, ek, credential.id_object, credential.encrypted_secret
        )


@pytest.mark.parametrize(
    ("ek_public", "detail"),
    [
        (AK_P256[:-4] + (b"\0\x20" + b"\1" * 32) * 2, "not on its curve"),
        (public_area(ec.derive_private_key(7, ec.SECP256R1())), "restricted, decrypt"),
        (public_area(ec.derive_private_key(7, ec.SECP256R1()), 0x000300B2), "restricted, decrypt"),
    ],
)
def test_other_keys_are_no_endorsement_keys(ek_public: bytes, detail: str) -> None:
    """A signing key, a key that wraps nothing, no key at all."""
    with pytest.raises((EnvironmentRefusedError, EvidenceMalformedError), match=detail):
        make_credential(ek_public, b"name", bytes(32), entropy=ENTROPY)


def test_a_secret_that_is_too_long_is_refused(software_tpm: SoftwareTPM) -> None:
    """The TPM would refuse it, and say less."""
    ek_public, _ = software_tpm.tpm.create_primary(ENDORSEMENT, EK_P256)

    with pytest.raises(EvidenceMalformedError, match="too short for the secret"):
        make_credential(ek_public, b"name", bytes(33), entropy=ENTROPY)


@pytest.fixture
def keys(machine: SimulatedTPM) -> Mapping[str, bytes]:
    """The public areas of the machine's keys."""
    with machine.running(machine.boot) as running:
        tpm = running.machine.tpm
        return {
            "ak_public": running.ak_public,
            "ek_public": tpm.create_primary(ENDORSEMENT, EK_P256)[0],
        }


def endorsements(machine: SimulatedTPM, leaf: str = "ek") -> Mapping[str, bytes]:
    return {
        "ek_certificate": machine.certificates[leaf].public_bytes(Encoding.DER),
        "ek_chain": machine.certificates["root"].public_bytes(Encoding.PEM),
    }


def started(machine: SimulatedTPM, keys: Mapping[str, bytes], **changes: object) -> AKEnrolment:
    arguments: dict[str, object] = {
        **keys,
        "endorsements": endorsements(machine),
        "anchors": [machine.root_digest],
        "now": NOW,
        "entropy": ENTROPY,
    }
    return AKEnrolment.start(**(arguments | changes))  # type: ignore[arg-type]


def test_an_enrolment_names_the_key_to_pin(
    machine: SimulatedTPM, keys: Mapping[str, bytes]
) -> None:
    """Its digest is the anchor; whose TPM it is in is told as well."""
    enrolment = started(machine, keys)
    with machine.running(machine.boot) as running:
        _, ek = running.machine.tpm.create_primary(ENDORSEMENT, EK_P256)
        answer = running.machine.tpm.activate_credential(
            running.ak, ek, enrolment.credential.id_object, enrolment.credential.encrypted_secret
        )
    enrolled = enrolment.finish(answer)

    assert enrolled.anchor == machine.ak_digest
    assert enrolled.ek_root == machine.root_digest
    assert enrolled.ek_issuer == "Accord simulated TPM maker"
    assert enrolled.ak_name == parse_public(keys["ak_public"]).name


def test_a_wrong_answer_enrols_nothing(machine: SimulatedTPM, keys: Mapping[str, bytes]) -> None:
    """Whoever did not find the secret does not hold the keys."""
    enrolment = started(machine, keys)

    for answer in (b"", bytes(32), enrolment.credential.id_object):
        with pytest.raises(CredentialRefusedError):
            enrolment.finish(answer)


def test_an_enrolment_hides_its_secret(machine: SimulatedTPM, keys: Mapping[str, bytes]) -> None:
    """It must not end in a log."""
    enrolment = started(machine, keys)

    assert enrolment._secret.hex() not in repr(enrolment)
    assert repr(enrolment._secret) not in repr(enrolment)


def test_an_unrestricted_key_is_not_enrolled(
    machine: SimulatedTPM, keys: Mapping[str, bytes]
) -> None:
    """It could sign a quote that somebody wrote by hand."""
    free = public_area(ec.generate_private_key(ec.SECP256R1()), 0x00040072)

    with pytest.raises(EnvironmentRefusedError, match="attestation key"):
        started(machine, keys, ak_public=free)


def test_an_unknown_maker_is_refused(machine: SimulatedTPM, keys: Mapping[str, bytes]) -> None:
    """The root is pinned by its bytes."""
    with pytest.raises(AnchorUnknownError):
        started(machine, keys, anchors=[sha256(b"another")])


def test_the_certificate_must_be_of_the_endorsement_key(
    machine: SimulatedTPM, keys: Mapping[str, bytes]
) -> None:
    """The certificate of another TPM of the same maker proves nothing of this one."""
    other = bytearray(keys["ek_public"])
    key = ec.generate_private_key(ec.SECP256R1())
    other[-68:] = public_area(key)[-68:]

    with pytest.raises(EvidenceMalformedError, match="it is of another key"):
        started(machine, keys, ek_public=bytes(other))


def test_the_certificate_must_be_for_endorsement(
    machine: SimulatedTPM, keys: Mapping[str, bytes]
) -> None:
    """An attestation key's certificate, or none, does not serve."""
    with pytest.raises(EvidenceMalformedError, match=r"its purpose is not 2\.23\.133\.8\.1"):
        started(machine, keys, endorsements=endorsements(machine, "ak"))
    with pytest.raises(EvidenceMalformedError, match="it is missing"):
        started(machine, keys, endorsements={})


def test_the_certificate_must_be_valid(machine: SimulatedTPM, keys: Mapping[str, bytes]) -> None:
    """At the moment of the enrolment."""
    with pytest.raises(EvidenceExpiredError):
        started(machine, keys, now=NOW + timedelta(days=4000))


def test_a_credential_is_never_made_twice(machine: SimulatedTPM, keys: Mapping[str, bytes]) -> None:
    """Fresh secrets, fresh seeds."""
    first, second = started(machine, keys), started(machine, keys)

    assert first.credential != second.credential
    assert replace(first, credential=second.credential)._secret != second._secret


def test_certificates_of_another_maker_enrol(tmp_path: Path) -> None:
    """A TPM that swtpm_setup certified, with what real EK certificates have: NV indices, a
    critical alternative name, an intermediate CA; RSA-2048 and P-384."""
    (tmp_path / "ca").mkdir()
    (tmp_path / "state").mkdir()
    ca = tmp_path / "ca"
    (tmp_path / "localca.conf").write_text(
        f"statedir = {ca}\nsigningkey = {ca}/signkey.pem\n"
        f"issuercert = {ca}/issuercert.pem\ncertserial = {ca}/certserial\n"
    )
    (tmp_path / "localca.options").write_text("--platform-manufacturer Accord\n")
    (tmp_path / "setup.conf").write_text(
        "create_certs_tool=/usr/bin/swtpm_localca\n"
        f"create_certs_tool_config={tmp_path}/localca.conf\n"
        f"create_certs_tool_options={tmp_path}/localca.options\n"
    )
    subprocess.run(
        [
            *("swtpm_setup", "--tpm2", "--create-ek-cert", "--tpmstate", str(tmp_path / "state")),
            *("--config", str(tmp_path / "setup.conf"), "--logfile", str(tmp_path / "log")),
        ],
        check=True,
    )
    chain = (ca / "issuercert.pem").read_bytes()
    chain += (ca / "swtpm-localca-rootca-cert.pem").read_bytes()
    anchors = [sha256(split_pem(chain, what="test")[-1])]
    with SoftwareTPM(tmp_path / "state") as machine:
        tpm = machine.tpm
        ak_public, ak = tpm.create_primary(ENDORSEMENT, AK_P256)
        for index, template in ((0x01C00002, EK_RSA2048), (0x01C00016, EK_P384)):
            ek_public, ek = tpm.create_primary(ENDORSEMENT, template)
            enrolment = AKEnrolment.start(
                ak_public=ak_public,
                ek_public=ek_public,
                endorsements={"ek_certificate": tpm.nv_read(index), "ek_chain": chain},
                anchors=anchors,
                now=datetime.now(UTC),
                entropy=ENTROPY,
            )
            credential = enrolment.credential
            answer = tpm.activate_credential(
                ak, ek, credential.id_object, credential.encrypted_secret
            )
            assert enrolment.finish(answer).ek_issuer == "swtpm-localca"
            tpm.flush(ek)
