# SPDX-License-Identifier: Apache-2.0
"""Verifying, at any later time, the evidence that a log rests on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from accord.board import Genesis
from accord.bundle._files import object_name
from accord.bundle._proofs import Proof
from accord.encoding import Digest, sha256
from accord.errors import AppraisalError, BundleContentError, BundleFileError
from accord.evidence import PRIVATE_CLAIMS, Claims, Evidence, appraise, verify
from accord.policy import Assurance
from accord.release import verify_guest


@dataclass(frozen=True, slots=True)
class Environments:
    """Of one run: the trust service that released its keys, and its shield."""

    host: Claims
    shield: Claims


class EvidenceCheck:
    """The evidence at hand, the claims found so far, and which of it was asked for."""

    def __init__(self, genesis: Genesis, objects: Mapping[str, bytes]) -> None:
        self._genesis, self._objects = genesis, objects
        self._unused = set(objects)
        self._host: Claims | None = None
        self.runs: dict[str, Environments] = {}
        self.exports: list[tuple[Proof, Claims]] = []
        """Secrets that other trust services imported, with the claims of each service."""

    def check(self, proof: Proof) -> None:
        """Verifies what one entry rests on; they must come in the order of the log.

        Raises ``BundleFileError``, ``BundleContentError`` and ATT errors.
        """
        found = self._claims(proof)
        if self._host is not None and proof.host:
            _check_host(proof, self._host)
        if proof.is_start:
            self._host = found
        elif self._host is not None:
            self._check_entry(proof, self._host, found)

    def _check_entry(self, proof: Proof, host: Claims, found: Claims) -> None:
        release = proof.release
        if proof.export is not None:
            self.exports.append((proof, found))
        if proof.resource is not None:
            resource = proof.resource
            worth = found.assurance.weaker(host.assurance)
            _check_worth(resource.run, resource.assurance, worth)
            _check_result(resource.run, resource.result, found, proof)
        elif release is not None and proof.renewal is not None:
            worth = found.assurance.weaker(host.assurance).weaker(release.assurance)
            _check_worth(f"a renewal of {release.run}", proof.renewal.assurance, worth)
        elif release is not None:
            worth = found.assurance.weaker(host.assurance)
            _check_worth(release.run, release.assurance, worth)
            _check_result(release.run, release.result, found, proof)
            self.runs[release.run] = Environments(host, found)

    def _claims(self, proof: Proof) -> Claims:
        """The claims of the evidence, which satisfied ``proof`` at the time of its entry."""
        evidence = Evidence.from_bytes(self._object(proof.evidence))
        anchors = self._genesis.anchors
        if proof.binding is not None:
            claims = verify(evidence, anchors=anchors, now=proof.time, binding=proof.binding)
        else:
            runtime_data = self._object(proof.runtime_data)
            claims = verify_guest(evidence, runtime_data, anchors=anchors, now=proof.time).claims
        appraise(claims, proof.variants, now=proof.time)
        return claims

    def _object(self, digest: Digest) -> bytes:
        name = object_name(digest)
        if name not in self._objects:
            raise BundleContentError(detail=f"evidence {digest} is missing")
        # Quotes are malleable: other bytes may verify as well, and are not what was logged.
        if sha256(self._objects[name]) != digest:
            raise BundleFileError(name=name, detail="its bytes are not those that the log names")
        self._unused.discard(name)
        return self._objects[name]

    def refuse_unused(self) -> None:
        """Raises ``BundleFileError`` where an object is left that no entry names."""
        for name in sorted(self._unused):
            raise BundleFileError(name=name, detail="no entry refers to it")


def _check_host(proof: Proof, host: Claims) -> None:
    """That the members had not replaced the trust service that wrote the entry."""
    try:
        appraise(host, proof.host, now=proof.time)
    except AppraisalError as exc:
        detail = f"entry {proof.entry} is by a trust service that the board had replaced"
        raise BundleContentError(detail=detail) from exc


def _check_worth(who: str, claimed: Assurance, worth: Assurance) -> None:
    """That nothing was released as more than what it then was worth."""
    if claimed is not worth:
        raise BundleContentError(detail=f"{who} claims assurance {claimed}")


def _check_result(run: str, result: object, found: Claims, proof: Proof) -> None:
    """That the log says of the evidence what there is in it."""
    recorded = appraise(found, proof.variants, now=proof.time).to_json()[PRIVATE_CLAIMS]
    if not isinstance(result, dict) or result.get(PRIVATE_CLAIMS) != recorded:
        raise BundleContentError(detail=f"{run} records another attestation result")
