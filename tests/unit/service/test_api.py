# SPDX-License-Identifier: Apache-2.0
"""The HTTP interface without a socket: views, conditions, pages, repeated requests, statuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.api import API
from tests.support.live import Hardware
from tests.support.wire import problem_code

from accord.channel import SignedRequest, authorise_read
from accord.encoding import Envelope, base64_encode, canonical_json, sha256
from accord.errors import RequestRefusedError
from accord.identity import FileIdentity, sign_statement

VIEWS = ("status", "members", "constitution", "proposals", "secrets", "executions", "releases")
KEY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def api(hardware: Hardware, tmp_path: Path) -> API:
    return API(hardware, tmp_path)


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, problem_code(answer.status_code, answer.content)


# --- views ----------------------------------------------------------------------------------


@pytest.mark.parametrize("view", [*VIEWS, "policies", "log"])
def test_views_are_for_members(api: API, view: str) -> None:
    """A member sees it; without a signature nobody does, whether the board is there or not."""
    stranger = api.call("GET", f"{api.path}/{view}")
    nowhere = api.call("GET", f"/v1/boards/{64 * '0'}/{view}")

    assert api.see("bob", view).status_code == 200
    assert refusal(stranger) == (401, "accord-CHN-003")
    assert stranger.headers["www-authenticate"] == "Accord"
    assert stranger.content == nowhere.content


def test_the_views_show_what_the_log_says(api: API) -> None:
    """Numbers, members, constitution, proposals and stops are those of the replayed state."""
    envelope = api.proposal(api.policy())
    api.submit(envelope)
    api.stop("something is wrong")
    status = api.see("ann", "status").json()
    (stop,) = api.see("ann", "executions").json()["items"]
    (listed,) = api.see("ann", "proposals").json()["items"]
    one = api.see("ann", f"proposals/{envelope.statement_digest.removeprefix('sha256:')}").json()

    assert (status["entries"], status["open_proposals"], status["stops"]) == (4, 1, 1)
    assert (stop["reason"], stop["resumed"], stop["scope"]) == (
        "something is wrong",
        False,
        "board",
    )
    assert (listed["status"], len(listed["missing"]) > 0) == ("open", True)
    assert {**one, **listed} == one
    assert one["document"]["author"] == "ann"
    assert api.see("ann", "members").json()["charter"] == api.genesis.charter.digest
    assert "policy.enact" in api.see("ann", "constitution").json()["constitution"]
    assert refusal(api.see("ann", "proposals/" + 64 * "0")) == (404, "accord-SVC-012")
    assert refusal(api.see("ann", "proposals/x")) == (404, "accord-SVC-012")


def test_a_policy_has_versions_and_an_etag(api: API) -> None:
    """The version in force by name, an older one by digest, and 304 for who has it already."""
    first = api.enact(api.policy("job"))
    second = api.enact(api.policy("job", predecessor=first.digest))
    answer = api.see("ann", "policies/job")
    older = api.see("ann", "policies/job", f"?digest={first.digest}")
    headers = api.header(api.identity("ann"), f"{api.path}/policies/job")
    known = api.call(
        "GET",
        f"{api.path}/policies/job",
        headers={**headers, "If-None-Match": answer.headers["etag"]},
    )

    assert answer.headers["etag"] == f'"{second.digest}"'
    assert answer.json()["versions"] == [first.digest, second.digest]
    assert (older.json()["digest"], older.json()["in_force"]) == (first.digest, False)
    assert (known.status_code, known.content) == (304, b"")
    assert refusal(api.see("ann", "policies/job", f"?digest={sha256(b'')}"))[0] == 404
    assert refusal(api.see("ann", "policies/Not+A+Name")) == (404, "accord-SVC-012")
    assert api.see("ann", "secrets").json()["items"][0]["policy"] == "job"


def test_a_policy_names_who_else_may_read_it(api: API, tmp_path: Path) -> None:
    """A key that it names reads it, another does not; the board does not know either."""
    eve, mallory = (
        FileIdentity.create(tmp_path / "e", "eve"),
        FileIdentity.create(tmp_path / "m", "m"),
    )
    named = f"key:{eve.public.verify_key.key_id}"
    policy = api.enact(api.policy("job", access={"read": [named]}))
    api.enact(api.policy("other"))
    answers = {}
    for who in (eve, mallory):
        for view in ("policies/job", "policies/other", "policies", "members", "public/job"):
            path = f"{api.path}/{view}"
            answer = api.call("GET", path, headers=api.header(who, path, own=True))
            answers[who.public.name, view] = answer.status_code
            if (who, view) == (eve, "policies"):
                assert [item["digest"] for item in answer.json()["items"]] == [policy.digest]

    assert answers == {
        ("eve", "policies/job"): 200,
        ("eve", "policies/other"): 401,
        ("eve", "policies"): 200,
        ("eve", "members"): 401,
        ("eve", "public/job"): 200,
        ("m", "policies/job"): 401,
        ("m", "policies/other"): 401,
        ("m", "policies"): 401,
        ("m", "members"): 401,
        ("m", "public/job"): 401,
    }


@pytest.mark.parametrize("flaw", ["not base64", "short", "of another", "for another path"])
def test_a_key_that_does_not_fit_its_signature_reads_nothing(
    api: API, tmp_path: Path, flaw: str
) -> None:
    """The public key in the header must be the one that signed, and be a key at all."""
    eve = FileIdentity.create(tmp_path / "eve", "eve")
    api.enact(api.policy("job", access={"read": [f"key:{eve.public.verify_key.key_id}"]}))
    path = f"{api.path}/policies/job"
    headers = api.header(eve, path, own=True)
    if flaw == "for another path":
        headers = api.header(eve, path + "x", own=True)
    elif flaw == "of another":
        headers["Accord-Key"] = api.header(api.identity("ann"), path, own=True)["Accord-Key"]
    else:
        headers["Accord-Key"] = {"not base64": "!", "short": "AAAA"}[flaw]

    answer = api.call("GET", path, headers=headers)

    assert refusal(answer) == (401, "accord-CHN-003")
    assert answer.json()["details"] == {"detail": "the signature is not valid"}


def test_what_anyone_may_read_needs_no_signature(api: API) -> None:
    """A policy can be open to all; what it was before it said so is not."""
    closed = api.enact(api.policy("job"))
    opened = api.enact(api.policy("job", predecessor=closed.digest, access={"read": ["anyone"]}))
    path = f"{api.path}/policies/job"

    assert api.call("GET", path).json()["digest"] == opened.digest
    assert api.call("GET", f"{path}?digest={closed.digest}").status_code == 401
    assert len(api.call("GET", f"{api.path}/policies").json()["items"]) == 1


def test_public_parts_are_for_whom_the_policy_says(api: API) -> None:
    """Members see all certificates and keys, everybody those that are exported to the public."""
    secrets = {
        "shown": {"kind": "key", "algorithm": "ed25519"},
        "hidden": {"kind": "key", "algorithm": "ed25519"},
    }
    api.enact(api.policy("job", secrets=secrets, exports=[{"secret": "shown", "to": "public"}]))
    path = f"{api.path}/public/job"

    assert set(api.see("ann", "public/job").json()["public"]) == {"shown", "hidden"}
    assert set(api.call("GET", path).json()["public"]) == {"shown"}
    assert api.call("GET", f"{api.path}/public/nothing").status_code == 401
    assert api.see("ann", "public/nothing").status_code == 404
    assert b"PRIVATE" not in api.see("ann", "public/job").content


def test_a_request_that_two_keys_signed_is_nobodys(api: API) -> None:
    """A read has one reader, so that it is known who asked."""
    ann, bob = api.identity("ann"), api.identity("bob")
    path, now = f"{api.path}/log", api.service.now()
    request = SignedRequest(api.genesis.digest, path, bytes(32), now)
    both = sign_statement("request", request.to_json(), [ann.signer, bob.signer])
    with pytest.raises(RequestRefusedError):
        authorise_read(
            "Accord " + base64_encode(both.to_bytes()),
            keys=api.genesis.charter.keys,
            board=api.genesis.digest,
            path=path,
            tls_spki_sha256=bytes(32),
            now=now,
        )


# --- pages ----------------------------------------------------------------------------------


def test_lists_come_in_pages(api: API) -> None:
    """Each page says where the next begins; the last one says nothing."""
    for number in range(5):
        api.submit(api.proposal(api.policy(f"job-{number}")))
    seen, cursor = [], 0
    while cursor is not None:
        page = api.see("ann", "proposals", f"?limit=2&cursor={cursor}").json()
        seen += [item["policies"][0]["name"] for item in page["items"]]
        assert len(page["items"]) <= 2
        cursor = page["next"]

    assert seen == [f"job-{number}" for number in range(5)]
    assert api.see("ann", "proposals", "?cursor=99").json() == {"items": [], "next": None}


def test_the_log_comes_in_pages_under_one_checkpoint(api: API) -> None:
    """Later pages are of the size that the first one had, although the log has grown."""
    first = api.see("ann", "log", "?limit=1").json()
    api.submit(api.proposal(api.policy()))
    second = api.see("ann", "log", f"?start=1&size={first['size']}").json()
    newest = api.see("ann", "log").json()

    assert (first["next"], first["size"], len(first["entries"])) == (1, 2, 1)
    assert (second["next"], second["size"], len(second["entries"])) == (None, 2, 1)
    assert second["checkpoint"] == first["checkpoint"]
    assert (newest["size"], len(newest["entries"])) == (3, 3)


@pytest.mark.parametrize(
    "query",
    [
        "?limit=0", "?limit=501", "?limit=-1", "?limit=1e2", "?limit=", "?limit=01",
        "?start=99999999999999999999", "?size=0", "?size=3", "?start=3", "?start=1&start=1",
        "?unknown=1", "?limit", "?limit=1&", "?%ff=1", "?limit=%D9%A1",
    ],
)  # fmt: skip
def test_a_page_that_is_none_is_refused(api: API, query: str) -> None:
    """Numbers are numbers within bounds, and parameters are those of the route, once each."""
    assert refusal(api.see("ann", "log", query)) == (422, "accord-ENC-001")


def test_an_answer_of_many_megabytes_is_cut_into_pages(
    api: API, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page ends when it is large, with the entry that made it so."""
    monkeypatch.setattr("accord.service._handlers_views.PAGE_BYTES", 10)
    page = api.see("ann", "log").json()

    assert (len(page["entries"]), page["next"]) == (1, 1)


