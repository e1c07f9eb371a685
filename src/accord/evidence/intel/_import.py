# SPDX-License-Identifier: Apache-2.0
"""Reads Intel's endorsements from the separate files in which its services hand them out."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterable, Mapping
from typing import AnyStr, TypedDict, TypeVar
from urllib.parse import unquote_to_bytes

from accord.errors import EvidenceMalformedError
from accord.evidence._certificate import Certificate, common_name, load_certificates, signed_parts
from accord.evidence._der import SEQUENCE, elements

T = TypeVar("T")

MAX_PART_BYTES = 1 << 20
"""Largest file read; Intel's largest in 2026 has 20 KiB."""

_WHAT = "Intel collateral"
_ROOT, _TCB_SIGNER, _PCK = "Intel SGX Root CA", "Intel SGX TCB Signing", "Intel SGX PCK Certificate"
_PCK_CAS = ("Intel SGX PCK Platform CA", "Intel SGX PCK Processor CA")
_QE_OF = {"SGX": "QE", "TDX": "TD_QE"}
_SIGNATURE = re.compile(r"[0-9a-fA-F]{128}")
_SPACE = re.compile(r"[ \t\r\n]*")
_HEX = re.compile(rb"\s*(?:[0-9a-fA-F]{2})+\s*")
_PEM_LIST = re.compile(rb"-----BEGIN X509 CRL-----([A-Za-z0-9+/=\s]+)-----END X509 CRL-----")
_BEGIN, _END, _LINE = "-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n", 64


class Parts(TypedDict):
    """The arguments of `Collateral`."""

    pck_crl_issuer_chain: str
    root_ca_crl: bytes
    pck_crl: bytes
    tcb_info_issuer_chain: str
    tcb_info: str
    tcb_info_signature: bytes
    qe_identity_issuer_chain: str
    qe_identity: str
    qe_identity_signature: bytes
    pck_certificate_chain: str | None


def list_der(data: bytes) -> bytes:
    """A revocation list in DER, from DER, PEM or hex: PCS and PCCS write all three.

    What is none of them is returned as it is: it will not parse. Raises
    ``EvidenceMalformedError``.
    """
    found = _PEM_LIST.search(data)
    if found is None:
        return bytes.fromhex(data.decode("ascii")) if _HEX.fullmatch(data) else data
    try:
        return base64.b64decode(found[1].translate(None, b" \t\r\n"), validate=True)
    except binascii.Error as exc:
        raise EvidenceMalformedError(what="revocation list", detail="PEM without base64") from exc


def signed_member(text: str, name: str, *, what: str) -> tuple[str, bytes]:
    """The exact text of member ``name`` of the JSON object ``text``, and its ``signature``.

    Raises ``EvidenceMalformedError``.
    """
    members = _members(text, what)
    signature = members.get("signature", "").strip('"')
    if name not in members or not _SIGNATURE.fullmatch(signature):
        detail = f"expected an object of {name} and a signature in hex"
        raise EvidenceMalformedError(what=what, detail=detail)
    return members[name], bytes.fromhex(signature)


def _members(text: str, what: str) -> dict[str, str]:
    """The members of a JSON object, each as it is spelled."""
    decoder, found, at = json.JSONDecoder(), dict[str, str](), 0

    def skip_space() -> None:
        nonlocal at
        # Not text[at:].lstrip(): a copy for each member would make it quadratic.
        if space := _SPACE.match(text, at):
            at = space.end()

    def skip(expected: str) -> str:
        nonlocal at
        skip_space()
        if text[at : at + 1] not in set(expected):
            raise EvidenceMalformedError(what=what, detail=f"not a JSON object (at {at})")
        at += 1
        return text[at - 1]

    try:
        skip("{")
        while True:
            skip('"')
            name, at = decoder.raw_decode(text, at - 1)
            skip(":")
            skip_space()
            start = at
            _, at = decoder.raw_decode(text, at)
            if name in found:
                raise EvidenceMalformedError(what=what, detail=f"{name} appears twice")
            found[name] = text[start:at]
            if skip(",}") == "}":
                return found
    except (ValueError, RecursionError) as exc:
        raise EvidenceMalformedError(what=what, detail=f"not JSON: {exc}") from exc


