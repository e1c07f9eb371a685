# SPDX-License-Identifier: Apache-2.0
"""The routes, described once: the application and the OpenAPI document are both made from this."""

from __future__ import annotations

from collections.abc import Mapping

from accord.service._route import DOCUMENT_BYTES, KIB, Auth, Parameter, Route

_BOARD = "/v1/boards/{board}"
_DIGEST = Parameter("digest", "Digest", "An older version, by its digest.")
_PAGE = (
    Parameter("cursor", "Count", "Where the page before said that the next one begins."),
    Parameter("limit", "PageSize", "Most items of the page."),
)
_LOG_PAGE = (
    Parameter("start", "Count", "Index of the first entry."),
    Parameter("limit", "PageSize", "Most entries of the page."),
    Parameter("size", "Count", "Size of the log that the checkpoint is to cover."),
)
NEXT_NONCE = Parameter(
    "Accord-Next-Nonce", "NoncePurpose", "Ask for a nonce with the answer.", header=True
)
"""The answer then has it as `REPLAY_NONCE` (RFC 8555, section 6.5.1): a round trip less."""

REPLAY_NONCE = "Replay-Nonce"

_KNOWN = Parameter("If-None-Match", "ETag", "What the caller has: 304 if it is that.", header=True)
_CONDITIONS = (
    Parameter("If-Match", "ETag", "ETag of the version that the new one replaces.", header=True),
    Parameter("If-None-Match", "ETag", "`*` to create a policy.", header=True),
)

_SERVICE = (
    Route(
        handler="health",
        path="/healthz",
        auth=Auth.ANONYMOUS,
        summary="Whether the service works",
        reply="Health",
    ),
    Route(
        handler="metrics",
        path="/metrics",
        auth=Auth.LOCAL,
        summary="Counters for Prometheus",
        reply="Text",
        media_type="text/plain",
    ),
    Route(
        handler="version",
        path="/v1/version",
        auth=Auth.ANONYMOUS,
        summary="What the service is",
        reply="Version",
    ),
    Route(
        handler="openapi",
        path="/v1/openapi.json",
        auth=Auth.ANONYMOUS,
        summary="This document",
        reply="Document",
    ),
    Route(
        handler="owner",
        path="/v1/service",
        auth=Auth.ANONYMOUS,
        summary="Who owns the service, and what it takes on",
        reply="Ownership",
    ),
    Route(
        handler="attest",
        path="/v1/attest",
        method="POST",
        auth=Auth.ANONYMOUS,
        summary="Fresh evidence of the service for one board",
        request="AttestRequest",
        reply="Attestation",
        max_body=4 * KIB,
        parameters=(NEXT_NONCE,),
    ),
    Route(
        handler="claim",
        path="/v1/claim",
        method="POST",
        auth=Auth.OWNER,
        summary="Become the owner of a fresh service",
        request="Envelope",
        reply="Claim",
        max_body=16 * KIB,
        repeatable=True,
    ),
    Route(
        handler="configure",
        path="/v1/config",
        method="POST",
        auth=Auth.OWNER,
        summary="Say which boards the service takes on, and how much it answers",
        request="Envelope",
        reply="Config",
        max_body=16 * KIB,
        repeatable=True,
    ),
    Route(
        handler="found",
        path="/v1/boards",
        method="POST",
        auth=Auth.STATEMENT,
        summary="Found a board: the genesis, signed by all founders",
        request="Envelope",
        status=201,
        reply="Founded",
        max_body=DOCUMENT_BYTES,
        repeatable=True,
    ),
)

_LOG = (
    Route(
        handler="genesis",
        path=f"{_BOARD}/genesis",
        auth=Auth.ANONYMOUS,
        summary="The signed genesis, for whoever knows its digest",
        reply="Envelope",
    ),
    Route(
        handler="log",
        path=f"{_BOARD}/log",
        auth=Auth.MEMBER,
        summary="Entries of the log, and a checkpoint",
        reply="LogPage",
        parameters=_LOG_PAGE,
    ),
    Route(
        handler="checkpoint",
        path=f"{_BOARD}/checkpoint",
        auth=Auth.ANONYMOUS,
        summary="The newest checkpoint that a quorum of witnesses has cosigned",
        reply="Text",
        media_type="text/plain",
    ),
    Route(
        handler="tile",
        path=f"{_BOARD}/tile/{{tile}}",
        auth=Auth.ANONYMOUS,
        summary="A tile of the tree, or the digests of entries (c2sp.org/tlog-tiles)",
        reply="Bytes",
        media_type="application/octet-stream",
    ),
    Route(
        handler="object",
        path=f"{_BOARD}/objects/{{digest}}",
        auth=Auth.MEMBER,
        summary="A body that an entry names",
        reply="Bytes",
        media_type="application/octet-stream",
    ),
    Route(
        handler="statement",
        path=f"{_BOARD}/statements",
        method="POST",
        auth=Auth.STATEMENT,
        summary="Hand in a member's statement",
        request="StatementRequest",
        reply="Indexed",
        max_body=DOCUMENT_BYTES,
        repeatable=True,
    ),
    Route(
        handler="challenge",
        path=f"{_BOARD}/challenges",
        method="POST",
        auth=Auth.ANONYMOUS,
        summary="A nonce for evidence",
        request="ChallengeRequest",
        reply="Challenge",
        max_body=KIB,
    ),
    Route(
        handler="release",
        path=f"{_BOARD}/releases",
        method="POST",
        auth=Auth.SHIELD,
        summary="Ask for a service's secrets",
        request="ReleaseRequest",
        reply="Sealed",
        max_body=DOCUMENT_BYTES,
        parameters=(NEXT_NONCE,),
    ),
    Route(
        handler="lease",
        path=f"{_BOARD}/leases",
        method="POST",
        auth=Auth.SHIELD,
        summary="Let a run go on",
        request="LeaseRequest",
        reply="Envelope",
        max_body=DOCUMENT_BYTES,
    ),
    Route(
        handler="run",
        path=f"{_BOARD}/runs",
        method="POST",
        auth=Auth.SHIELD,
        summary="Hand in a run statement",
        request="Envelope",
        reply="Indexed",
        max_body=DOCUMENT_BYTES,
        repeatable=True,
    ),
    Route(
        handler="tags",
        path=f"{_BOARD}/tags",
        method="POST",
        auth=Auth.SHIELD,
        summary="Hand in a commit: the new tags of live volumes that a run has open",
        request="Envelope",
        reply="Indexed",
        max_body=256 * KIB,
        repeatable=True,
    ),
    Route(
        handler="export",
        path=f"{_BOARD}/exports",
        method="POST",
        auth=Auth.PEER,
        summary="Ask for a secret that a policy exports to another trust service",
        request="ExportRequest",
        reply="Sealed",
        max_body=DOCUMENT_BYTES,
    ),
)

