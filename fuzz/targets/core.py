# SPDX-License-Identifier: Apache-2.0
"""The parsers of documents, statements and volumes."""

from __future__ import annotations

from collections.abc import Callable

from accord.board import Genesis
from accord.encoding import Envelope, Fields, parse_canonical_json, parse_json
from accord.evidence import Evidence
from accord.identity import VerifyKey
from accord.ledger import Entry, verify_checkpoint
from accord.policy import parse_policy, parse_yaml
from accord.release import Grant, Release, ReleaseRequest, RunStatement
from accord.volumes._commit import Commit, head_from_bytes
from accord.volumes._index import Index

_KEY = VerifyKey(bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"))


def _request(data: bytes) -> None:
    ReleaseRequest.from_json(parse_json(data, what="request"))


def _documents(data: bytes) -> None:
    value = parse_json(data, what="document")
    for read in (Release.from_fields, Grant.from_fields, RunStatement.from_fields):
        read(Fields(value, "document"))


def _checkpoint(data: bytes) -> None:
    verify_checkpoint(data, origin="accord/boards/0", name="fuzz", key=_KEY)


TARGETS: dict[str, Callable[[bytes], object]] = {
    "json": lambda data: parse_canonical_json(data, what="fuzz"),
    "yaml": parse_yaml,
    "policy": parse_policy,
    "envelope": lambda data: Envelope.from_bytes(data, what="fuzz"),
    "entry": Entry.from_bytes,
    "checkpoint": _checkpoint,
    "genesis": Genesis.from_bytes,
    "evidence": Evidence.from_bytes,
    "request": _request,
    "documents": _documents,
    "volume-commit": Commit.from_bytes,
    "volume-head": head_from_bytes,
    "volume-index": Index.from_bytes,
}
