# SPDX-License-Identifier: Apache-2.0
"""Evidence as people have it: raw, in hex or base64, as our document, or inside a verdict."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import click

from accord.collateral import MAX_VERDICT_BYTES, Verdict
from accord.encoding import Fields, canonical_json, parse_json
from accord.errors import EvidenceMalformedError, FamilyUnclearError, TooLargeError
from accord.evidence import Evidence
from accord.evidence.amd import split_extended_report
from accord.evidence.nvidia import import_devices
from accord.evidence.tpm import import_go_attestation, import_host_manifest, import_trust_agent
from accord.policy import Family

MAX_RAW_BYTES = 1 << 20
"""Largest report that is read raw: its text form is at most twice as long."""

_HEX = re.compile(rb"(?:[0-9A-Fa-f]{2})+")
_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]+|[A-Za-z0-9_-]+)={0,2}")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_SNP_BYTES, _KEYSTONE_BYTES = 1184, 1352
_SNP_VERSIONS = range(2, 6)
_TEE_TYPES = {0: Family.SGX, 0x81: Family.TDX}
_QUOTE_VERSIONS = (3, 4, 5)
_KEY_TYPES = {b"\x02\0", b"\x03\0"}  # ECDSA on P-256 and P-384
_PREFIXES: Mapping[tuple[bytes, ...], Family] = {
    (b"HCLA",): Family.AZURE,
    (b"\x11\xe0",): Family.NVIDIA,  # SPDM 1.1 GET_MEASUREMENTS (DSP0274, 10.11)
    (b"\xd9\x01\x8f", b"\xd9\x03\x8b"): Family.CCA,  # CBOR tags 399 and 907
    (b"\x84\x44", b"\x84\x40", b"\xd2\x84", b"\xd8\x3d\xd2\x84"): Family.PSA,
}
_NITRO_MODULE = b"\x69module_id"
_TRUST_AGENT = b"<tpm_quote_response"
"""How the XML of Intel's trust agent begins."""

_TPM_MAGIC = b"\xffTCG"

_OF_TPM = ("pcrs", "event_log", "ima_log", "ima_keys")
_OF_KEY = ("ak_public", "ak_spki", *_OF_TPM)
ATTACHMENTS: Mapping[Family, tuple[str, ...]] = MappingProxyType(
    {
        Family.TDX: ("ccel", "ccel_table"),
        Family.TPM: _OF_KEY,
        Family.TXT: (*_OF_KEY, "txt_log"),
        Family.AZURE: ("td_quote", "tpm_quote", *_OF_TPM),
    }
)
"""What goes with ``--aux``; other families have no attachments."""

_QUOTE = "quote"
"""With ``--aux`` the quote for registers that a host manifest lists without one."""


@dataclass(frozen=True, slots=True)
class EvidenceFile:
    """Evidence that was read, and the verdict that it was stored in, if it was."""

    evidence: Evidence
    verdict: Verdict | None = None


def read_evidence(
    data: bytes,
    *,
    family: Family | None,
    aux: Mapping[str, bytes],
    what: str,
    index: int | None = None,
) -> EvidenceFile:
    """The evidence in a file; ``aux`` is added to what it brings itself.

    ``index`` chooses from a list. Raises ``FamilyUnclearError``, ``EncodingError``,
    ``EvidenceMalformedError``, or ``click.BadParameter`` for an attachment of no use.
    """
    found = _document(data, what, aux, index)
    if found is None:
        found = EvidenceFile(_raw(_octets(data), family, what))
    evidence = found.evidence
    if family is not None and evidence.family is not family:
        raise FamilyUnclearError(what=what, detail=f"it says that it is {evidence.family}")
    aux = {name: item for name, item in aux.items() if name != _QUOTE or not _is_manifest(data)}
    known = ATTACHMENTS.get(evidence.family, ())
    for name in sorted(aux.keys() - set(known)):
        listed = f"it has {', '.join(known)}" if known else "it has none"
        message = f"{evidence.family} evidence has no attachment {name!r}; {listed}"
        raise click.BadParameter(message, param_hint="--aux")
    if not aux:
        return found
    return replace(found, evidence=replace(evidence, aux=_joined(evidence.aux, aux)))


