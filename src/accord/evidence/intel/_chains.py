# SPDX-License-Identifier: Apache-2.0
"""Which chains Intel's endorsements come with, and how one is found among certificates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from cryptography.hazmat.primitives.asymmetric import ec

from accord.encoding import Digest
from accord.errors import AnchorUnknownError, ChainInvalidError
from accord.evidence._certificate import Certificate, common_name, load_certificates
from accord.evidence._chain import verify_chain

_ECDSA_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")  # AlgorithmIdentifier, RFC 5758


@dataclass(frozen=True, slots=True)
class ChainProfile:
    """Which certificates a chain consists of: the allowed common names, leaf first.

    Fixed names and lengths keep a platform's certificate from signing TCB info.
    """

    what: str
    names: tuple[tuple[str, ...], ...]
    leaf_is_ca: bool


_ROOT = ("Intel SGX Root CA",)
_PCK_CA = ("Intel SGX PCK Platform CA", "Intel SGX PCK Processor CA")
_TCB_SIGNER = ("Intel SGX TCB Signing",)

PCK_CHAIN = ChainProfile(
    "PCK certificate chain", (("Intel SGX PCK Certificate",), _PCK_CA, _ROOT), leaf_is_ca=False
)
PCK_CRL_CHAIN = ChainProfile("PCK CRL issuer chain", (_PCK_CA, _ROOT), leaf_is_ca=True)
TCB_INFO_CHAIN = ChainProfile("TCB info issuer chain", (_TCB_SIGNER, _ROOT), leaf_is_ca=False)
QE_IDENTITY_CHAIN = ChainProfile("QE identity issuer chain", (_TCB_SIGNER, _ROOT), leaf_is_ca=False)


def read_certificates(data: bytes) -> tuple[Certificate, ...]:
    """Every certificate in ``data`` once, in order. Raises ``EvidenceMalformedError``.

    Not cached: what anybody may send would stay in memory. Each certificate is.
    """
    # One name for all: the same certificate in two chains is parsed once.
    found = load_certificates(data, what="Intel certificate")
    return tuple({certificate.digest: certificate for certificate in found}.values())


def find_chain(
    source: Sequence[Certificate],
    profile: ChainProfile,
    *,
    roots: Iterable[Certificate],
    anchors: Sequence[Digest],
) -> tuple[Certificate, ...]:
    """The chain in ``source`` from its only leaf to a root that is one of ``anchors``.

    Vendors leave out the root, repeat certificates and order them as they like: names lead
    from each to its issuer, ``roots`` stands in where ``source`` has no root, and what is not
    in the chain is ignored. Signatures, CA flags, path lengths, algorithms and names are
    verified; periods and revocation are *not*.

    Raises ``ChainInvalidError`` or ``AnchorUnknownError``.
    """
    what = profile.what
    leaves = [item for item in source if item.what in profile.names[0]]
    if len(leaves) != 1:
        shown = " or ".join(profile.names[0])
        raise ChainInvalidError(what=what, detail=f"it has {len(leaves)} certificates {shown}")
    chain = [leaves[0]]
    while len(chain) < len(profile.names):
        chain.append(_issuer(chain[-1], source, roots, profile, anchors))
    for certificate, allowed in zip(chain, profile.names, strict=True):
        _check_profile(certificate, allowed, what)
    verify_chain(chain, anchors=anchors, what=what)
    leaf = chain[0]
    # The leaf either signs data or issues certificates, as its profile says, never both.
    if (leaf.is_ca, leaf.signs_certificates, leaf.signs_data) != (
        profile.leaf_is_ca,
        profile.leaf_is_ca,
        not profile.leaf_is_ca,
    ):
        raise ChainInvalidError(what=what, detail="its leaf has the wrong key usage")
    return tuple(chain)


def _issuer(
    certificate: Certificate,
    source: Sequence[Certificate],
    roots: Iterable[Certificate],
    profile: ChainProfile,
    anchors: Sequence[Digest],
) -> Certificate:
    """The certificate that ``certificate`` names as its issuer, from its own source if there."""
    what = profile.what
    named = [item for item in source if item.subject == certificate.issuer]
    if not named:
        named = [item for item in roots if item.subject == certificate.issuer]
        if not named and common_name(certificate.issuer, what) in profile.names[-1]:
            expected = ", ".join(anchors) or "none at all"
            raise AnchorUnknownError(what=what, actual="that is not there", expected=expected)
    named = [item for item in named if item.digest in anchors] or named
    if len(named) != 1:
        detail = f"the issuer of {certificate.what} is there {len(named)} times"
        raise ChainInvalidError(what=what, detail=detail)
    return named[0]


def _check_profile(certificate: Certificate, allowed: tuple[str, ...], what: str) -> None:
    if certificate.what not in allowed:
        detail = f"found {certificate.what!r}, expected {' or '.join(allowed)}"
        raise ChainInvalidError(what=what, detail=detail)
    key = certificate.key
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ChainInvalidError(what=what, detail=f"the key of {certificate.what} is not on P-256")
    if certificate.algorithm != _ECDSA_SHA256:
        detail = f"{certificate.what} is not signed by ECDSA with SHA-256"
        raise ChainInvalidError(what=what, detail=detail)
    if certificate.serial <= 0:  # RFC 5280, 4.1.2.2: a revocation list could not name it
        detail = f"the serial number of {certificate.what} is not positive"
        raise ChainInvalidError(what=what, detail=detail)


def p256_key(certificate: Certificate) -> ec.EllipticCurvePublicKey:
    """The key of a certificate that `find_chain` returned, which looked at it."""
    return cast("ec.EllipticCurvePublicKey", certificate.key)
