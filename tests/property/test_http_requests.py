# SPDX-License-Identifier: Apache-2.0
"""Whatever is sent to whatever route: a catalogue error or an answer, and never a failure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.live import Hardware
from tests.support.wire import InProcess, problem_code

from accord.board import AssetWithdrawal
from accord.encoding import base64_encode, canonical_json, sha256
from accord.evidence import Role
from accord.identity import sign_statement
from accord.service import Limits, create_app
from accord.service._routes import ROUTES

PATHS = st.sampled_from(
    [
        route.path.replace("/v1/boards/{board}", "{board}")
        for route in ROUTES.values()
        if route.method == "POST"
    ]
)
WORDS = st.sampled_from(
    ["schema", "board", "nonce", "envelope", "payload", "payloadType", "signatures", "keyid", "sig",
     "sealed_key", "keyset", "evidence", "policy", "service", "blob", "collateral", "family"]
)  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=20)
    | st.sampled_from(["sha256:" + 64 * "a", "AAAA", "tdx", base64_encode(bytes(32))]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(WORDS | st.text(max_size=8), inner, max_size=5),
    max_leaves=12,
)  # fmt: skip


@pytest.fixture(scope="module")
def wire(hardware: Hardware, tmp_path_factory: pytest.TempPathFactory) -> InProcess:
    wire = InProcess(hardware, tmp_path_factory.mktemp("wire"))
    wire.app = create_app(wire.service, limits=Limits(requests_per_s=1_000_000))
    return wire


def check(wire: InProcess, path: str, content: bytes) -> None:
    before = wire.host.head.size
    answer = wire.call("POST", path.format(board=wire.path), content)
    if answer.status_code == 200:
        assert path.endswith(("challenges", "attest"))
    else:
        assert answer.headers["content-type"] == "application/problem+json"
        code = problem_code(answer.status_code, answer.content)
        assert code not in ("accord-SVC-014", "accord-SVC-011")
        assert answer.status_code in (400, 403, 404, 409, 413, 422)
    assert wire.host.head.size == before


@given(path=PATHS, content=st.binary(max_size=300))
@settings(max_examples=80, deadline=None)
def test_any_bytes_are_refused(wire: InProcess, path: str, content: bytes) -> None:
    """Random bytes as a body."""
    check(wire, path, content)


@given(path=PATHS, value=VALUES)
@settings(max_examples=120, deadline=None)
def test_any_document_is_refused(wire: InProcess, path: str, value: Any) -> None:
    """Random JSON with the words of the interface."""
    check(wire, path, json.dumps(value).encode("utf-8", "surrogatepass"))


@given(
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "X"]),
    path=st.binary(max_size=40).map(quote),
    header=st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=60),
)
@settings(max_examples=80, deadline=None)
def test_any_path_is_answered(wire: InProcess, method: str, path: str, header: str) -> None:
    """Random paths below the board, with random Authorization headers."""
    headers = {"Authorization": "Accord " + header.strip()}
    encoded = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = wire.call(method, f"{wire.path}/{path}", headers=encoded)  # type: ignore[arg-type]

    assert answer.status_code in (400, 403, 404, 405, 422)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where in a document something can be changed."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield (*path, key)
            yield from _paths(inner, (*path, key))


def _replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = _replaced(copy[path[0]], path[1:], new)
    return copy


@pytest.fixture(scope="module")
def requests(wire: InProcess, hardware: Hardware) -> dict[str, Any]:
    """One request for each route that would be accepted, or refused for its content alone."""
    withdrawal = AssetWithdrawal(wire.genesis.digest, "ann/data", sha256(b"offer"))
    statement = sign_statement("asset-withdrawal", withdrawal.to_json(), [_signer(wire)])
    evidence = hardware.attester(Role.SHIELD).collect(bytes(64))
    return {
        "{board}/statements": {"envelope": statement.to_json(), "sealed_key": "AAAA"},
        "{board}/runs": sign_statement("run", {"schema": "x"}, [_signer(wire)]).to_json(),
        "/v1/boards": wire.envelope.to_json(),
        "{board}/releases": {
            "schema": "accord.release-request.v1",
            "board": wire.genesis.digest,
            "policy": "job",
            "service": "train",
            "keyset": wire.service.keyset.to_json(),
            "nonce": base64_encode(bytes(32)),
            "evidence": evidence.to_json(),
        },
    }


def _signer(wire: InProcess) -> Any:
    return wire.identity("ann").signer


@given(data=st.data())
@settings(max_examples=120, deadline=None)
def test_any_change_of_a_good_request_is_refused(
    wire: InProcess, requests: dict[str, Any], data: st.DataObject
) -> None:
    """A well-formed request with one value replaced has no effect and breaks nothing."""
    path = data.draw(st.sampled_from(sorted(requests)), label="route")
    place = data.draw(st.sampled_from(list(_paths(requests[path]))), label="place")
    new = data.draw(VALUES, label="value")
    document = _replaced(requests[path], place, new)
    if document != requests[path]:
        check(wire, path, json.dumps(document).encode())


def test_the_good_requests_are_refused_for_their_content_alone(
    wire: InProcess, requests: dict[str, Any]
) -> None:
    """What the changes start from is well formed: only the state of the board is against it."""
    codes = {}
    for path, document in requests.items():
        answer = wire.call("POST", path.format(board=wire.path), canonical_json(document))
        codes[path] = answer.json().get("code", answer.status_code)

    assert codes == {
        "{board}/statements": "accord-BRD-009",
        "{board}/runs": "accord-ENC-001",
        "/v1/boards": 201,
        "{board}/releases": "accord-REL-020",
    }
