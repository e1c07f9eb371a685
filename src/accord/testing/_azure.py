# SPDX-License-Identifier: Apache-2.0
"""A simulated Azure confidential VM: simulated hardware, and a software TPM that it vouches for."""

from __future__ import annotations

import hashlib
import json
import struct
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast

from cryptography.hazmat.primitives.asymmetric import rsa

from accord.encoding import Digest, JSONValue
from accord.evidence import Evidence
from accord.evidence.intel import parse_tdx
from accord.evidence.tpm import parse_public
from accord.policy import Family
from accord.testing._platform import SimulatedTDX
from accord.testing._snp import SimulatedSNP
from accord.testing._tpm import QUOTED, Selection, SimulatedTPM
from accord.testing._tpm_boot import SimulatedBoot

_SNP_FOLDER, _TPM_FOLDER = "snp", "tpm"
_HARDWARE_BYTES = 1184
_REPORT_DATA_BYTES = 64
_KINDS: Mapping[Family, int] = MappingProxyType({Family.SNP: 2, Family.TDX: 4})

NV_INDEX_BYTES: Final = 2600
"""What a guest reads: the report, and zeros up to the size of the index."""

SETTINGS: Final[Mapping[str, JSONValue]] = MappingProxyType(
    {
        "console-enabled": True,
        "root-cert-thumbprint": "",
        "secure-boot": True,
        "tpm-enabled": True,
        "tpm-persisted": False,
        "vmUniqueId": "00000000-0000-4000-8000-000000000000",
    }
)
"""What the paravisor of an ordinary VM says of it."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, repr=False)
class SimulatedAzure:
    """Stands for a machine of Azure: whoever holds its folder can forge its evidence.

    Hardware and vTPM are the simulators of SEV-SNP and of TPMs; the paravisor is this class.
    """

    snp: SimulatedSNP
    tpm: SimulatedTPM

    @classmethod
    def create(cls, home: Path, *, now: datetime | None = None) -> SimulatedAzure:
        """A new machine in ``home``, or the one that is there; a new one takes seconds (RSA).

        Raises ``SimulatedTPMMissingError`` or ``SimulatorStateError``.
        """
        return cls(
            SimulatedSNP.create(home / _SNP_FOLDER, now=now),
            SimulatedTPM.create(home / _TPM_FOLDER, kind="rsa2048", now=now),
        )

    @classmethod
    def load(cls, home: Path, *, now: datetime | None = None) -> SimulatedAzure:
        """The machine in ``home``. Raises ``SimulatorStateError`` or ``IdentityExposedError``."""
        return cls(
            SimulatedSNP.load(home / _SNP_FOLDER, now=now), SimulatedTPM.load(home / _TPM_FOLDER)
        )

    @property
    def anchors(self) -> tuple[Digest, ...]:
        """The roots of its hardware, to be pinned; its TPM needs none."""
        return self.snp.anchors

    @property
    def root_digest(self) -> Digest:
        """The root that evidence comes from unless told otherwise."""
        return self.snp.root_digest

    def collect(
        self,
        report_data: bytes,
        *,
        boot: SimulatedBoot | None = None,
        selection: Selection = QUOTED,
        settings: Mapping[str, JSONValue] = SETTINGS,
        user_data: bytes | None = None,
        tdx: SimulatedTDX | None = None,
        **hardware: Any,
    ) -> Evidence:
        """Evidence of a fresh start of ``boot``, bound to ``report_data``.

        ``user_data`` is what a guest wrote instead of ``report_data``; empty where it wrote
        nothing. ``hardware`` goes to `SimulatedSNP.collect`, or to that of ``tdx``, which then
        is the hardware.
        """
        with self.tpm.running(boot or self.tpm.boot) as machine:
            quote = machine.evidence(
                Family.AZURE, report_data, selection=selection, endorsements=_NOTHING
            )
            ak_public = machine.ak_public
        written = report_data if user_data is None else user_data
        runtime = _runtime_data(ak_public, settings, written)
        bound = hashlib.sha256(runtime).digest().ljust(_REPORT_DATA_BYTES, b"\0")
        aux = {name: data for name, data in quote.aux.items() if name != "ak_public"}
        aux["tpm_quote"] = quote.blob
        if tdx is None:
            evidence = self.snp.collect(bound, **hardware)
            report = evidence.blob
        else:
            evidence = tdx.collect(bound, **hardware)
            report, aux["td_quote"] = write_td_report(evidence), evidence.blob
        blob = write_hcl_report(evidence.family, report, runtime)
        return Evidence(Family.AZURE, blob, evidence.endorsements, MappingProxyType(aux))


def write_hcl_report(hardware: Family, report: bytes, runtime: bytes) -> bytes:
    """What is in NV index 0x01400001 (docs/spec/evidence/azure.md, 2)."""
    data = struct.pack("<IIIII", 20 + len(runtime), 1, _KINDS[hardware], 1, len(runtime)) + runtime
    body = report.ljust(_HARDWARE_BYTES, b"\0") + data
    header = b"HCLA" + struct.pack("<IIII", 2, 32 + len(body), 2, 0) + bytes(12)
    return (header + body).ljust(NV_INDEX_BYTES, b"\0")


def _runtime_data(ak_public: bytes, settings: Mapping[str, JSONValue], user_data: bytes) -> bytes:
    numbers = cast("rsa.RSAPublicKey", parse_public(ak_public).key).public_numbers()
    document = {
        "keys": [
            {
                "kid": "HCLAkPub",
                "key_ops": ["sign"],
                "kty": "RSA",
                "e": _base64url(numbers.e),
                "n": _base64url(numbers.n),
            }
        ],
        "vm-configuration": dict(settings),
        "user-data": user_data.ljust(_REPORT_DATA_BYTES, b"\0").hex().upper(),
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _base64url(number: int) -> str:
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def write_td_report(evidence: Evidence) -> bytes:
    """The TDREPORT that a TD quote was made from; its MAC is zeros, which nobody can check."""
    report = parse_tdx(evidence).report
    fields: dict[str, Any] = {name: getattr(report, name) for name in report.__slots__}
    tcb: bytes = bytes(8) + fields["tee_tcb_svn"] + fields["mrseam"] + fields["mrsignerseam"]
    info: bytes = fields["td_attributes"].to_bytes(8, "little") + fields["xfam"]
    info += b"".join(fields[name] for name in ("mrtd", "mrconfigid", "mrowner", "mrownerconfig"))
    info += b"".join(fields["rtmrs"])
    parts = tcb.ljust(239, b"\0"), info.ljust(512, b"\0")
    hashes = b"".join(hashlib.sha384(part).digest() for part in parts)
    mac: bytes = b"\x81".ljust(32, b"\0") + hashes + fields["report_data"] + bytes(64)
    return mac + parts[0] + bytes(17) + parts[1]
