# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI document: it is published, current, and the application does what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator
from schemathesis.checks import CHECKS, load_all_checks
from tests.support.api import API
from tests.support.live import Hardware

from accord.service import Limits, create_app, openapi
from accord.service._openapi_schemas import SCHEMAS
from accord.service._route import Auth
from accord.service._routes import ROUTES

ROOT = Path(__file__).parents[3]

OPEN = (Auth.ANONYMOUS, Auth.LOCAL)
SIGNED = (Auth.MEMBER, Auth.READER)
OF_SOME_BOARDS = {
    "tile",
    "backup",
    "recovery",
    "recovery_key",
    "recovery_open",
    "handover",
    "handover_offer",
    "handover_package",
}
"""Open, but there is nothing to see on a board with a short log that is where it was."""


@pytest.fixture(scope="module")
def api(hardware: Hardware, tmp_path_factory: pytest.TempPathFactory) -> API:
    """One application for all, which does not mind how often it is asked."""
    api = API(hardware, tmp_path_factory.mktemp("api"))
    api.app = create_app(api.service, limits=Limits(requests_per_s=1_000_000))
    return api


@pytest.fixture(scope="module")
def described(api: API) -> Any:
    return schemathesis.openapi.from_asgi("/v1/openapi.json", api.app)


def test_the_published_document_is_current(api: API) -> None:
    """What is in the repository is what the service answers, and nothing of it is unused."""
    published = json.loads((ROOT / "docs/reference/openapi.json").read_text())
    used = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(published)))

    assert published == openapi() == api.call("GET", "/v1/openapi.json").json()
    assert used == set(SCHEMAS)


def test_every_schema_is_one(api: API) -> None:
    """They are of the JSON Schema version that OpenAPI 3.1 means."""
    for item in SCHEMAS.values():
        Draft202012Validator.check_schema(item)


def test_every_route_is_in_the_manual() -> None:
    """docs/reference/api.md names each route, with who may call it."""
    manual = (ROOT / "docs/reference/api.md").read_text()
    missing = [
        f"{route.method} {route.path}"
        for route in ROUTES.values()
        if f"| `{route.method} {route.path}` | {route.auth.value} |" not in manual
    ]

    assert missing == []


def path_of(api: API, template: str) -> str:
    filled = (
        template.replace("/v1/boards/{board}", api.path)
        .replace("{name}", "a/b")
        .replace("{index}", "0")
    )
    return re.sub(r"\{\w+\}", 64 * "a", filled)


@pytest.mark.parametrize("route", ROUTES.values(), ids=lambda item: f"{item.method} {item.path}")
def test_only_what_is_declared_open_answers_a_stranger(api: API, route: Any) -> None:
    """Every route, without a signature and with an empty object for a body."""
    body = b"{}" if route.method in ("POST", "PUT") else b""
    answer = api.call(route.method, path_of(api, route.path), body)

    if route.handler in OF_SOME_BOARDS:
        assert answer.status_code in (404, 422)
    elif route.auth in OPEN and route.handler != "attest":
        assert answer.status_code == 200
    elif route.auth in SIGNED:
        assert (answer.status_code, answer.json()["code"]) == (401, "accord-CHN-003")
    else:
        assert answer.status_code == 422  # Nothing is in the body that anybody signed.


@pytest.mark.parametrize(
    "route",
    [route for route in ROUTES.values() if route.auth in SIGNED],
    ids=lambda item: item.path,
)
def test_a_board_that_is_not_there_is_refused_like_one_that_is(api: API, route: Any) -> None:
    """A stranger, signing or not, hears the same words."""
    there = path_of(api, route.path)
    nowhere = there.replace(api.path, f"/v1/boards/{64 * '0'}")
    for headers in ({}, {"Authorization": "Accord AAAA"}):
        answers = [api.call("GET", path, headers=headers) for path in (there, nowhere)]

        assert answers[0].status_code == 401
        assert answers[0].content == answers[1].content


def conforms(answer: Any, name: str) -> None:
    """Raises where an answer is not of the schema that the document names."""
    components = {"schemas": dict(SCHEMAS)}
    whole = {"$ref": f"#/components/schemas/{name}", "components": components}
    Draft202012Validator(whole).validate(answer.json())


def test_what_members_see_is_as_described(hardware: Hardware, tmp_path: Path) -> None:
    """Every view with something in it, against the schema of its answer."""
    api = API(hardware, tmp_path)
    api.enact(api.policy("a/b", namespace=api.enact(api.policy("a")).digest))
    waiting = api.proposal(api.policy("other"))
    api.submit(waiting)
    api.stop("wait")
    seen = 0
    for route in ROUTES.values():
        if route.auth not in SIGNED or route.handler in ("object", "receipt", "recovery_log"):
            continue
        digest = waiting.statement_digest.removeprefix("sha256:")
        view = route.path.removeprefix("/v1/boards/{board}/").format(id=digest, name="a/b")
        answer = api.see("ann", view)
        assert answer.status_code == 200
        conforms(answer, route.reply)
        seen += 1

    assert seen == 12
    conforms(api.call("GET", "/v1/service"), "Ownership")
    conforms(api.see("ann", "nothing"), "Problem")


load_all_checks()
CHECKED = CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "unsupported_method",
    ]
)


@pytest.mark.parametrize("route", ROUTES.values(), ids=lambda item: f"{item.method} {item.path}")
def test_the_application_does_what_its_document_says(described: Any, route: Any) -> None:
    """Whatever the document allows or forbids to send: no failure, and answers of its forms."""

    @given(case=described[route.path][route.method].as_strategy())
    @settings(
        max_examples=12, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    def check(case: Any) -> None:
        case.call_and_validate(checks=CHECKED)

    check()
