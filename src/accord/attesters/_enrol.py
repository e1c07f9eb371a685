# SPDX-License-Identifier: Apache-2.0
"""The machine's side of enrolling an attestation key: shows its keys, activates a credential.

TCG EK Credential Profile 2.5, 2.2 (NV indices) and annex B (templates); TPM 2.0 Library, part
1, 24.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from accord.attesters._tpm import Connect, attestation_key, opened, read_certificate
from accord.attesters._tpm_commands import EK_P256, EK_P384, EK_RSA2048, ENDORSEMENT, TPM
from accord.errors import TPMCommandError
from accord.evidence.tpm import Credential


class EndorsementKey(StrEnum):
    """Which of the endorsement keys that a TPM can make from its seed."""

    P256 = "p256"
    P384 = "p384"
    RSA2048 = "rsa2048"


_TEMPLATES: Mapping[EndorsementKey, bytes] = MappingProxyType(
    {
        EndorsementKey.P256: EK_P256,
        EndorsementKey.P384: EK_P384,
        EndorsementKey.RSA2048: EK_RSA2048,
    }
)

EK_CERTIFICATES: Mapping[EndorsementKey, int] = MappingProxyType(
    {
        EndorsementKey.P256: 0x01C0000A,
        EndorsementKey.P384: 0x01C00016,
        EndorsementKey.RSA2048: 0x01C00002,
    }
)
"""NV index of the maker's certificate for each."""


@dataclass(frozen=True, slots=True)
class TPMKeys:
    """What a machine says of its TPM: nobody believes it yet.

    Both keys are TPMT_PUBLIC; ``ek_certificate`` is empty where the TPM holds none.
    """

    kind: EndorsementKey
    ak_public: bytes
    ek_public: bytes
    ek_certificate: bytes


def read_keys(
    connect: Connect = opened, *, kind: EndorsementKey | None = None, ak_handle: int | None = None
) -> TPMKeys:
    """The keys to enrol: by default the first endorsement key that has a certificate.

    Raises ``InterfaceMissingError``, ``InterfaceFailedError`` or ``TPMCommandError``.
    """
    with connect() as transmit:
        tpm = TPM(transmit)
        held = {item: _held(tpm, item) for item in ([kind] if kind else EndorsementKey)}
        chosen = next((item for item, data in held.items() if data), next(iter(held)))
        with (
            attestation_key(tpm, ak_handle) as (ak_public, _),
            _made(tpm, chosen) as (ek_public, _),
        ):
            return TPMKeys(chosen, ak_public, ek_public, held[chosen])


def answer(
    credential: Credential,
    connect: Connect = opened,
    *,
    kind: EndorsementKey,
    ak_handle: int | None = None,
) -> bytes:
    """The secret in ``credential``, which only the TPM of both keys finds.

    Raises ``InterfaceMissingError``, ``InterfaceFailedError`` or ``TPMCommandError``.
    """
    with connect() as transmit:
        tpm = TPM(transmit)
        with attestation_key(tpm, ak_handle) as (_, ak), _made(tpm, kind) as (_, ek):
            return tpm.activate_credential(
                ak, ek, credential.id_object, credential.encrypted_secret
            )


def _held(tpm: TPM, kind: EndorsementKey) -> bytes:
    """The maker's certificate, empty where the TPM has none."""
    try:
        return read_certificate(tpm, EK_CERTIFICATES[kind])
    except TPMCommandError:
        return b""


@contextmanager
def _made(tpm: TPM, kind: EndorsementKey) -> Iterator[tuple[bytes, int]]:
    """TPMT_PUBLIC and handle of an endorsement key, for as long as it is needed."""
    public, handle = tpm.create_primary(ENDORSEMENT, _TEMPLATES[kind])
    try:
        yield public, handle
    finally:
        tpm.flush(handle)
