# SPDX-License-Identifier: Apache-2.0
"""One secret for a guest that speaks the Key Broker protocol, which knows no boards (ADR 0019)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from accord.board import BoardState
from accord.encoding import Digest, Fields, JSONValue, sha256
from accord.errors import BindingMismatchError, ChannelTooWeakError, NoSuchSecretError
from accord.evidence import Claims, Evidence, appraise, verify_unbound
from accord.policy import Assurance, Channel, Policy, parse_policy_name
from accord.release._consent import enacted_service, nothing_stopped, owners_consent
from accord.release._documents import parse_run_id
from accord.release._records import AssetUse, SecretUse
from accord.release._references import referenced_secrets
from accord.release._requested import requested_service
from accord.release._secret_uses import secret_use

REPORT_DATA_BYTES = 64
_RUN_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Guest:
    """A guest whose evidence is genuine and bound to its runtime data: a nonce and a key."""

    claims: Claims
    evidence: Evidence
    runtime_data: bytes


def guest_report_data(runtime_data: bytes) -> bytes:
    """What a guest's evidence carries: SHA-384 of its runtime data, filled up with zeros."""
    return hashlib.sha384(runtime_data).digest().ljust(REPORT_DATA_BYTES, b"\0")


def verify_guest(
    evidence: Evidence, runtime_data: bytes, *, anchors: Sequence[Digest], now: datetime
) -> Guest:
    """The guest that made ``evidence`` for ``runtime_data``.

    It says nothing of board, policy or purpose: the protocol has no place for them. Whether
    the nonce in ``runtime_data`` is fresh is *not* checked here. Raises ATT errors.
    """
    expected = guest_report_data(runtime_data)
    claims, bound = verify_unbound(evidence, anchors=anchors, now=now, report_data=expected)
    actual = bound.get("report_data", b"")
    if set(bound) != {"report_data"} or not hmac.compare_digest(expected, actual):
        raise BindingMismatchError(
            actual=actual.hex(), expected=expected.hex(), purpose="resource", role="guest"
        )
    return Guest(claims, evidence, runtime_data)


@dataclass(frozen=True, slots=True)
class ResourceRelease:
    """The trust service's statement that it released one secret to a guest."""

    SCHEMA = "accord.resource-release.v1"

    board: Digest
    run: str
    policy: str
    policy_digest: Digest
    service: str
    secret: SecretUse
    evidence: Digest
    runtime_data: Digest
    """Of the object that holds the nonce and the guest's key; the evidence carries its hash."""

    assurance: Assurance
    result: JSONValue
    """The attestation result (EAR), as `accord.evidence` wrote it."""

    uses: tuple[AssetUse, ...]

    @classmethod
    def from_fields(cls, fields: Fields) -> ResourceRelease:
        """Reads and ends ``fields``; the evidence is *not* verified here."""
        fields.schema(cls.SCHEMA)
        release = cls(
            board=fields.digest("board"),
            run=parse_run_id(fields.take("run"), what=fields.path("run")),
            policy=parse_policy_name(fields.take("policy"), what=fields.path("policy")),
            policy_digest=fields.digest("policy_digest"),
            service=fields.name("service"),
            secret=SecretUse.from_fields(fields.object("secret")),
            evidence=fields.digest("evidence"),
            runtime_data=fields.digest("runtime_data"),
            assurance=fields.choice("assurance", Assurance),
            result=fields.take("result"),
            uses=tuple(map(AssetUse.from_fields, fields.objects("uses"))),
        )
        fields.end()
        return release

    def to_json(self) -> JSONValue:
        return {
            "schema": self.SCHEMA,
            "board": self.board,
            "run": self.run,
            "policy": self.policy,
            "policy_digest": self.policy_digest,
            "service": self.service,
            "secret": self.secret.to_json(),
            "evidence": self.evidence,
            "runtime_data": self.runtime_data,
            "assurance": self.assurance.value,
            "result": self.result,
            "uses": [use.to_json() for use in self.uses],
        }


def decide_resource(
    board: BoardState,
    counted: Mapping[Digest, int],
    guest: Guest,
    *,
    policy: str,
    service: str,
    secret: str,
    service_assurance: Assurance,
    now: datetime,
    entropy: Callable[[int], bytes],
) -> tuple[Policy, ResourceRelease]:
    """Whether ``guest`` may have one secret of a service now; ``counted`` are the uses so far.

    The caller must write the release to the log, durably, before anything leaves.
    Raises REL and ATT errors.
    """
    run = "run-" + entropy(_RUN_ID_BYTES).hex()
    # (1) The environment is one that the policy in force names.
    _, found = requested_service(board, guest.claims, policy=policy, service=service, now=now)
    result = appraise(guest.claims, found.attestation, now=now)
    assurance = guest.claims.assurance.weaker(service_assurance)
    # (2) Everybody agrees.
    enacted, use, uses = agreed_resource(
        board,
        counted,
        policy=policy,
        service=service,
        secret=secret,
        run=run,
        assurance=assurance,
        now=now,
    )
    release = ResourceRelease(
        board=board.board,
        run=run,
        policy=policy,
        policy_digest=enacted.digest,
        service=service,
        secret=use,
        evidence=guest.evidence.digest,
        runtime_data=sha256(guest.runtime_data),
        assurance=assurance,
        result=result.to_json(),
        uses=uses,
    )
    return enacted, release


def agreed_resource(
    board: BoardState,
    counted: Mapping[Digest, int],
    *,
    policy: str,
    service: str,
    secret: str,
    run: str,
    assurance: Assurance,
    now: datetime,
) -> tuple[Policy, SecretUse, tuple[AssetUse, ...]]:
    """What the release of one secret would use, if board and owners agree.

    That the assurance is attested is *not* checked here. Raises REL errors.
    """
    enacted, found = enacted_service(board, policy, service, now)
    # (1) The policy says in so many words that evidence without its name suffices.
    if found.channel is not Channel.L0:
        raise ChannelTooWeakError(service=service, expected=found.channel, found=Channel.L0)
    # (2) The secret is one that the service uses.
    if secret not in referenced_secrets(found):
        raise NoSuchSecretError(policy=policy, secret=secret)
    # (3) Nobody has stopped it, its owner's terms allow it, and whoever shares it still does.
    asset = enacted.secrets[secret].asset
    assets: dict[str, Digest | None] = {} if asset is None else {asset: None}
    nothing_stopped(board, policy=policy, assets=frozenset(assets), run=run)
    uses = owners_consent(
        board,
        counted,
        policy=enacted,
        service=found,
        assurance=assurance,
        now=now,
        assets=assets,
    )
    return enacted, secret_use(board, enacted, secret, now=now), uses
