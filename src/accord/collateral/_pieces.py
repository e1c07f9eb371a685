# SPDX-License-Identifier: Apache-2.0
"""Endorsements one by one, each verified up to a pinned root before anybody keeps it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from accord.collateral._amd import certificate_key
from accord.collateral._forms import Form, Item, recognise
from accord.collateral._keys import (
    AMD_CRL,
    CERTIFICATE,
    OTHER_CRL,
    PCK_CRL,
    QE_IDENTITY,
    ROOT_CRL,
    TCB_INFO,
)
from accord.collateral._nvidia import manifest_key
from accord.encoding import Digest, Fields, base64_encode, parse_json, parse_time
from accord.errors import (
    AccordError,
    ChainInvalidError,
    CollateralUnknownError,
    EvidenceSignatureError,
    MalformedError,
)
from accord.evidence import (
    Certificate,
    RevocationList,
    load_revocation_list,
    verify_chain,
    verify_raw_ecdsa,
)
from accord.evidence.intel import Collateral, signed_member

TCB_SIGNER = "Intel SGX TCB Signing"
_CAS = {"Intel SGX PCK Platform CA": "platform", "Intel SGX PCK Processor CA": "processor"}
_QES = {"QE": "sgx", "TD_QE": "tdx"}
_SUBJECT_NAMES = frozenset({"2.5.29.17"})
"""Alternative names are critical in certificates of TPMs; no decision hangs on them here."""

_MAX_PATHS = 64


@dataclass(frozen=True, slots=True)
class Piece:
    """One endorsement whose signature was verified up to ``root``; its period was not.

    ``key`` says what it is about. ``data`` is in its vendor's form; ``chain`` is PEM, signer
    first and root last, empty where ``data`` is itself a chain.
    """

    key: str
    data: bytes
    chain: bytes
    root: Digest
    not_before: datetime
    not_after: datetime


def to_pem(chain: Iterable[Certificate]) -> bytes:
    """``chain`` in PEM, 64 columns and line feeds."""
    blocks = []
    for certificate in chain:
        body = base64_encode(certificate.der)
        lines = [body[at : at + 64] for at in range(0, len(body), 64)]
        blocks += ["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""]
    return "\n".join(blocks).encode()


def certify(
    items: Sequence[Item], *, anchors: Sequence[Digest], known: Iterable[Certificate] = ()
) -> tuple[Piece, ...]:
    """Every endorsement in ``items``, verified; ``known`` helps to complete chains.

    One that does not verify refuses them all. Whether they are still valid, and what they say
    of a platform, is *not* checked: verification of evidence does that.

    Raises ``CollateralUnknownError`` and the errors of family ATT.
    """
    opened = [part for item in items for part in _open(item)]
    pool = _unique([*(c for item in opened for c in item.certificates), *known])
    pieces: list[Piece] = []
    for item in opened:
        pieces += _certify(item, pool, anchors)
    return tuple({(piece.key, piece.data): piece for piece in pieces}.values())


def _unique(certificates: Iterable[Certificate]) -> list[Certificate]:
    return list({certificate.digest: certificate for certificate in certificates}.values())


def _open(item: Item) -> Iterator[Item]:
    """The parts of a bundle; anything else as it is."""
    if item.form is not Form.BUNDLE:
        yield item
        return
    bundle = Collateral.from_bytes(item.data)
    for pem in (
        bundle.tcb_info_issuer_chain,
        bundle.qe_identity_issuer_chain,
        bundle.pck_crl_issuer_chain,
    ):
        # In a bundle they only say who signed the rest of it.
        yield from (
            replace(part, form=Form.SIGNERS) for part in recognise(pem.encode(), what=item.what)
        )
    yield Item(Form.REVOCATIONS, bundle.root_ca_crl, item.what)
    yield Item(Form.REVOCATIONS, bundle.pck_crl, item.what)
    yield Item(
        Form.TCB_INFO, _signed("tcbInfo", bundle.tcb_info, bundle.tcb_info_signature), item.what
    )
    yield Item(
        Form.QE_IDENTITY,
        _signed("enclaveIdentity", bundle.qe_identity, bundle.qe_identity_signature),
        item.what,
    )


def _signed(member: str, text: str, signature: bytes) -> bytes:
    return f'{{"{member}":{text},"signature":"{signature.hex()}"}}'.encode()


def _certify(item: Item, pool: Sequence[Certificate], anchors: Sequence[Digest]) -> Iterator[Piece]:
    match item.form:
        case Form.TCB_INFO | Form.QE_IDENTITY:
            yield _intel_statement(item, pool, anchors)
        case Form.REVOCATIONS:
            yield _revocations(item, pool, anchors)
        case Form.CERTIFICATES:
            yield from _certificates(item, pool, anchors)
        case Form.MANIFEST:
            key, chain = manifest_key(item.data, what=item.what)
            known = _unique([*chain, *pool])
            found = find_chain(chain[0], known, anchors=anchors, what=item.what)
            yield _piece(key, item.data, found, chain[0].not_before, chain[0].not_after)
        case Form.KEY:
            raise CollateralUnknownError(
                what=item.what, detail="a bare key is nobody's word; name it by --anchor"
            )
        case _:
            pass


def _intel_statement(item: Item, pool: Sequence[Certificate], anchors: Sequence[Digest]) -> Piece:
    """TCB info or QE identity (Intel PCS API v4): signature first, contents afterwards."""
    member = "tcbInfo" if item.form is Form.TCB_INFO else "enclaveIdentity"
    text, signature = signed_member(item.data.decode("ascii"), member, what=item.what)
    signer = _signer(text.encode(), signature, pool, item.form.value)
    chain = find_chain(signer, pool, anchors=anchors, what=item.form.value)
    fields = Fields(parse_json(text.encode(), what=item.what, limit=len(text)), member)
    start = parse_time(fields.take("issueDate"), what=fields.path("issueDate"))
    end = parse_time(fields.take("nextUpdate"), what=fields.path("nextUpdate"))
    kind = fields.text("id") if fields.has("id") else "SGX"  # before version 3 there was no TDX
    if item.form is Form.TCB_INFO:
        key = TCB_INFO.format(tee=kind.lower(), fmspc=_fmspc(fields))
    else:
        key = QE_IDENTITY.format(tee=_QES.get(kind, kind.lower()))
    return _piece(key, item.data, chain, start, end)


def _fmspc(fields: Fields) -> str:
    text = fields.text("fmspc").lower()
    if not re.fullmatch(r"[0-9a-f]{12}", text):
        raise MalformedError(what=fields.path("fmspc"), detail="expected 12 hex digits")
    return text


def _signer(
    message: bytes, signature: bytes, pool: Sequence[Certificate], what: str
) -> Certificate:
    for candidate in pool:
        key = candidate.key
        if candidate.what != TCB_SIGNER or not isinstance(key, ec.EllipticCurvePublicKey):
            continue
        try:
            verify_raw_ecdsa(key, signature, message, hashes.SHA256(), what=what, by=candidate.what)
        except EvidenceSignatureError:
            continue
        return candidate
    raise EvidenceSignatureError(what=what, expected=f"any {TCB_SIGNER} certificate at hand")


def _revocations(item: Item, pool: Sequence[Certificate], anchors: Sequence[Digest]) -> Piece:
    for candidate in pool:
        try:
            listed: RevocationList = load_revocation_list(item.data, candidate)
        except EvidenceSignatureError:
            continue
        chain = find_chain(candidate, pool, anchors=anchors, what=listed.what)
        return _piece(
            _revocations_key(candidate), item.data, chain, listed.not_before, listed.not_after
        )
    raise EvidenceSignatureError(
        what=f"the list in {item.what}", expected="any certificate at hand"
    )


def _revocations_key(issuer: Certificate) -> str:
    if issuer.what in _CAS:
        return PCK_CRL.format(ca=_CAS[issuer.what])
    if issuer.what == "Intel SGX Root CA":
        return ROOT_CRL
    if issuer.what.startswith("ARK-"):
        return AMD_CRL.format(product=issuer.what.removeprefix("ARK-"))
    return OTHER_CRL.format(name=_slug(issuer.what))


def _certificates(
    item: Item, pool: Sequence[Certificate], anchors: Sequence[Digest]
) -> Iterator[Piece]:
    """One chain for each certificate of the item that issued no other one of it."""
    issuers = {c.issuer for c in item.certificates if c.issuer != c.subject}
    for leaf in item.certificates:
        if leaf.subject in issuers:
            continue
        chain = find_chain(leaf, pool, anchors=anchors, what=leaf.what)
        key = certificate_key(chain) or CERTIFICATE.format(name=_slug(leaf.what))
        yield _piece(key, to_pem(chain), (), leaf.not_before, leaf.not_after, root=chain[-1])


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "unnamed"


def find_chain(
    leaf: Certificate, pool: Sequence[Certificate], *, anchors: Sequence[Digest], what: str
) -> tuple[Certificate, ...]:
    """The chain from ``leaf`` to one of ``anchors`` through certificates of ``pool``.

    Names may be shared by look-alikes: every path is tried. Raises ``ChainInvalidError``,
    ``AnchorUnknownError`` or ``EvidenceMalformedError``.
    """
    refusal: AccordError | None = None
    for count, chain in enumerate(_paths((leaf,), pool)):
        if count == _MAX_PATHS:
            break
        try:
            verify_chain(chain, anchors=anchors, what=what, understood=_SUBJECT_NAMES)
        except AccordError as exc:
            refusal = exc
        else:
            return chain
    if refusal is not None:
        raise refusal
    raise ChainInvalidError(what=what, detail="its issuers are not at hand; import them with it")


def _paths(
    chain: tuple[Certificate, ...], pool: Sequence[Certificate]
) -> Iterator[tuple[Certificate, ...]]:
    last = chain[-1]
    if last.issuer == last.subject:
        yield chain
        return
    for candidate in pool:
        if candidate.subject == last.issuer and candidate not in chain:
            yield from _paths((*chain, candidate), pool)


def _piece(
    key: str,
    data: bytes,
    chain: Sequence[Certificate],
    not_before: datetime,
    not_after: datetime,
    *,
    root: Certificate | None = None,
) -> Piece:
    """A piece lasts no longer than the chain that vouches for it."""
    end = min([not_after, *(certificate.not_after for certificate in chain)])
    top = root or chain[-1]
    return Piece(key, data, to_pem(chain), top.digest, not_before, end)
