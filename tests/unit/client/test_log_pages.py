# SPDX-License-Identifier: Apache-2.0
"""The pages of a log, as a service might send them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accord.client._log import LogPages
from accord.encoding import base64_encode
from accord.errors import AccordError, ReplyError


def page(entries: list[bytes], following: Any, size: int) -> dict[str, Any]:
    return {
        "entries": [base64_encode(entry) for entry in entries],
        "next": following,
        "size": size,
        "checkpoint": base64_encode(b"note"),
    }


def serving(pages: dict[str, Any]) -> Callable[[str], bytes]:
    return lambda query: json.dumps(pages[query]).encode()


def test_pages_are_put_together_in_order() -> None:
    """All entries of all pages, and the checkpoint of the first."""
    pages = {
        "start=0": page([b"a", b"b"], 2, 5),
        "start=2&size=5": page([b"c"], 3, 5),
        "start=3&size=5": page([b"d", b"e"], None, 5),
    }
    read = LogPages(serving(pages))

    assert (list(read), read.checkpoint) == ([b"a", b"b", b"c", b"d", b"e"], b"note")


@pytest.mark.parametrize(
    "pages",
    [
        {"start=0": page([b"a"], None, 2)},
        {"start=0": page([b"a"], 2, 3)},
        {"start=0": page([b"a"], 0, 3)},
        {"start=0": page([b"a"], 1, 1)},
        {"start=0": page([b"a", b"b"], None, 1)},
        {"start=0": page([b"a"], "1", 2)},
        {"start=0": page([b"a"], 1, 2), "start=1&size=2": page([], 1, 2)},
        {"start=0": page([b"a"], 1, 2), "start=1&size=2": page([b"b"], 2, 3)},
        {"start=0": page([b"a"], 1, 2), "start=1&size=2": page([b"b", b"c"], None, 2)},
    ],
)
def test_pages_that_do_not_fit_are_refused(pages: dict[str, Any]) -> None:
    """Too few, too many, in circles, or of different sizes: never an endless reading."""
    with pytest.raises(ReplyError):
        list(LogPages(serving(pages)))


@given(
    st.binary(max_size=60)
    | st.recursive(
        st.none() | st.integers() | st.text(),
        lambda x: (
            st.lists(x)
            | st.dictionaries(st.sampled_from(["entries", "next", "size", "checkpoint"]), x)
        ),
    ).map(lambda item: json.dumps(item).encode())
)
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    """No page makes the client fail."""
    with pytest.raises(AccordError):
        list(LogPages(lambda _query: data))
