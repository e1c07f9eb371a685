# SPDX-License-Identifier: Apache-2.0
"""What the certificate of a device's attestation key says of the firmware that holds the key.

Two shapes: Hopper's composite device id under 2.23.133.5.4.1 (version, key, firmware id), and
Blackwell's DiceTcbInfo under 2.23.133.5.4.1.1 (TCG "DICE Attestation Architecture", 6.1.1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from accord.errors import EvidenceMalformedError
from accord.evidence._der import (
    INTEGER,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    Element,
    dotted,
    elements,
    sequence,
)

DICE_EXTENSIONS = ("2.23.133.5.4.1", "2.23.133.5.4.1.1")

_WHAT = "DICE extension"
_SHA384, _SHA384_BYTES = "2.16.840.1.101.3.4.2.2", 48
_FWIDS, _FLAGS = 0xA6, 0x87
_DEBUG = 3


@dataclass(frozen=True, slots=True)
class FirmwareIdentity:
    """``fwid`` is the digest of the firmware; ``debug`` that it can be debugged."""

    fwid: bytes
    debug: bool


def firmware_identity(extensions: Mapping[str, bytes]) -> FirmwareIdentity | None:
    """What a certificate's extensions say of the firmware, in either shape.

    Raises ``EvidenceMalformedError``.
    """
    values = [extensions[oid] for oid in DICE_EXTENSIONS if oid in extensions]
    if len(values) > 1:
        raise EvidenceMalformedError(what=_WHAT, detail="there are two")
    return parse_dice(values[0]) if values else None


def parse_dice(value: bytes) -> FirmwareIdentity:
    """Reads the extension's value. Raises ``EvidenceMalformedError``."""
    members = sequence(value, what=_WHAT)
    if [item.tag for item in members] == [INTEGER, SEQUENCE, SEQUENCE]:
        return FirmwareIdentity(_fwid(members[2]), debug=False)
    found: dict[int, Element] = {}
    for item in members:
        if item.tag in found:
            raise EvidenceMalformedError(what=_WHAT, detail="a member comes twice")
        found[item.tag] = item
    if _FWIDS not in found:
        raise EvidenceMalformedError(what=_WHAT, detail="it names no firmware")
    # The first layer is the firmware that made the key; Blackwell adds an empty second one.
    fwids = [_fwid(item) for item in elements(found[_FWIDS].value, what=_WHAT)]
    if not fwids:
        raise EvidenceMalformedError(what=_WHAT, detail="it names no firmware")
    flags = found[_FLAGS].value if _FLAGS in found else b""
    return FirmwareIdentity(fwids[0], debug=len(flags) > 1 and bool(flags[1] & 0x80 >> _DEBUG))


def _fwid(item: Element) -> bytes:
    """A FWID: hash algorithm and digest; NVIDIA's are SHA-384."""
    parts = sequence(item.raw, what=_WHAT)
    if (
        [part.tag for part in parts] != [OBJECT_IDENTIFIER, OCTET_STRING]
        or dotted(parts[0].value) != _SHA384
        or len(parts[1].value) != _SHA384_BYTES
    ):
        raise EvidenceMalformedError(what=_WHAT, detail="a firmware digest is not SHA-384")
    return parts[1].value