# --- policies by PUT ------------------------------------------------------------------------


def put(api: API, envelope: Envelope, name: str = "job", **headers: str) -> httpx.Response:
    named = {key.replace("_", "-"): value for key, value in headers.items()}
    return api.call("PUT", f"{api.path}/policies/{name}", canonical_json(envelope.to_json()), named)


def test_a_policy_is_put_as_a_proposal(api: API) -> None:
    """PUT proposes; nothing is in force before the votes, and who repeats it is not refused."""
    envelope = api.proposal(api.policy())
    answer = put(api, envelope, If_None_Match="*")
    again = put(api, envelope, If_None_Match="*")
    digest = envelope.statement_digest

    assert (answer.status_code, answer.json()) == (202, {"index": 2, "proposal": digest})
    assert answer.headers["location"] == f"{api.path}/proposals/{digest.removeprefix('sha256:')}"
    assert again.json() == answer.json()
    assert api.see("ann", "policies/job").status_code == 404
    assert api.call("GET", answer.headers["location"]).status_code == 401


def test_a_policy_is_replaced_only_by_who_knows_what_it_replaces(api: API) -> None:
    """The ETag in force, and the same predecessor in what is signed, or nothing happens."""
    first = api.enact(api.policy("job"))
    next_ = api.proposal(api.policy("job", predecessor=first.digest), title="next")
    other = api.proposal(api.policy("job", predecessor=sha256(b"other")), title="other")
    tag, wrong = f'"{first.digest}"', f'"{sha256(b"other")}"'

    assert refusal(put(api, next_)) == (428, "accord-SVC-054")
    assert refusal(put(api, next_, If_None_Match="*")) == (412, "accord-SVC-052")
    assert refusal(put(api, next_, If_Match="*")) == (412, "accord-SVC-052")
    assert refusal(put(api, next_, If_Match=wrong)) == (412, "accord-SVC-052")
    assert refusal(put(api, next_, If_Match=tag, If_None_Match=tag)) == (428, "accord-SVC-054")
    assert refusal(put(api, other, If_Match=tag)) == (412, "accord-SVC-052")
    assert refusal(put(api, next_, If_Match=first.digest)) == (422, "accord-ENC-001")
    assert put(api, next_, If_Match=tag).status_code == 202


