# SPDX-License-Identifier: Apache-2.0
"""AMD's certificates beside a report: by name, or in the table of an extended report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from uuid import UUID

from accord.errors import ChainInvalidError, EvidenceMalformedError
from accord.evidence._certificate import Certificate, common_name, load_certificates
from accord.evidence._evidence import refuse_unknown
from accord.evidence._reader import Reader
from accord.evidence.amd._report import REPORT_BYTES, WHAT

KEYS = ("vcek", "vlek")
"""Names of endorsements that hold a key's certificate, with or without those above it."""

AUTHORITIES = ("ask", "asvk", "ark", "cert_chain")
"""Names of endorsements that hold certificates of AMD's authorities, in any order."""

REVOCATIONS = "crl"
"""The name of the endorsement that holds the root's revocation list (DER)."""

_TABLE = "certificate table"
_ENTRY_BYTES = 24
_MAX_ENTRIES = 32
_MAX_CERTIFICATES = 8

MAX_ENDORSEMENT_BYTES = 256 << 10
"""Largest file: AMD's chain in PEM has 5 KiB, its list 1 KiB."""

# 56421 (GHCB), 4.1.8.1, and for the list the GUID that the Linux tools use.
_GUIDS = {
    "63da758d-e664-4564-adc5-f4b93be8accd": "vcek",
    "a8074bc2-a25a-483e-aae6-39c045a0b8a1": "vlek",
    "4ab7b379-bbac-4fe4-a02f-05aef327c782": "ask",
    "c0b406a4-a803-4952-9743-3fb6014cd0ae": "ark",
    "92f81bc3-5811-4d3d-97ff-d19f88dc67ea": "crl",
}
# Hosts write GUIDs as RFC 9562 does, or with the first three fields little-endian.
_NAMES = {
    form: name for text, name in _GUIDS.items() for form in (UUID(text).bytes, UUID(text).bytes_le)
}


def split_extended_report(data: bytes) -> tuple[bytes, Mapping[str, bytes]]:
    """A report, and the endorsements in the certificate table that may follow it.

    Nothing of either is verified. Raises ``EvidenceMalformedError``.
    """
    if len(data) < REPORT_BYTES:
        raise EvidenceMalformedError(
            what=WHAT, detail=f"{len(data)} bytes, expected at least {REPORT_BYTES}"
        )
    return data[:REPORT_BYTES], read_certificate_table(data[REPORT_BYTES:])


def read_certificate_table(table: bytes) -> Mapping[str, bytes]:
    """The endorsements in a host's certificate table (SNP_GET_EXT_REPORT, configfs auxblob).

    Entries of GUIDs that stand for no endorsement are left out: hosts add their own. Raises
    ``EvidenceMalformedError``.
    """
    found: dict[str, bytes] = {}
    reader = Reader(table, _TABLE)
    for _ in range(_MAX_ENTRIES):
        if not reader.left:
            break  # no table at all
        guid, at, size = reader.take(16), reader.number(4), reader.number(4)
        if not any(guid):
            break
        if at + size > len(table):
            raise EvidenceMalformedError(what=_TABLE, detail="an entry reaches beyond its end")
        name = _NAMES.get(guid)
        if name is None or not size:
            continue
        if name in found:
            raise EvidenceMalformedError(what=_TABLE, detail=f"{name} appears twice")
        found[name] = table[at : at + size]
    else:
        raise EvidenceMalformedError(what=_TABLE, detail=f"more than {_MAX_ENTRIES} entries")
    return MappingProxyType(found)


def write_certificate_table(endorsements: Mapping[str, bytes]) -> bytes:
    """The table that `read_certificate_table` reads; names without a GUID are left out."""
    guids = {name: UUID(text).bytes for text, name in _GUIDS.items()}
    written = {name: data for name, data in endorsements.items() if name in guids}
    at, entries = _ENTRY_BYTES * (len(written) + 1), b""
    for name, data in written.items():
        entries += guids[name] + at.to_bytes(4, "little") + len(data).to_bytes(4, "little")
        at += len(data)
    return entries + bytes(_ENTRY_BYTES) + b"".join(written.values())


@dataclass(frozen=True, slots=True)
class Endorsements:
    """Parsed certificates; no signature is verified."""

    keys: Mapping[str, Certificate]
    authorities: tuple[Certificate, ...]
    revocations: bytes | None

    def chain(self, name: str) -> tuple[Certificate, ...]:
        """The key's certificate, its issuer's and the root's, joined by their names alone.

        Raises ``ChainInvalidError``.
        """
        if name not in self.keys:
            raise ChainInvalidError(what=name, detail="there is no such endorsement")
        leaf = self.keys[name]
        authority = self._issuer(leaf)
        return leaf, authority, self._issuer(authority)

    def _issuer(self, certificate: Certificate) -> Certificate:
        for candidate in self.authorities:
            if candidate.subject == certificate.issuer:
                return candidate
        issuer = common_name(certificate.issuer, certificate.what)
        raise ChainInvalidError(
            what=certificate.what, detail=f"no certificate of its issuer {issuer} comes with it"
        )


def read_endorsements(given: Mapping[str, bytes]) -> Endorsements:
    """The certificates in ``given``, each in DER or PEM.

    Raises ``EvidenceMalformedError``, also for a name that is none of ours: a misspelt list
    of revocations would revoke nothing.
    """
    refuse_unknown("endorsements", given, {*KEYS, *AUTHORITIES, REVOCATIONS})
    for name, data in given.items():
        if len(data) > MAX_ENDORSEMENT_BYTES:
            raise EvidenceMalformedError(
                what=name, detail=f"larger than {MAX_ENDORSEMENT_BYTES} bytes"
            )
    keys: dict[str, Certificate] = {}
    authorities: list[Certificate] = []
    for name in (*KEYS, *AUTHORITIES):
        if name not in given:
            continue
        found = load_certificates(given[name], what=name, most=_MAX_CERTIFICATES)
        if name in KEYS:
            keys[name], found = found[0], found[1:]
        authorities += found
    return Endorsements(MappingProxyType(keys), tuple(authorities), given.get(REVOCATIONS))
