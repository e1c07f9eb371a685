# SPDX-License-Identifier: Apache-2.0
"""Evidence of GPUs as NVIDIA's own tools write it; nothing is verified here."""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import Final

from accord.encoding import Fields, parse_json
from accord.errors import EncodingError, EvidenceMalformedError
from accord.evidence._evidence import MAX_ATTACHMENT_BYTES, MAX_BLOB_BYTES, Evidence
from accord.policy import Family

MAX_DEVICES_BYTES: Final = 4 << 20
"""Largest list: 32 GPUs and switches of 20 KiB each, in base64, four times."""

_MAX_DEVICES = 64
_WHAT: Final = "list of devices"


def import_devices(data: bytes) -> tuple[Evidence, ...]:
    """Evidence of each device in the JSON of NVIDIA's ``nvtrust``, in its order.

    Of each ``evidence`` (the SPDM report) and ``certificate`` (its chain) are read, both in
    base64. What else it says of the device is in the report too, where it is signed. Raises
    ``EvidenceMalformedError``.
    """
    try:
        listed = parse_json(data, what=_WHAT, limit=MAX_DEVICES_BYTES)
        devices = Fields({"devices": listed}, _WHAT).objects("devices")
        if not 0 < len(devices) <= _MAX_DEVICES:
            raise EvidenceMalformedError(what=_WHAT, detail=f"it has {len(devices)} devices")
        return tuple(
            Evidence(
                Family.NVIDIA,
                _bytes(item, "evidence", MAX_BLOB_BYTES),
                {"certificate_chain": _bytes(item, "certificate", MAX_ATTACHMENT_BYTES)},
            )
            for item in devices
        )
    except EncodingError as exc:
        raise EvidenceMalformedError(what=_WHAT, detail=str(exc)) from exc


def _bytes(fields: Fields, name: str, limit: int) -> bytes:
    try:
        found = b64decode(fields.text(name, limit=2 * limit), validate=True)
    except (binascii.Error, ValueError) as exc:
        raise EvidenceMalformedError(what=_WHAT, detail=f"{name} is no base64") from exc
    if len(found) > limit:
        raise EvidenceMalformedError(what=_WHAT, detail=f"{name} has more than {limit} bytes")
    return found