def test_a_policy_is_put_by_members_at_its_own_name(api: API, tmp_path: Path) -> None:
    """Another name, two policies, or a stranger's signature: nothing is compared or recorded."""
    eve = FileIdentity.create(tmp_path / "eve", "eve")
    body = json.loads(api.proposal(api.policy()).payload)
    foreign = sign_statement("proposal", body, [eve.signer])
    two = api.proposal(api.policy("job"), api.policy("job-2"))
    before = api.host.head.size

    assert refusal(put(api, foreign, If_None_Match="*"))[0] == 422
    assert refusal(put(api, api.proposal(api.policy("other")), If_None_Match="*"))[0] == 422
    assert refusal(put(api, two, If_None_Match="*"))[0] == 422
    assert api.host.head.size == before


# --- repeated requests ----------------------------------------------------------------------


def test_a_repeated_request_gets_the_first_answer(api: API) -> None:
    """The same key and body: the same answer, marked; another body: refused; refusals: anew."""
    envelope = api.proposal(api.policy())
    first = api.submit(envelope, **{"Idempotency-Key": KEY})
    again = api.submit(envelope, **{"Idempotency-Key": KEY})
    other = api.submit(api.proposal(api.policy("other")), **{"Idempotency-Key": KEY})

    assert (first.status_code, "idempotency-replayed" in first.headers) == (200, False)
    assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")
    assert refusal(other) == (422, "accord-SVC-059")
    assert refusal(api.submit(envelope, **{"Idempotency-Key": "a b"})) == (422, "accord-ENC-001")


