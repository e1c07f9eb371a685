# SPDX-License-Identifier: Apache-2.0
"""What guests say in the Key Broker protocol (docs/reference/kbs.md), read strictly."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from accord.encoding import Fields, JSONValue, base64_decode, canonical_json
from accord.errors import KBSUnsupportedError, KBSVersionError, MalformedError
from accord.evidence import Evidence
from accord.policy import Family
from accord.service.kbs._jwe import GuestKey
from accord.service.kbs._snp import octets, write_report

OLD, NEW = "0.1.1", "0.4.0"
HASH = "sha384"
"""Of the runtime data, in the evidence: what guests use unless they are told otherwise."""

_FAMILIES = {family.value: family for family in (Family.TDX, Family.SGX, Family.SNP)}
_CERTIFICATES = {"VCEK": "vcek", "VLEK": "vlek", "ASK": "ask", "ARK": "ark"}
_HASHES = "supported-hash-algorithms"
_QUOTE_BYTES = 64 << 10
"""Largest quote that is read, in bytes: Intel's have 5 KiB."""

_NO_DEVICES = ("", "{}")


@dataclass(frozen=True, slots=True)
class Hello:
    """How a guest begins: which version it speaks, and in which TEE it says it runs."""

    version: str
    family: Family
    chooses: bool
    """Whether it asks for the hash that its evidence is to carry."""

    @classmethod
    def from_json(cls, value: JSONValue) -> Hello:
        """Raises ``MalformedError``, ``KBSVersionError`` or ``KBSUnsupportedError``."""
        fields = Fields(value, "request")
        version, tee = fields.text("version", limit=32), fields.text("tee", limit=32)
        extra = fields.take("extra-params") if fields.has("extra-params") else ""
        fields.end()
        if version not in (OLD, NEW):
            raise KBSVersionError(found=version, expected=f"{OLD} or {NEW}")
        if tee not in _FAMILIES:
            known = ", ".join(_FAMILIES)
            raise KBSUnsupportedError(what="evidence of", found=tee, expected=known)
        # Of what else a guest tells about itself, nothing is believed, or needed.
        hashes = extra.get(_HASHES) if isinstance(extra, dict) else None
        if hashes is not None and (not isinstance(hashes, list) or HASH not in hashes):
            raise KBSUnsupportedError(what="the hashes", found=str(hashes)[:100], expected=HASH)
        return cls(version, _FAMILIES[tee], hashes is not None)


@dataclass(frozen=True, slots=True)
class Attestation:
    """A guest's evidence, the nonce and key that it is about, and the bytes it is bound to."""

    nonce: str
    key: GuestKey
    evidence: Evidence
    runtime_data: bytes

    @classmethod
    def from_json(cls, value: JSONValue, hello: Hello, nonce: str) -> Attestation:
        """Reads what answers ``hello`` and ``nonce``; nothing of it is verified.

        A document of measured settings (``init-data``) is not looked at: policies name what
        the hardware measured. Raises ``MalformedError`` or ``KBSUnsupportedError``.
        """
        fields = Fields(value, "attestation")
        if fields.has("init-data"):
            fields.take("init-data")
        if hello.version == OLD:
            # This version does not repeat the nonce: the session says which it was.
            key = GuestKey.from_json(fields.take("tee-pubkey"))
            evidence = fields.take("tee-evidence")
            fields.end()
            bound: dict[str, JSONValue] = {"nonce": nonce, "tee-pubkey": key.document}
            return cls(nonce, key, read_evidence(hello.family, evidence), canonical_json(bound))
        runtime, composite = fields.object("runtime-data"), fields.object("tee-evidence")
        fields.end()
        answered = runtime.text("nonce", limit=128)
        key = GuestKey.from_json(runtime.take("tee-pubkey"))
        evidence = composite.take("primary_evidence")
        devices = composite.text("additional_evidence", limit=16)
        runtime.end()
        composite.end()
        if devices not in _NO_DEVICES:
            raise KBSUnsupportedError(what="evidence of", found="devices", expected="the machine's")
        bound = {"additional-evidence": devices, "nonce": answered, "tee-pubkey": key.document}
        return cls(answered, key, read_evidence(hello.family, evidence), canonical_json(bound))


def read_evidence(family: Family, value: JSONValue) -> Evidence:
    """Evidence as a guest's attester writes it; event logs are not taken over.

    Raises ``MalformedError``.
    """
    fields = Fields(value, "evidence")
    if family is not Family.SNP:
        text = fields.take("quote")
        if not isinstance(text, str) or len(text) > _QUOTE_BYTES * 4 // 3 + 4:
            raise MalformedError(what="evidence.quote", detail="expected base64 of a quote")
        return Evidence(family, base64_decode(text, what="evidence.quote"))
    report = write_report(fields.take("attestation_report"))
    listed = fields.take("cert_chain") if fields.has("cert_chain") else None
    named: dict[str, bytes] = {}
    for item in Fields({"chain": listed or []}, "evidence").objects("chain", limit=16):
        kind, data = item.take("cert_type"), octets(item.take("data"), "evidence.cert_chain")
        if isinstance(kind, str) and kind in _CERTIFICATES:
            named[_CERTIFICATES[kind]] = data
    return Evidence(family, report, MappingProxyType(named))
