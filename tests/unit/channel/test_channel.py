# SPDX-License-Identifier: Apache-2.0
"""Problems on the wire, pinned keys, signed reads."""

from __future__ import annotations

import json
import ssl

import pytest

from accord.channel import PinnedContext, TLSIdentity, from_problem, to_problem
from accord.errors import (
    AccordError,
    ApprovalsMissingError,
    ReplyError,
    RollbackError,
    TooLargeError,
    UnknownBoardError,
    catalogue,
)


@pytest.mark.parametrize("code", catalogue())
def test_every_error_crosses_the_wire(code: str) -> None:
    """Each error of the catalogue arrives as itself, with the same words."""
    cls = catalogue()[code]
    error = cls(**dict.fromkeys(cls.fields(), "x"))
    status, problem = to_problem(error)
    arrived = from_problem(json.loads(json.dumps(problem)))

    assert (type(arrived), str(arrived)) == (cls, str(error))
    assert 200 <= status < 600


def test_statuses_tell_classes_of_errors_apart() -> None:
    """Missing votes are a conflict, wrong use a bad request, too much is too large."""
    errors: list[tuple[int, AccordError]] = [
        (409, ApprovalsMissingError(proposal="p", missing="ann")),
        (400, UnknownBoardError(board="b")),
        (413, TooLargeError(what="x", limit=1)),
        (500, RollbackError(found=1, volume="v", expected=2)),
    ]

    assert [to_problem(error)[0] for _, error in errors] == [status for status, _ in errors]


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "x",
        {},
        {"code": "accord-XXX-999", "details": {}},
        {"code": ["accord-ENC-001"], "details": {}},
        {"code": "accord-ENC-001", "details": {}},
        {"code": "accord-ENC-001", "details": "x"},
        {"code": "accord-ENC-001"},
    ],
)
def test_a_problem_that_is_none_is_said_to_be_unknown(document: object) -> None:
    """Whatever a service answers, the client gets an error of its own catalogue."""
    assert isinstance(from_problem(document), ReplyError)


def test_a_problem_cannot_steer_the_terminal_or_flood_it() -> None:
    """Details from the network are made printable and cut off."""
    details = {"what": "\x1b[2J", "detail": "x" * 100_000}
    error = from_problem({"code": "accord-ENC-001", "details": details})

    assert "\x1b" not in str(error)
    assert len(str(error)) < 5000


def test_a_pin_accepts_one_key_alone() -> None:
    """The first key is remembered; every other one is refused."""
    first, second = (TLSIdentity.generate().spki_sha256 for _ in range(2))
    context = PinnedContext()
    context.check(first)
    context.check(first)
    assert context.pinned == first
    with pytest.raises(ssl.SSLError, match="has changed"):
        context.check(second)
    assert context.pinned == first
