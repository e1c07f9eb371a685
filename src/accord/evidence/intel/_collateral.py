# SPDX-License-Identifier: Apache-2.0
"""Intel's endorsements of one platform, as they travel: nothing verified."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

from accord.encoding import Fields, JSONValue, parse_json
from accord.errors import EvidenceMalformedError, MalformedError
from accord.evidence._evidence import refuse_unknown
from accord.evidence.intel._import import read_parts

MAX_FIELD = 256 << 10
"""Longest field in characters or bytes; vendors' revocation lists grow (7 KiB in 2026)."""

_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")
_SIGNATURE_BYTES = 64
_SIGNATURES = ("tcb_info_signature", "qe_identity_signature")
_WHAT = "Intel collateral"
_OPTIONAL = "pck_certificate_chain"
_MAY_BE_EMPTY = "pck_crl_issuer_chain"


def _hex(fields: Fields, name: str) -> bytes:
    text = fields.text(name, limit=MAX_FIELD)
    if not _HEX.fullmatch(text):
        raise MalformedError(what=fields.path(name), detail="expected hex digits")
    return bytes.fromhex(text)


def _signature(fields: Fields, name: str) -> bytes:
    value = _hex(fields, name)
    if len(value) != _SIGNATURE_BYTES:
        raise MalformedError(what=fields.path(name), detail=f"expected {_SIGNATURE_BYTES} bytes")
    return value


def _check_size(name: str, value: bytes) -> None:
    if len(value) > MAX_FIELD:
        raise EvidenceMalformedError(what=_WHAT, detail=f"{name} is larger than {MAX_FIELD} bytes")
    if name in _SIGNATURES and len(value) != _SIGNATURE_BYTES:
        raise EvidenceMalformedError(
            what=_WHAT, detail=f"{name} has {len(value)} bytes, not {_SIGNATURE_BYTES}"
        )


@dataclass(frozen=True, slots=True)
class Collateral:
    """The vendor's endorsements of one SGX or TDX platform (Intel PCS API v4), nothing verified.

    Field names are those of dcap-qvl's ``QuoteCollateralV3``. ``tcb_info`` and
    ``qe_identity`` are the exact strings that the vendor signed; chains are PEM; revocation
    lists are DER, or PEM. ``pck_certificate_chain`` is only needed, and only used, where the
    quote does not carry its chain; ``pck_crl_issuer_chain`` may be empty, since the issuer is in
    that chain too.
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
    pck_certificate_chain: str | None = None

    def to_endorsements(self) -> dict[str, bytes]:
        """As `Evidence.endorsements` carries it: raw bytes, and text in UTF-8."""
        values = {item.name: getattr(self, item.name) for item in fields(self)}
        return {
            name: value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
            for name, value in values.items()
            if value
        }

    @classmethod
    def from_endorsements(cls, endorsements: Mapping[str, bytes]) -> Collateral:
        """Reads the fields it needs; no signature is verified.

        Raises ``EvidenceMalformedError``.
        """
        refuse_unknown(_WHAT, endorsements, {item.name for item in fields(cls)})
        found: dict[str, str | bytes] = {}
        for item in fields(cls):
            value = endorsements.get(item.name)
            if value is None and item.name == _MAY_BE_EMPTY:
                value = b""
            if value is None:
                if item.name == _OPTIONAL:
                    continue
                raise EvidenceMalformedError(what=_WHAT, detail=f"{item.name} is missing")
            _check_size(item.name, value)
            if item.type == "bytes":
                found[item.name] = value
                continue
            if not value.isascii():  # PEM and the vendor's JSON are
                raise EvidenceMalformedError(what=_WHAT, detail=f"{item.name} is not ASCII")
            found[item.name] = value.decode("ascii")
        return cls(**found)  # type: ignore[arg-type]

    def to_json(self) -> JSONValue:
        """In the form that `from_bytes` reads, and dcap-qvl too."""
        return {
            item.name: value.hex() if isinstance(value, bytes) else value
            for item in fields(self)
            if (value := getattr(self, item.name)) is not None
        }

    @classmethod
    def from_fields(cls, fields: Fields) -> Collateral:
        """Reads and ends ``fields``; no signature is verified. Raises ``MalformedError``."""

        def text(name: str) -> str:
            value = fields.take(name)
            # PEM and the vendor's JSON are ASCII; half a surrogate pair is not.
            if not isinstance(value, str) or not value.isascii() or len(value) > MAX_FIELD:
                detail = f"expected at most {MAX_FIELD} characters of ASCII"
                raise MalformedError(what=fields.path(name), detail=detail)
            return value

        collateral = cls(
            pck_crl_issuer_chain=text("pck_crl_issuer_chain"),
            root_ca_crl=_hex(fields, "root_ca_crl"),
            pck_crl=_hex(fields, "pck_crl"),
            tcb_info_issuer_chain=text("tcb_info_issuer_chain"),
            tcb_info=text("tcb_info"),
            tcb_info_signature=_signature(fields, "tcb_info_signature"),
            qe_identity_issuer_chain=text("qe_identity_issuer_chain"),
            qe_identity=text("qe_identity"),
            qe_identity_signature=_signature(fields, "qe_identity_signature"),
            pck_certificate_chain=fields.optional(_OPTIONAL, text),
        )
        fields.end()
        return collateral

    @classmethod
    def from_bytes(cls, data: bytes) -> Collateral:
        """Reads the JSON of dcap-qvl's ``QuoteCollateralV3``; no signature is verified.

        Raises ``EncodingError``.
        """
        value = parse_json(data, what="collateral")
        if isinstance(value, dict) and value.get(_OPTIONAL, "") is None:
            del value[_OPTIONAL]  # that is how dcap-qvl writes that there is none
        return cls.from_fields(Fields(value, "collateral"))

    @classmethod
    def from_pcs_parts(cls, parts: Mapping[str, bytes]) -> Collateral:
        """Puts together what Intel's PCS, a PCCS or Intel's samples give as separate files.

        ``parts`` maps file names to contents; names only appear in errors, since each part
        tells what it is: TCB info and QE identity with the signature inside the JSON,
        revocation lists in DER, PEM or hex, certificates in PEM (also as the URL-encoded
        headers of PCS) or DER. The signed text is taken over byte for byte. No signature is
        verified. Raises ``EvidenceMalformedError``.
        """
        return cls(**read_parts(parts))
