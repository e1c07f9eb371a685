# SPDX-License-Identifier: Apache-2.0
"""How much one caller may ask, how long, and what becomes of requests that are sent again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send
from tests.support.api import API
from tests.support.live import Hardware
from tests.support.wire import problem_code

from accord.client import ServiceConfig
from accord.errors import (
    AccordError,
    IdempotencyKeyBusyError,
    IdempotencyKeyReusedError,
    MalformedError,
    ServiceBusyError,
    TooManyRequestsError,
)
from accord.service import Limits, _idempotency, _limits, create_app
from accord.service._edge import Edge
from accord.service._idempotency import Idempotency
from accord.service._limits import Buckets, Governor, neighbourhood
from accord.service._metrics import Metrics


class Clock:
    """Time that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def api(hardware: Hardware, tmp_path: Path) -> API:
    return API(hardware, tmp_path)


# --- buckets --------------------------------------------------------------------------------


def taken(buckets: Buckets, caller: str) -> int:
    """How many tokens a caller gets at once."""
    number = 0
    with contextlib.suppress(TooManyRequestsError):
        while True:
            buckets.take(caller)
            number += 1
    return number


def test_a_bucket_holds_two_seconds_and_fills_again(clock: Clock) -> None:
    """A burst, then the rate; and the refusal says how long to wait."""
    buckets = Buckets(10, clock)

    assert taken(buckets, "a") == 20
    assert taken(buckets, "b") == 20
    clock.now += 0.5
    assert taken(buckets, "a") == 5
    with pytest.raises(TooManyRequestsError) as refused:
        buckets.take("a")
    assert refused.value.details["seconds"] == 1
    clock.now += 1000
    assert taken(buckets, "a") == 20


def test_a_rate_of_nothing_is_nothing(clock: Clock) -> None:
    """No division by zero where nobody may ask."""
    with pytest.raises(TooManyRequestsError):
        Buckets(0, clock).take("a")


def test_buckets_do_not_fill_the_memory(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limit, who was silent for longest is forgotten."""
    monkeypatch.setattr(_limits, "MAX_BUCKETS", 10)
    buckets = Buckets(1, clock)
    for number in range(100):
        buckets.take(number)

    assert len(buckets._level) == 10


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("a name", "a name", True),
    ],
)
def test_who_has_a_network_has_one_bucket(one: str, other: str, *, same: bool) -> None:
    """Addresses of one IPv6 customer count as one."""
    assert same == (neighbourhood(one) == neighbourhood(other))


def test_requests_at_the_same_time_are_limited(clock: Clock) -> None:
    """For one address, and for all; and a request that has ended makes room."""
    governor = Governor(Limits(requests_per_s=100, per_address=2, in_all=3), clock)
    with governor.admitted("a"), governor.admitted("a"):
        with pytest.raises(TooManyRequestsError), governor.admitted("a"):
            pass
        with governor.admitted("b"), pytest.raises(ServiceBusyError), governor.admitted("c"):
            pass
    with governor.admitted("a"):
        pass


# --- over the application -------------------------------------------------------------------


def limited(api: API, **limits: Any) -> API:
    api.app = create_app(api.service, limits=Limits(**{"requests_per_s": 10, **limits}))
    return api


def until_refused(ask: Callable[[], httpx.Response]) -> tuple[int, httpx.Response]:
    """How often it is answered, and the refusal. Buckets fill meanwhile, but not as fast."""
    for number in range(100):
        answer = ask()
        if answer.status_code != 200:
            return number, answer
    raise AssertionError


def test_a_stranger_asks_half_as_often_as_a_member(api: API) -> None:
    """Requests without a signature run out first, with a word on when to come back."""
    limited(api)
    number, refused = until_refused(lambda: api.call("POST", f"{api.path}/challenges"))

    assert 10 <= number < 20
    assert problem_code(429, refused.content) == "accord-SVC-055"
    assert refused.headers["retry-after"] == "1"
    assert api.see("ann", "status").status_code == 200


def test_an_address_and_a_key_have_limits_of_their_own(api: API) -> None:
    """One key runs out before the address does from which others ask, too."""
    limited(api)
    ann, _ = until_refused(lambda: api.see("ann", "status"))
    bob, refused = until_refused(lambda: api.see("bob", "status"))

    assert 10 <= ann < 20
    assert 5 <= bob < 20
    assert refused.status_code == 429


def test_a_service_that_is_busy_says_when_to_come_back(api: API) -> None:
    """Beyond what is answered at the same time there is a refusal, and soon."""
    answer = limited(api, in_all=0).call("GET", "/healthz")

    assert problem_code(503, answer.content) == "accord-SVC-057"
    assert answer.headers["retry-after"] == "1"


def test_the_owner_sets_the_rate(api: API) -> None:
    """A configuration that is accepted holds from then on."""
    governor = Governor(Limits(requests_per_s=10), Clock())
    governor.allow(100)

    assert taken(governor._addresses, "a") == 200
    assert taken(governor._strangers, "a") == 100
    assert ServiceConfig(api.genesis.digest).requests_per_s == 1000


async def exchange(app: Any, scope: dict[str, Any], receive: Receive) -> list[Message]:
    """One request to an ASGI application; its answer."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    base = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": "/v1/attest",
        "query_string": b"",
        "headers": [],
        "client": ("192.0.2.1", 1),
    }
    await app({**base, **scope}, receive, send)
    return sent


