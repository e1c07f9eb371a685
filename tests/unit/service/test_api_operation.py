# SPDX-License-Identifier: Apache-2.0
"""What the operator sees: health, metrics, and a log that holds nothing of what callers sent."""

from __future__ import annotations

import asyncio
import json
import logging
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.support.api import API
from tests.support.live import Hardware, make_service

from accord.cli._main import run
from accord.encoding import base64_encode
from accord.errors import StoreIntegrityError
from accord.evidence import Role
from accord.service import MemoryStore, create_app, openapi
from accord.service._logging import LOGGER, log_request, start_logging, stop_logging
from accord.service._store import Stored


@pytest.fixture
def api(hardware: Hardware, tmp_path: Path) -> API:
    return API(hardware, tmp_path)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Path]:
    """The log of everything that happens in the test."""
    file = tmp_path / "log"
    handler = start_logging(str(file), "info")
    yield file
    stop_logging(handler)


def lines(log: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


# --- health ---------------------------------------------------------------------------------


class Broken(MemoryStore):
    """A store that fails from some moment on."""

    full = False

    def append(self, board: str, first: int, batch: Sequence[Stored], *, fence: int) -> None:
        if self.full:
            raise OSError
        super().append(board, first, batch, fence=fence)


def health(api: API) -> tuple[int, str]:
    answer = api.call("GET", "/healthz")
    return answer.status_code, answer.json()["status"]


def test_a_fresh_service_is_unclaimed(api: API) -> None:
    """Until somebody owns it."""
    api.app = create_app(make_service(api.hardware.attester(Role.SERVICE), claimed=False))

    assert health(api) == (200, "unclaimed")


def test_a_service_that_only_reads_says_so(api: API) -> None:
    """Boards that another service writes are read here."""
    assert health(api) == (200, "open")
    api.host._commit = None
    assert health(api) == (200, "reader")


def test_a_halted_board_is_the_operators_business(api: API) -> None:
    """A monitor sees it by the status code alone."""
    store = Broken()
    api.service = make_service(api.hardware.attester(Role.SERVICE), store=store)
    api.app = create_app(api.service)
    api.host = asyncio.run(api.service.found(api.envelope))
    store.full = True

    assert api.submit(api.proposal(api.policy())).status_code == 503
    assert health(api) == (503, "halted")
    assert b"accord_boards_halted 1.0" in api.call("GET", "/metrics").content


# --- metrics --------------------------------------------------------------------------------


def sample(api: API, name: str, **labels: str) -> float | None:
    text = api.call("GET", "/metrics").text
    for family in text_string_to_metric_families(text):
        for item in family.samples:
            if item.name == name and labels.items() <= item.labels.items():
                return float(item.value)
    return None


def test_what_happens_is_counted(api: API) -> None:
    """Requests, refused releases, entries, undecided proposals and transactions."""
    api.submit(api.proposal(api.policy()))
    api.send(f"{api.path}/releases", {}, {})
    route = "/v1/boards/{board}/statements"

    assert sample(api, "accord_requests_total", route=route, status="200", method="POST") == 1
    assert sample(api, "accord_request_seconds_count", route=route) == 1
    assert sample(api, "accord_releases_total", outcome="accord-ENC-001") == 1
    assert sample(api, "accord_entries") == api.host.head.size == 3
    assert sample(api, "accord_open_proposals") == 1
    assert sample(api, "accord_committed_entries_total") == 3
    assert 1 <= (sample(api, "accord_commits_total") or 0) <= 3


def test_labels_are_bounded(api: API) -> None:
    """Whatever is asked for, the label is a route of the table, a known method, or other."""
    for method, path in (("GET", "/a"), ("BREW", "/b"), ("GET", f"{api.path}/policies/secret")):
        api.call(method, path)
    text = api.call("GET", "/metrics").text

    assert 'method="other",route="other"' in text
    assert "secret" not in text
    assert "BREW" not in text
    assert api.genesis.digest.removeprefix("sha256:") not in text


def test_metrics_are_for_this_machine_unless_the_operator_says_otherwise(api: API) -> None:
    """From elsewhere there is nothing at that path."""
    app = create_app(api.service)

    def ask(host: str) -> int:
        import httpx

        async def call() -> int:
            transport = httpx.ASGITransport(app, client=(host, 1))
            async with httpx.AsyncClient(transport=transport, base_url="https://s") as client:
                return (await client.get("/metrics")).status_code

        return asyncio.run(call())

    assert [ask("127.0.0.1"), ask("192.0.2.1")] == [200, 404]
    app = create_app(api.service, open_metrics=True)
    assert ask("192.0.2.1") == 200


# --- the log --------------------------------------------------------------------------------


def test_a_request_is_one_line(api: API, log: Path) -> None:
    """Route, status, duration and who to ask about; nothing of the query or the header."""
    answer = api.see("ann", "policies", "?limit=77")
    (line,) = lines(log)

    assert {**line, "time": 0, "ms": 0} == {
        "time": 0,
        "level": "info",
        "message": "request",
        "route": "/v1/boards/{board}/policies",
        "method": "GET",
        "status": 200,
        "ms": 0,
        "request": answer.headers["x-request-id"],
        "board": api.genesis.digest.removeprefix("sha256:")[:8],
    }
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_nothing_that_was_sent_is_in_the_log(api: API, log: Path) -> None:
    """Paths, queries, headers, bodies, nonces: the log has none of them."""
    nonce = api.call("POST", f"{api.path}/challenges").json()["nonce"]
    policy = api.enact(api.policy("secret-name"))
    read = api.header(api.identity("ann"), f"{api.path}/policies/secret-name")
    api.call("GET", f"{api.path}/policies/secret-name?digest={policy.digest}", headers=read)
    api.call("GET", "/a-secret-path?a-secret-query", headers={"X-Secret": "a-secret-header"})
    api.send(f"{api.path}/runs", {"a-secret": "body"}, {"Idempotency-Key": "a-secret-key"})
    text = log.read_text()

    assert len(lines(log)) == 6
    for secret in (
        nonce, "secret", policy.digest, "ann", "Authorization", read["Authorization"],
        api.genesis.digest, base64_encode(api.identity("ann").public.verify_key.raw),
    ):  # fmt: skip
        assert secret not in text


def test_a_failure_is_logged_by_its_type(
    api: API, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer has the reference that the log has, and neither has the message."""

    def broken(*_: object) -> None:
        raise KeyError("a secret")

    monkeypatch.setattr(api.service, "challenge", broken)
    answer = api.call("POST", f"{api.path}/challenges")
    failure, request = lines(log)

    assert failure["message"] == (
        f"{answer.json()['details']['reference']}: KeyError at /v1/boards/{{board}}/challenges"
    )
    assert (request["status"], request["request"]) == (500, answer.headers["x-request-id"])
    assert "secret" not in log.read_text()


def test_a_traceback_is_not_written(log: Path) -> None:
    """Of an exception there is its type; what it says could be anything."""
    error = StoreIntegrityError(path="secret", detail="secret")
    logging.getLogger(LOGGER).error("it failed", exc_info=error)
    logging.getLogger("asyncio").error("no exception", exc_info=(None, None, None))
    first, second = lines(log)

    assert (first["exception"], first["level"]) == ("StoreIntegrityError", "error")
    assert "exception" not in second
    assert "secret" not in log.read_text()


def test_requests_are_not_logged_unless_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The default tells of what went wrong; - is standard error."""
    handler = start_logging("-", "warning")
    log_request(route="/", method="GET", status=200, milliseconds=1, request="r", board="b")
    logging.getLogger(LOGGER).warning("attention")
    stop_logging(handler)
    logging.getLogger(LOGGER).info("afterwards")
    said = capsys.readouterr().err

    assert [json.loads(line)["message"] for line in said.splitlines()] == ["attention"]


def test_the_document_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """`accord service openapi` needs no service."""
    code = run(["service", "openapi"])

    assert (code, json.loads(capsys.readouterr().out)) == (0, openapi())
