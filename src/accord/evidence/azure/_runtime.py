# SPDX-License-Identifier: Apache-2.0
"""Runtime data: what Azure's paravisor says of itself, and of the vTPM that it emulates.

JSON in no canonical form; its bytes are bound to the hardware's report as they stand.
"""

from __future__ import annotations

import binascii
import re
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from accord.encoding import Fields, parse_json
from accord.errors import EncodingError, EvidenceMalformedError
from accord.evidence._signature import MIN_RSA_BITS
from accord.policy import Scalar

_WHAT = "runtime data"
_AK: Final = "HCLAkPub"
_MAX_RSA_BITS = 4096
_USER_DATA_BYTES = 64
_HEX = re.compile(r"(?:[0-9A-Fa-f]{2})*")

_FLAGS: Mapping[str, str] = MappingProxyType(
    {
        "secure-boot": "secure_boot",
        "console-enabled": "console_enabled",
        "interactive-console-enabled": "interactive_console_enabled",
        "ipmi-enabled": "ipmi_enabled",
        "tpm-enabled": "tpm_enabled",
        "tpm-persisted": "tpm_persisted",
        "filtered-vpci-devices-allowed": "filtered_vpci_devices_allowed",
    }
)
_TEXTS: Mapping[str, str] = MappingProxyType(
    {
        "vmUniqueId": "vm_unique_id",
        "root-cert-thumbprint": "root_cert_thumbprint",
        "tpm-version": "tpm_version",
        "hardware-sealing-policy": "hardware_sealing_policy",
        "key-release-context-hash": "key_release_context_hash",
    }
)
_NUMBERS: Mapping[str, str] = MappingProxyType({"current-time": "current_time"})


@dataclass(frozen=True, slots=True)
class RuntimeData:
    """``ak_spki`` is the vTPM's attestation key (DER); ``user_data`` is empty where there is none.

    ``settings`` go by the names of attributes; ``unknown_settings`` are of paravisors newer
    than this program.
    """

    ak_spki: bytes
    settings: Mapping[str, Scalar]
    unknown_settings: tuple[str, ...]
    user_data: bytes


def parse_runtime_data(data: bytes) -> RuntimeData:
    """Reads runtime data; whether any hardware's report carries their hash is *not* checked.

    Raises ``EvidenceMalformedError``.
    """
    try:
        fields = Fields(parse_json(data, what=_WHAT), _WHAT)
        keys = [key for key in fields.objects("keys") if key.text("kid") == _AK]
        if len(keys) != 1:
            raise EvidenceMalformedError(what=_WHAT, detail=f"{len(keys)} keys are named {_AK}")
        settings, unknown = _settings(fields.object("vm-configuration"))
        user_data = _user_data(fields.text("user-data")) if fields.has("user-data") else b""
        unknown = tuple(sorted([*unknown, *fields.names()]))
        return RuntimeData(_public_key(keys[0]), settings, unknown, user_data)
    except EncodingError as exc:
        raise EvidenceMalformedError(what=_WHAT, detail=str(exc)) from exc


def _settings(fields: Fields) -> tuple[Mapping[str, Scalar], tuple[str, ...]]:
    found: dict[str, Scalar] = {}
    readers: tuple[tuple[Mapping[str, str], Callable[[str], Scalar]], ...] = (
        (_FLAGS, fields.flag),
        (_TEXTS, fields.text),
        (_NUMBERS, lambda name: fields.integer(name, minimum=0)),
    )
    for names, read in readers:
        found |= {shown: read(name) for name, shown in names.items() if fields.has(name)}
    return MappingProxyType(found), tuple(fields.names())


def _user_data(text: str) -> bytes:
    """64 bytes in hex, or nothing. Zeros are an index that nobody wrote: no user data."""
    if not _HEX.fullmatch(text) or len(text) not in {0, 2 * _USER_DATA_BYTES}:
        raise EvidenceMalformedError(
            what=_WHAT, detail=f"user data are not {_USER_DATA_BYTES} bytes in hex"
        )
    data = bytes.fromhex(text)
    return data if any(data) else b""


def _public_key(fields: Fields) -> bytes:
    """A JWK of RSA (RFC 7518, 6.3.1) as DER SubjectPublicKeyInfo.

    ``key_ops`` is not looked at: older paravisors say of the attestation key that it encrypts.
    """
    if fields.text("kty") != "RSA":
        raise EvidenceMalformedError(what=_WHAT, detail=f"{_AK} is no RSA key")
    modulus, exponent = _number(fields.text("n")), _number(fields.text("e"))
    if not MIN_RSA_BITS <= modulus.bit_length() <= _MAX_RSA_BITS:
        raise EvidenceMalformedError(what=_WHAT, detail=f"{_AK} has {modulus.bit_length()} bits")
    try:
        key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError as exc:
        raise EvidenceMalformedError(what=_WHAT, detail=f"{_AK} is no RSA key") from exc
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _number(text: str) -> int:
    """Base64url without padding (RFC 7515, 2), big-endian."""
    try:
        return int.from_bytes(urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")
    except (binascii.Error, ValueError) as exc:
        raise EvidenceMalformedError(what=_WHAT, detail="a key is no base64url") from exc