def test_a_refusal_is_not_kept(api: API) -> None:
    """What was refused once is decided anew: the reason may be gone."""
    first = api.policy("job")
    envelope = api.proposal(api.policy("job", predecessor=first.digest))
    refused = api.submit(envelope, **{"Idempotency-Key": KEY})
    api.enact(first)

    assert refused.status_code == 409
    assert api.submit(envelope, **{"Idempotency-Key": KEY}).status_code == 200


def test_a_nonce_is_never_given_twice(api: API) -> None:
    """Challenges and releases have no kept answers, whatever key comes with them."""
    answers = [
        api.send(f"{api.path}/challenges", {}, {"Idempotency-Key": KEY}).json()["nonce"]
        for _ in range(2)
    ]

    assert len(set(answers)) == 2


# --- methods, types, sizes ------------------------------------------------------------------


def test_methods_are_told_and_kept_to(api: API) -> None:
    """OPTIONS and 405 list them, HEAD is GET without its body, and nobody is invited across."""
    options = api.call("OPTIONS", f"{api.path}/policies/a/b")
    other = api.call("DELETE", f"{api.path}/policies/a/b")
    head = api.call("HEAD", "/healthz", headers={"Origin": "https://elsewhere.example"})

    assert (options.status_code, options.headers["allow"]) == (204, "GET, HEAD, OPTIONS, PUT")
    assert (refusal(other), other.headers["allow"]) == (
        (405, "accord-SVC-050"),
        "GET, HEAD, OPTIONS, PUT",
    )
    assert head.status_code == 200
    assert not [name for name in head.headers if name.startswith("access-control")]
    assert head.headers["x-content-type-options"] == "nosniff"
    assert head.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("path", "headers", "body", "expected"),
    [
        ("/v1/attest", {"Content-Type": "text/plain"}, b"{}", (415, "accord-SVC-053")),
        ("/v1/attest", {"Content-Type": "Application/JSON;a=b"}, b"{}", (422, "accord-ENC-001")),
        ("/v1/attest", {}, b" " * 5000, (413, "accord-ENC-003")),
        ("/v1/claim", {}, b" " * 17_000, (413, "accord-ENC-003")),
        ("/v1/attest?x=1", {}, b"{}", (422, "accord-ENC-001")),
    ],
)  # fmt: skip
def test_bodies_have_a_type_and_a_size(
    api: API, path: str, headers: dict[str, str], body: bytes, expected: tuple[int, str]
) -> None:
    """JSON or unnamed, and no larger than the route has use for."""
    assert refusal(api.call("POST", path, body, headers)) == expected


def test_a_header_that_is_there_twice_is_refused(api: API) -> None:
    """Which of two signatures counts is not guessed."""
    headers = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")]
    answer = api.call("POST", f"{api.path}/runs", b"{}", headers)  # type: ignore[arg-type]

    assert refusal(answer) == (422, "accord-ENC-001")


def test_challenges_are_for_what_the_service_answers(api: API) -> None:
    """No purpose means a release; evidence for other purposes answers somebody else's nonce."""
    path = f"{api.path}/challenges"

    def ask(document: Any) -> int:
        return api.send(path, document, {}).status_code

    assert api.call("POST", path).status_code == 200
    assert [ask({"purpose": name}) for name in ("release", "lease", "ballot", "exchange")] == [
        200
    ] * 4
    assert [ask({"purpose": name}) for name in ("channel", "log", "x")] == [422] * 3
    assert [ask({"other": 1}), ask([])] == [422, 422]


def test_a_nonce_comes_with_an_answer_for_those_who_ask(
    api: API, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is for the purpose that was named; who gets none may still ask for one."""

    def ask(purpose: str | None, *, board: str = api.genesis.digest) -> httpx.Response:
        document = {"board": board, "nonce": base64_encode(bytes(32))}
        headers = {} if purpose is None else {"Accord-Next-Nonce": purpose}
        return api.send("/v1/attest", document, headers)

    first, second = (ask("release").headers["replay-nonce"] for _ in range(2))
    elsewhere = f"sha256:{64 * '0'}"

    assert first != second
    assert "replay-nonce" not in ask(None).headers
    assert "replay-nonce" not in ask("release", board=elsewhere).headers
    assert ask("log").status_code == ask("anything").status_code == 422
    monkeypatch.setattr("accord.release._challenges.MAX_OUTSTANDING", 0)
    full = ask("release")
    assert (full.status_code, "replay-nonce" in full.headers) == (200, False)


def test_the_service_says_what_it_is(api: API) -> None:
    """Version, log key and owner are for everybody who considers using it."""
    version = api.call("GET", "/v1/version").json()
    owner = api.call("GET", "/v1/service").json()

    assert version["log_key"] == owner["service"] == api.service.keyset.verify_key.key_id
    assert owner["config"]["requests_per_s"] == 1000
