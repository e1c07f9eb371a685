# SPDX-License-Identifier: Apache-2.0
"""Intel's endorsements of one platform, as they travel: nothing verified."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

from accord.encoding import Fields, JSONValue, parse_json
from accord.errors import EvidenceMalformedError, MalformedError

MAX_FIELD = 256 << 10
"""Longest field in characters; vendors' revocation lists grow (7 KiB in 2026)."""

_HEX = re.compile(r"(?:[0-9a-f]{2})+")
_SIGNATURE_BYTES = 64
_WHAT = "Intel collateral"


def _hex(fields: Fields, name: str) -> bytes:
    text = fields.text(name, limit=MAX_FIELD)
    if not _HEX.fullmatch(text):
        raise MalformedError(what=fields.path(name), detail="expected lower-case hex digits")
    return bytes.fromhex(text)


@dataclass(frozen=True, slots=True)
class Collateral:
    """The vendor's endorsements of one SGX or TDX platform (Intel PCS API v4), nothing verified.

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

    def to_endorsements(self) -> dict[str, bytes]:
        """As `Evidence.endorsements` carries it: raw bytes, and text in UTF-8."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {
            name: value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
            for name, value in values.items()
        }

    @classmethod
    def from_endorsements(cls, endorsements: Mapping[str, bytes]) -> Collateral:
        """Reads the fields it needs; no signature is verified.

        Raises ``EvidenceMalformedError``.
        """
        found: dict[str, str | bytes] = {}
        for item in fields(cls):
            value = endorsements.get(item.name)
            if value is None:
                raise EvidenceMalformedError(what=_WHAT, detail=f"{item.name} is missing")
            if item.type == "str" and not value.isascii():  # PEM and the vendor's JSON are
                raise EvidenceMalformedError(what=_WHAT, detail=f"{item.name} is not ASCII")
            found[item.name] = value.decode("ascii") if item.type == "str" else value
        return cls(**found)  # type: ignore[arg-type]

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
            value = fields.text(name, limit=MAX_FIELD)
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

    @classmethod
    def from_bytes(cls, data: bytes) -> Collateral:
        """Reads the JSON of dcap-qvl's ``QuoteCollateralV3``; no signature is verified.

        Its optional ``pck_certificate_chain`` is ignored: the quote carries its own.
        Raises ``EncodingError``.
        """
        read = Fields(parse_json(data, what="collateral"), "collateral")
        if read.has("pck_certificate_chain"):
            read.take("pck_certificate_chain")
        return cls.from_fields(read)
