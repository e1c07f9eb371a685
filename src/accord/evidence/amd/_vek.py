# SPDX-License-Identifier: Apache-2.0
"""What a VCEK or VLEK certificate says of its key: AMD's certificate extensions (57230, 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec

from accord.errors import ChainInvalidError, EvidenceMalformedError
from accord.evidence._certificate import Certificate
from accord.evidence._der import INTEGER, OCTET_STRING, elements
from accord.evidence.amd._product import Product, product_of_name, spl_numbers, tcb_names

_ARC = "1.3.6.1.4.1.3704.1."
_PRODUCT_NAME, _SPL, _HWID, _CSP_ID = _ARC + "2", _ARC + "3.", _ARC + "4", _ARC + "5"
_TEXTS = {0x0C: "utf-8", 0x13: "ascii", 0x16: "ascii"}  # UTF8String, PrintableString, IA5String
_MAX_SPL = 255
_CHIP_ID_BYTES = 64
_HWID_SIZES = {Product.MILAN: 64, Product.GENOA: 64, Product.TURIN: 8}


@dataclass(frozen=True, slots=True)
class VEK:
    """A versioned endorsement key: of one chip (VCEK) or of one cloud provider (VLEK).

    ``tcb`` is the TCB version it was derived for, laid out as in reports. ``chip_id`` is
    padded with zeros to the 64 bytes of a report's CHIP_ID, and empty for a VLEK, which
    alone has a ``csp_id``.
    """

    key: ec.EllipticCurvePublicKey
    product: Product
    tcb: bytes
    chip_id: bytes
    csp_id: str


def read_vek(chain: tuple[Certificate, ...], *, loaded: bool) -> VEK:
    """What the first of ``chain`` certifies; the chain is verified already.

    ``loaded`` says whether it must be a VLEK or a VCEK, which the names of all three tell:
    below a pinned root they mean what AMD says.

    Raises ``ChainInvalidError`` or ``EvidenceMalformedError``.
    """
    leaf, authority, root = chain
    product = product_of_name(root.what.removeprefix("ARK-"))
    if product is None:
        raise ChainInvalidError(what=leaf.what, detail=f"{root.what} is no known product's root")
    kind, line = ("SEV-VLEK", "SEV-VLEK-") if loaded else ("SEV-VCEK", "SEV-")
    expected = [kind, f"{line}{product}", f"ARK-{product}"]
    if [item.what for item in chain] != expected:
        found = ", ".join(item.what for item in chain)
        raise ChainInvalidError(what=kind, detail=f"found {found}, expected {', '.join(expected)}")
    if leaf.is_ca or not isinstance(leaf.key, ec.EllipticCurvePublicKey):
        raise ChainInvalidError(what=kind, detail="its key is no P-384 key for reports")
    if not isinstance(leaf.key.curve, ec.SECP384R1):
        raise ChainInvalidError(what=kind, detail=f"its key is on {leaf.key.curve.name}, not P-384")
    name = _text(leaf, _PRODUCT_NAME)
    if product_of_name(name) is not product:
        raise ChainInvalidError(what=kind, detail=f"{authority.what} certifies a key of {name}")
    return VEK(
        key=leaf.key,
        product=product,
        tcb=_tcb(leaf, product),
        chip_id=b"" if loaded else _chip_id(leaf, product),
        csp_id=_text(leaf, _CSP_ID) if loaded else "",
    )


def _value(leaf: Certificate, oid: str) -> bytes:
    try:
        return leaf.extensions[oid]
    except KeyError as exc:
        raise EvidenceMalformedError(what=leaf.what, detail=f"extension {oid} is missing") from exc


def _text(leaf: Certificate, oid: str) -> str:
    parts = elements(_value(leaf, oid), what=leaf.what)
    if len(parts) == 1 and parts[0].tag in _TEXTS:
        try:
            return parts[0].value.decode(_TEXTS[parts[0].tag])
        except UnicodeDecodeError:
            pass  # refused below
    raise EvidenceMalformedError(what=leaf.what, detail=f"extension {oid} is no text")


def _tcb(leaf: Certificate, product: Product) -> bytes:
    """The TCB version; a component that reports reserve may be left out, and then is zero."""
    named = tcb_names(product)
    return bytes(
        _spl(leaf, f"{_SPL}{number}", required=at in named)
        for at, number in enumerate(spl_numbers(product))
    )


def _spl(leaf: Certificate, oid: str, *, required: bool) -> int:
    if not required and oid not in leaf.extensions:
        return 0
    parts = elements(_value(leaf, oid), what=leaf.what)
    if len(parts) == 1 and parts[0].tag == INTEGER and parts[0].value:
        number = int.from_bytes(parts[0].value, "big", signed=True)
        if 0 <= number <= _MAX_SPL:
            return number
    raise EvidenceMalformedError(what=leaf.what, detail=f"extension {oid} is no patch level")


def _chip_id(leaf: Certificate, product: Product) -> bytes:
    """HWID as it stands, or in an OCTET STRING: AMD issues both spellings."""
    value, size = _value(leaf, _HWID), _HWID_SIZES[product]
    if value[:2] == bytes((OCTET_STRING, size)) and len(value) == size + 2:
        value = value[2:]
    if len(value) != size:
        raise EvidenceMalformedError(
            what=leaf.what, detail=f"a HWID of {len(value)} bytes, expected {size}"
        )
    return value.ljust(_CHIP_ID_BYTES, b"\0")
