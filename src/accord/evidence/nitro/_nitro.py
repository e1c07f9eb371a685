# SPDX-License-Identifier: Apache-2.0
"""Verification of an AWS Nitro attestation document (docs/spec/evidence/nitro.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType

from accord.encoding import Digest
from accord.errors import (
    ChainInvalidError,
    DebugRefusedError,
    EvidenceMalformedError,
)
from accord.evidence._certificate import Certificate, parse_certificate
from accord.evidence._chain import (
    chain_expires,
    check_chain_period,
    check_period,
    endorsers,
    verify_chain,
)
from accord.evidence._claims import Claims, Verified
from accord.evidence._cose import verify_sign1
from accord.evidence._evidence import Evidence, refuse_unknown
from accord.evidence._roots import root_kind
from accord.evidence.nitro._document import (
    AttestationDocument,
    SignedDocument,
    parse_document,
)
from accord.policy import Family, Scalar

MAX_CLOCK_SKEW = timedelta(minutes=1)
"""How far the hypervisor's clock may be ahead of the verifier's."""

_WHAT = "Nitro attestation document"
_CHAIN = "Nitro certificate chain"
_IMAGE_REGISTERS = (0, 1, 2)
_ENCLAVE_MARK = "-enc"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_nitro(evidence: Evidence) -> SignedDocument:
    """The document in ``evidence``, nothing verified. Raises ``EvidenceMalformedError``."""
    return parse_document(evidence.blob)


def verify_nitro(evidence: Evidence, *, anchors: Sequence[Digest], now: datetime) -> Verified:
    """The claims of an attestation document and its user data, which are *not* compared here.

    ``nonce`` and ``public_key`` of the document are not used: everything that evidence is
    bound to is in its user data. Whether it is recent follows from them, not from its time.

    Raises the errors of family ATT.
    """
    # (1) One COSE_Sign1, tagged or not, with a document whose fields are as specified (3.2.2).
    signed = parse_document(evidence.blob)
    document = signed.document
    refuse_unknown("endorsements", evidence.endorsements)
    refuse_unknown("attachments", evidence.aux)
    # (2) Bundle and certificate are a chain to a root that is pinned by its bytes (3.2.3).
    chain = _load_chain(document)
    root = verify_chain(chain, anchors=anchors, what=_CHAIN)
    # (3) Every certificate is valid now (3.2.3.1); the last lives for three hours.
    check_chain_period(chain, now)
    # (4) The certificate's key signed the document (3.2.1; RFC 9052, 4.4).
    if chain[0].is_ca or not chain[0].signs_data:
        raise ChainInvalidError(what=_CHAIN, detail=f"{chain[0].what} may not sign documents")
    verify_sign1(signed.message, chain[0].key, what=_WHAT, by=chain[0].what)
    # (5) It was not made in the future.
    created = _created(document)
    check_period(_WHAT, created - MAX_CLOCK_SKEW, chain_expires(chain), now)
    # (6) The enclave does not run in debug mode, where its image registers are zero.
    _check_debug(document)
    # (7) What it says; which registers suffice is policy.
    bound = {} if document.user_data is None else {"report_data": document.user_data}
    return Verified(_claims(document, chain, root.digest, created), MappingProxyType(bound))


def _load_chain(document: AttestationDocument) -> tuple[Certificate, ...]:
    """Leaf first, root last; the bundle has it the other way round."""
    ders = (document.certificate, *reversed(document.certificates))
    return tuple(parse_certificate(der, what=_CHAIN) for der in ders)


def _created(document: AttestationDocument) -> datetime:
    """When the hypervisor made it, in whole seconds."""
    try:
        return _EPOCH + timedelta(seconds=document.timestamp // 1000)
    except OverflowError as exc:
        raise EvidenceMalformedError(what=_WHAT, detail="its timestamp is no moment") from exc


def _check_debug(document: AttestationDocument) -> None:
    """Step (6): "Nitro Enclaves User Guide", nitro-cli run-enclave, --debug-mode.

    A document without any image register is refused as well.
    """
    images = [document.pcrs[index] for index in _IMAGE_REGISTERS if index in document.pcrs]
    if not any(map(any, images)):
        raise DebugRefusedError(
            family=Family.NITRO.value, actual="pcr0, pcr1 and pcr2 are zero or missing"
        )


def _claims(
    document: AttestationDocument,
    chain: Sequence[Certificate],
    root: Digest,
    created: datetime,
) -> Claims:
    parent, _, _ = document.module_id.partition(_ENCLAVE_MARK)
    attributes: Mapping[str, Scalar] = {
        "module_id": document.module_id,
        "timestamp": int(created.timestamp()),
    }
    return Claims(
        family=Family.NITRO,
        root=root,
        root_kind=root_kind(root),
        measurements=MappingProxyType(
            {f"pcr{index}": value for index, value in document.pcrs.items()}
        ),
        debug=False,
        tcb=None,
        instance_id=parent.encode(),
        collateral_expires=chain_expires(chain),
        attributes=MappingProxyType(dict(attributes)),
        chain=endorsers(chain),
    )