_VIEWS = (
    Route(
        handler="status",
        path=f"{_BOARD}/status",
        auth=Auth.MEMBER,
        summary="The board in numbers",
        reply="Status",
    ),
    Route(
        handler="members",
        path=f"{_BOARD}/members",
        auth=Auth.MEMBER,
        summary="Who votes",
        reply="Members",
    ),
    Route(
        handler="constitution",
        path=f"{_BOARD}/constitution",
        auth=Auth.MEMBER,
        summary="The rules in force",
        reply="Constitution",
    ),
    Route(
        handler="proposals",
        path=f"{_BOARD}/proposals",
        auth=Auth.MEMBER,
        summary="All proposals, oldest first",
        reply="Proposals",
        parameters=_PAGE,
    ),
    Route(
        handler="proposal",
        path=f"{_BOARD}/proposals/{{id}}",
        auth=Auth.MEMBER,
        summary="One proposal, with its votes and what it lacks",
        reply="WholeProposal",
    ),
    Route(
        handler="policies",
        path=f"{_BOARD}/policies",
        auth=Auth.READER,
        summary="The policies that the caller may know of",
        reply="Policies",
        parameters=_PAGE,
    ),
    Route(
        handler="policy",
        path=f"{_BOARD}/policies/{{name}}",
        auth=Auth.READER,
        summary="A policy: the version in force, or an older one",
        reply="Policy",
        parameters=(_DIGEST, _KNOWN),
        etag=True,
    ),
    Route(
        handler="put_policy",
        path=f"{_BOARD}/policies/{{name}}",
        method="PUT",
        auth=Auth.STATEMENT,
        summary="Propose the next version of a policy; votes enact it",
        request="Envelope",
        status=202,
        reply="Proposed",
        max_body=DOCUMENT_BYTES,
        parameters=_CONDITIONS,
    ),
    Route(
        handler="secrets",
        path=f"{_BOARD}/secrets",
        auth=Auth.MEMBER,
        summary="Which secrets each policy has; never a value",
        reply="Secrets",
        parameters=_PAGE,
    ),
    Route(
        handler="public",
        path=f"{_BOARD}/public/{{name}}",
        auth=Auth.READER,
        summary="Certificates and public keys of a policy",
        reply="Public",
    ),
    Route(
        handler="executions",
        path=f"{_BOARD}/executions",
        auth=Auth.MEMBER,
        summary="What was stopped, and what of it goes on",
        reply="Executions",
        parameters=_PAGE,
    ),
    Route(
        handler="releases",
        path=f"{_BOARD}/releases",
        auth=Auth.MEMBER,
        summary="What was released, oldest first",
        reply="Releases",
        parameters=_PAGE,
    ),
)

_RECOVERY = (
    Route(
        handler="backup",
        path=f"{_BOARD}/backup",
        auth=Auth.LOCAL,
        summary="A backup: sealed to the members, and under the board's root secret",
        reply="Bytes",
        media_type="application/octet-stream",
    ),
    Route(
        handler="recovery",
        path=f"{_BOARD}/recovery",
        auth=Auth.ANONYMOUS,
        summary="What a backup brought to this machine, and the key of this boot",
        reply="Recovery",
    ),
    Route(
        handler="recovery_key",
        path=f"{_BOARD}/recovery/key",
        method="POST",
        auth=Auth.ANONYMOUS,
        summary="Open the log of a backup, with the key that its members have",
        request="RecoveryKey",
        reply="Recovery",
        max_body=4 * KIB,
    ),
    Route(
        handler="recovery_log",
        path=f"{_BOARD}/recovery/log",
        auth=Auth.MEMBER,
        summary="Entries of the log of a backup",
        reply="LogPage",
        parameters=_LOG_PAGE,
    ),
    Route(
        handler="recovery_share",
        path=f"{_BOARD}/recovery/shares",
        method="POST",
        auth=Auth.STATEMENT,
        summary="Give a share of the root secret to this boot",
        request="RecoveryShare",
        reply="Recovery",
        max_body=16 * KIB,
    ),
    Route(
        handler="recovery_open",
        path=f"{_BOARD}/recovery/open",
        method="POST",
        auth=Auth.ANONYMOUS,
        summary="Let the board go on here, if enough members gave their shares",
        request="Nothing",
        reply="Founded",
        max_body=KIB,
    ),
)

ROUTES: Mapping[tuple[str, str], Route] = {
    (route.method, route.path): route for route in (*_SERVICE, *_LOG, *_VIEWS, *_RECOVERY)
}
"""By method and path."""