class _Collected:
    """What was recognised so far."""

    def __init__(self) -> None:
        self.infos: list[tuple[str, str, bytes]] = []
        self.identities: list[tuple[str, str, bytes]] = []
        self.lists: dict[str, bytes] = {}
        self.certificates: dict[str, Certificate] = {}

    def add(self, name: str, data: bytes) -> None:
        if len(data) > MAX_PART_BYTES:
            raise EvidenceMalformedError(what=name, detail=f"larger than {MAX_PART_BYTES} bytes")
        if data.lstrip()[:1] == b"{":
            self._add_json(name, data)
            return
        if b"%20CERTIFICATE" in data:
            data = unquote_to_bytes(data)
        if b"-----BEGIN CERTIFICATE" in data:
            self._add_certificates(load_certificates(data, what=name))
            return
        der = list_der(data)
        tbs, _, _ = signed_parts(der, name)
        fields = elements(tbs.value, what=name)
        # A list's issuer is its third field (RFC 5280, 5.1); a certificate has a time there.
        if len(fields) > 2 and fields[2].tag == SEQUENCE and fields[0].tag != 0xA0:  # noqa: PLR2004
            self.lists[common_name(fields[2].raw, name)] = der
        else:
            self._add_certificates(load_certificates(der, what=name))

    def _add_json(self, name: str, data: bytes) -> None:
        if not data.isascii():
            raise EvidenceMalformedError(what=name, detail="is not ASCII")
        text = data.decode("ascii")
        members = _members(text, name)
        for member, found in (("tcbInfo", self.infos), ("enclaveIdentity", self.identities)):
            if member in members:
                signed, signature = signed_member(text, member, what=name)
                found.append((_id(signed, name), signed, signature))
                return
        raise EvidenceMalformedError(what=name, detail="neither TCB info nor enclave identity")

    def _add_certificates(self, found: Iterable[Certificate]) -> None:
        self.certificates |= {certificate.digest: certificate for certificate in found}

    def chain(self, *names: str) -> str:
        """PEM of the certificates with these names, in this order; "" where the first lacks."""
        found = [item for name in names for item in self.certificates.values() if item.what == name]
        return to_pem(found) if found and found[0].what == names[0] else ""

    def pck_ca(self) -> str:
        """Whose revocation list counts: the PCK certificate says it, where it is there."""
        issuers = [
            common_name(item.issuer, item.what)
            for item in self.certificates.values()
            if item.what == _PCK
        ]
        cas = [item for item in _PCK_CAS if item in self.lists]
        return _only([item for item in cas if item in issuers] or cas, "PCK revocation list")


def _id(signed: str, name: str) -> str:
    """The ``id`` of TCB info or of an identity; TCB info version 2 has none, and is SGX's."""
    return _members(signed, name).get("id", '"SGX"').strip('"')


def to_pem(chain: Iterable[Certificate]) -> str:
    """``chain`` in PEM, in its order (RFC 7468)."""
    bodies = [base64.b64encode(certificate.der).decode() for certificate in chain]
    return "".join(
        _BEGIN + "".join(f"{body[at : at + _LINE]}\n" for at in range(0, len(body), _LINE)) + _END
        for body in bodies
    )


def read_parts(parts: Mapping[str, bytes]) -> Parts:
    """See `Collateral.from_pcs_parts`."""
    found = _Collected()
    for name, data in parts.items():
        found.add(name, data)
    info = _only(found.infos, "TCB info")
    # Other enclaves (QVE) have identities too: the one that counts goes with the TCB info.
    wanted = _QE_OF.get(info[0], "")
    identity = _only([item for item in found.identities if item[0] == wanted], "QE identity")
    ca = found.pck_ca()
    return Parts(
        pck_crl_issuer_chain=found.chain(ca, _ROOT),
        root_ca_crl=_present(found.lists.get(_ROOT, b""), "root revocation list"),
        pck_crl=found.lists[ca],
        tcb_info_issuer_chain=_present(found.chain(_TCB_SIGNER, _ROOT), _TCB_SIGNER),
        tcb_info=info[1],
        tcb_info_signature=info[2],
        qe_identity_issuer_chain=found.chain(_TCB_SIGNER, _ROOT),
        qe_identity=identity[1],
        qe_identity_signature=identity[2],
        pck_certificate_chain=found.chain(_PCK, *_PCK_CAS, _ROOT) or None,
    )


def _only(found: list[T], what: str) -> T:
    if len(found) != 1:
        raise EvidenceMalformedError(what=_WHAT, detail=f"{what} is there {len(found)} times")
    return found[0]


def _present(value: AnyStr, what: str) -> AnyStr:
    if not value:
        raise EvidenceMalformedError(what=_WHAT, detail=f"{what} is missing")
    return value