async def never() -> Message:
    """A client that sends no more."""
    await asyncio.sleep(60)
    return {}


async def gone() -> Message:
    """A client that left."""
    return {"type": "http.disconnect"}


def status(sent: list[Message]) -> int:
    return int(sent[0]["status"])


def test_a_body_that_does_not_come_is_not_waited_for(api: API) -> None:
    """After the time is over there is an answer, and the connection closes."""
    limited(api, body_s=0.05)
    sent = asyncio.run(exchange(api.app, {}, never))
    headers = dict(sent[0]["headers"])

    assert (status(sent), headers[b"connection"]) == (408, b"close")


def test_who_leaves_is_not_answered(api: API) -> None:
    """A connection that ends in the middle of a body is no failure of the service."""
    assert asyncio.run(exchange(api.app, {}, gone)) == []


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ({"http_version": "1.0"}, 505),
        ({"headers": [(b"x", b"y")] * 65}, 431),
        ({"headers": [(b"x", b"y" * 17_000)]}, 431),
        ({"headers": [(b"content-length", b"1"), (b"content-length", b"1")]}, 400),
        ({"headers": [(b"content-length", b"1"), (b"transfer-encoding", b"chunked")]}, 400),
        ({"headers": [(b"content-length", b"9999999")]}, 413),
    ],
)
def test_headers_are_sane_or_the_connection_ends(
    api: API, scope: dict[str, Any], expected: int
) -> None:
    """Another version, too much, or two readings: refused before anything is read."""
    sent = asyncio.run(exchange(api.app, scope, never))

    assert (status(sent), dict(sent[0]["headers"])[b"connection"]) == (expected, b"close")


def test_a_failure_in_mid_answer_breaks_off(clock: Clock) -> None:
    """An answer that has begun is not followed by another one."""

    async def broken(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise KeyError

    governor = Governor(Limits(requests_per_s=10), clock)
    edge = Edge(broken, governor=governor, metrics=Metrics(tuple, int))
    sent = asyncio.run(exchange(edge, {"client": None, "method": "BREW"}, never))

    assert [item["type"] for item in sent] == ["http.response.start"]


# --- idempotency keys -----------------------------------------------------------------------


def once(kept: Idempotency, key: str, body: bytes, answer: Response | AccordError) -> Response:
    async def work() -> Response:
        if isinstance(answer, AccordError):
            raise answer
        return answer

    return asyncio.run(kept.once(key, "/place", body, work))


def test_answers_are_kept_for_a_day(clock: Clock) -> None:
    """Then the key is as good as new."""
    kept = Idempotency(clock)
    once(kept, "k", b"1", Response(b"first"))

    assert once(kept, "k", b"1", Response(b"second")).body == b"first"
    with pytest.raises(IdempotencyKeyReusedError):
        once(kept, "k", b"2", Response(b""))
    clock.now += _idempotency.LIFETIME_S + 1
    assert once(kept, "k", b"2", Response(b"third")).body == b"third"


def test_answers_do_not_fill_the_memory(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are forgotten, and long ones are not kept at all."""
    monkeypatch.setattr(_idempotency, "MAX_KEPT", 10)
    kept = Idempotency(clock)
    for number in range(30):
        once(kept, str(number), b"", Response(b""))
    once(kept, "long", b"", Response(b"a" * 5000))

    assert len(kept._kept) == 9
    assert once(kept, "long", b"other", Response(b"b")).body == b"b"


@pytest.mark.parametrize("key", ["", "a" * 129, "two words", "\x7f"])
def test_a_key_is_a_short_word(clock: Clock, key: str) -> None:
    """So that it can be kept, and never draws in a log."""
    with pytest.raises(MalformedError):
        once(Idempotency(clock), key, b"", Response(b""))


def test_the_same_request_is_not_done_twice_at_once(clock: Clock) -> None:
    """While the first is being answered, the second is told to wait."""
    kept = Idempotency(clock)

    async def both() -> Response:
        started, finish = asyncio.Event(), asyncio.Event()

        async def slow() -> Response:
            started.set()
            await finish.wait()
            return Response(b"done")

        first = asyncio.create_task(kept.once("k", "/", b"", slow))
        await started.wait()
        with pytest.raises(IdempotencyKeyBusyError):
            await kept.once("k", "/", b"", slow)
        finish.set()
        return await first

    assert asyncio.run(both()).body == b"done"


def test_what_failed_is_not_kept(clock: Clock) -> None:
    """A failure leaves the key free."""
    kept = Idempotency(clock)
    with pytest.raises(ServiceBusyError):
        once(kept, "k", b"1", ServiceBusyError(limit=1))

    assert once(kept, "k", b"2", Response(b"x")).body == b"x"
