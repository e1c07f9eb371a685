# SPDX-License-Identifier: Apache-2.0
"""Evidence as it travels: the hardware's own bytes and the vendor's collateral, unverified."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from accord.encoding import (
    Digest,
    Fields,
    JSONValue,
    base64_encode,
    canonical_json,
    parse_canonical_json,
    sha256,
)
from accord.errors import MalformedError
from accord.policy import Family

MAX_QUOTE_BYTES = 16 << 10
"""Largest quote: twice the largest recorded one, whose platform pads to 8000 bytes."""

MAX_COLLATERAL_FIELD = 256 << 10
"""Longest collateral field in characters; vendors' revocation lists grow (7 KiB in 2026)."""

MAX_EVIDENCE_BYTES = 1 << 20
"""Largest document of evidence that is parsed."""

_HEX = re.compile(r"(?:[0-9a-f]{2})+")
_SIGNATURE_BYTES = 64


def _hex(fields: Fields, name: str) -> bytes:
    text = fields.text(name, limit=MAX_COLLATERAL_FIELD)
    if not _HEX.fullmatch(text):
        raise MalformedError(what=fields.path(name), detail="expected lower-case hex digits")
    return bytes.fromhex(text)


@dataclass(frozen=True, slots=True)
class Collateral:
    """The vendor's endorsements of one TDX platform (Intel PCS API v4), nothing verified.

    Field names are those of dcap-qvl's ``QuoteCollateralV3``. ``tcb_info`` and
    ``qe_identity`` are the exact strings that the vendor signed; chains are PEM.
    """

    pck_crl_issuer_chain: str
    root_ca_crl: bytes
    pck_crl: bytes
    tcb_info_issuer_chain: str
    tcb_info: str
    tcb_info_signature: bytes
    qe_identity_issuer_chain: str
    qe_identity: str
    qe_identity_signature: bytes

    def to_json(self) -> JSONValue:
        return {
            "pck_crl_issuer_chain": self.pck_crl_issuer_chain,
            "root_ca_crl": self.root_ca_crl.hex(),
            "pck_crl": self.pck_crl.hex(),
            "tcb_info_issuer_chain": self.tcb_info_issuer_chain,
            "tcb_info": self.tcb_info,
            "tcb_info_signature": self.tcb_info_signature.hex(),
            "qe_identity_issuer_chain": self.qe_identity_issuer_chain,
            "qe_identity": self.qe_identity,
            "qe_identity_signature": self.qe_identity_signature.hex(),
        }

    @classmethod
    def from_fields(cls, fields: Fields) -> Collateral:
        """Reads and ends ``fields``; no signature is verified. Raises ``MalformedError``."""

        def text(name: str) -> str:
            value = fields.text(name, limit=MAX_COLLATERAL_FIELD)
            if not value.isascii():  # PEM and the vendor's JSON are; half a surrogate pair is not
                raise MalformedError(what=fields.path(name), detail="expected ASCII")
            return value

        collateral = cls(
            pck_crl_issuer_chain=text("pck_crl_issuer_chain"),
            root_ca_crl=_hex(fields, "root_ca_crl"),
            pck_crl=_hex(fields, "pck_crl"),
            tcb_info_issuer_chain=text("tcb_info_issuer_chain"),
            tcb_info=text("tcb_info"),
            tcb_info_signature=fields.hex("tcb_info_signature", size=_SIGNATURE_BYTES),
            qe_identity_issuer_chain=text("qe_identity_issuer_chain"),
            qe_identity=text("qe_identity"),
            qe_identity_signature=fields.hex("qe_identity_signature", size=_SIGNATURE_BYTES),
        )
        fields.end()
        return collateral


@dataclass(frozen=True)
class Evidence:
    """Evidence of one environment, nothing verified: `accord.evidence.verify` does that."""

    SCHEMA: ClassVar[str] = "accord.evidence.v1"

    family: Family
    blob: bytes
    collateral: Collateral

    @property
    def digest(self) -> Digest:
        """A storage address, never an identity: quotes are malleable (ECDSA, padding)."""
        return sha256(self.to_bytes())

    def to_json(self) -> JSONValue:
        return {
            "schema": self.SCHEMA,
            "family": self.family.value,
            "blob": base64_encode(self.blob),
            "collateral": self.collateral.to_json(),
        }

    def to_bytes(self) -> bytes:
        return self._encoded

    @cached_property
    def _encoded(self) -> bytes:
        return canonical_json(self.to_json())

    @classmethod
    def from_fields(cls, fields: Fields) -> Evidence:
        """Reads and ends ``fields``; nothing is verified.

        Raises ``MalformedError`` or ``UnsupportedFormatError``.
        """
        fields.schema(cls.SCHEMA)
        evidence = cls(
            family=fields.choice("family", Family),
            blob=fields.data("blob", limit=MAX_QUOTE_BYTES),
            collateral=Collateral.from_fields(fields.object("collateral")),
        )
        fields.end()
        return evidence

    @classmethod
    def from_bytes(cls, data: bytes) -> Evidence:
        """Reads evidence in canonical form; nothing is verified.

        Raises ``TooLargeError``, ``MalformedError``, ``NotCanonicalError`` or
        ``UnsupportedFormatError``.
        """
        value = parse_canonical_json(data, what="evidence", limit=MAX_EVIDENCE_BYTES)
        return cls.from_fields(Fields(value, "evidence"))