def _joined(first: Mapping[str, bytes], second: Mapping[str, bytes]) -> Mapping[str, bytes]:
    return MappingProxyType({**first, **second})


def _is_manifest(data: bytes) -> bool:
    return data[:64].lstrip()[:1] == b"{" and b'"pcr_manifest"' in data


def _document(
    data: bytes, what: str, aux: Mapping[str, bytes], index: int | None
) -> EvidenceFile | None:
    """Our own documents, canonical or as an editor left them, and those of others we know."""
    if data[:1024].lstrip().startswith(_TRUST_AGENT):
        return EvidenceFile(import_trust_agent(data))
    if data[:64].lstrip()[:1] not in {b"{", b"["}:
        return None
    value = parse_json(data, what=what, limit=MAX_VERDICT_BYTES)
    if isinstance(value, dict) and value.get("schema") == Verdict.SCHEMA:
        verdict = Verdict.from_bytes(canonical_json(value))
        return EvidenceFile(verdict.evidence, verdict)
    match value:
        case {"schema": Evidence.SCHEMA}:
            found = Evidence.from_fields(Fields(value, "evidence"))
        case {"AK": dict(), "Quote": dict()}:
            found = import_go_attestation(data)
        case {"pcr_manifest": dict(), "aik_certificate": str()}:
            found = import_host_manifest(data, quote=aux.get(_QUOTE))
        case [{"evidence": str(), "certificate": str()}, *_]:
            found = _chosen(import_devices(data), index, what)
        case _:
            detail = "it is JSON, but no evidence that is known"
            raise EvidenceMalformedError(what=what, detail=detail)
    return EvidenceFile(found)


def _chosen(devices: Sequence[Evidence], index: int | None, what: str) -> Evidence:
    """One of several devices: each is verified by itself."""
    if index is None and len(devices) > 1:
        detail = f"it lists {len(devices)} devices; choose with --index 0 to {len(devices) - 1}"
        raise FamilyUnclearError(what=what, detail=detail)
    if (index or 0) >= len(devices):
        message = f"{what} lists {len(devices)} devices"
        raise click.BadParameter(message, param_hint="--index")
    return devices[index or 0]


def _octets(data: bytes) -> bytes:
    """What ``data`` spells, if it is text, or ``data``."""
    packed = b"".join(data.split())
    if _HEX.fullmatch(packed):
        return bytes.fromhex(packed.decode())
    if _BASE64.fullmatch(packed):
        digits = packed.rstrip(b"=").translate(_URL_SAFE)
        try:
            return base64.b64decode(digits + b"=" * (-len(digits) % 4), validate=True)
        except binascii.Error:
            return data
    return data


def _raw(data: bytes, family: Family | None, what: str) -> Evidence:
    if len(data) > MAX_RAW_BYTES:
        raise TooLargeError(what=what, limit=MAX_RAW_BYTES)
    family = family or detect_family(data, what=what)
    if family is Family.SNP and len(data) > _SNP_BYTES:
        blob, endorsements = split_extended_report(data)
        return Evidence(family, blob, endorsements)
    return Evidence(family, data)


def detect_family(data: bytes, *, what: str) -> Family:
    """The family of a raw report, by its first bytes and its size.

    Raises ``EvidenceMalformedError`` where they fit none, ``FamilyUnclearError`` where more
    than one.
    """
    if data[2:6] == _TPM_MAGIC:
        raise FamilyUnclearError(what=what, detail="a TPM quote, of tpm or txt")
    for prefixes, family in _PREFIXES.items():
        if data.startswith(prefixes):
            # COSE_Sign1 both: only a Nitro document names its module.
            other = family is Family.PSA and _NITRO_MODULE in data
            return Family.NITRO if other else family
    version, tee = int.from_bytes(data[:2], "little"), int.from_bytes(data[4:8], "little")
    if version in _QUOTE_VERSIONS and data[2:4] in _KEY_TYPES and tee in _TEE_TYPES:
        return _TEE_TYPES[tee]
    if len(data) >= _SNP_BYTES and int.from_bytes(data[:4], "little") in _SNP_VERSIONS:
        return Family.SNP
    if len(data) == _KEYSTONE_BYTES:
        return Family.KEYSTONE
    raise EvidenceMalformedError(
        what=what, detail="its first bytes are of no known report; --family names the TEE"
    )
