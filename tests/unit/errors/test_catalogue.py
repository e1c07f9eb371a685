# SPDX-License-Identifier: Apache-2.0
"""The error catalogue, all of it: codes, sentences, hints, exit codes, and that each is used."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import accord
from accord.channel import from_problem, to_problem
from accord.encoding import canonical_json, parse_json
from accord.errors import (
    AccordError,
    EncodingError,
    ExitCode,
    MalformedError,
    NotCanonicalError,
    ReplyError,
    TooLargeError,
    catalogue,
)

SOURCE = Path(accord.__file__).parent


def subclasses(cls: type[AccordError]) -> Iterator[type[AccordError]]:
    """Every class of the tree; those that tests make are left out."""
    if cls.__module__.startswith("accord.errors."):
        yield cls
        for child in cls.__subclasses__():
            yield from subclasses(child)


ALL = tuple(dict.fromkeys(subclasses(AccordError)))
CODED = tuple(cls for cls in ALL if cls.code)
GROUPS = tuple(cls for cls in ALL if cls.__subclasses__() and cls is not AccordError)
coded = pytest.mark.parametrize("cls", CODED, ids=lambda cls: cls.__name__)


def example(cls: type[AccordError]) -> AccordError:
    return cls(**{name: f"<{name}>" for name in cls.fields()})


def test_catalogue_holds_every_coded_class() -> None:
    """Nothing with a code is missing, and nothing else is there."""
    assert {cls.code: cls for cls in CODED} == catalogue()


def test_classes_are_either_groups_or_coded() -> None:
    """A class that groups has no code of its own; every other has one."""
    leaves = {cls for cls in ALL if cls is not AccordError} - set(GROUPS)

    assert set(CODED) == leaves | {cls for cls in GROUPS if cls.code}
    assert all(not cls.code for cls in GROUPS)


def test_codes_of_a_group_share_their_family() -> None:
    """One group, one family of codes."""
    for group in GROUPS:
        families = {cls.code.split("-")[1] for cls in subclasses(group) if cls.code}
        assert len(families) == 1, group.__name__


def test_a_code_used_twice_is_a_bug() -> None:
    """Two classes with one code cannot be told apart by whoever handles them."""

    class TwinError(EncodingError):
        """a twin"""

        code = MalformedError.code

    try:
        with pytest.raises(RuntimeError, match="accord-ENC-001 names both"):
            catalogue()
    finally:
        TwinError.code = ""  # The class outlives this test; its code must not.


@coded
def test_code_is_well_formed(cls: type[AccordError]) -> None:
    """Codes are stable identifiers that can be searched for."""
    assert re.fullmatch(r"accord-[A-Z]+-\d{3}", cls.code)


@coded
def test_message_is_one_sentence(cls: type[AccordError]) -> None:
    """A message starts small, does not end with a full stop, and fits on one line."""
    message = str(example(cls))

    assert message
    assert "\n" not in message
    assert message[0].islower() or message[0] == "<"
    assert not message.endswith(".")


@coded
def test_hint_says_what_to_do(cls: type[AccordError]) -> None:
    """There is a hint, without a full stop, on one line."""
    assert cls.hint
    assert "\n" not in cls.hint
    assert not cls.hint.endswith(".")


@coded
def test_exit_code_is_one_of_ours(cls: type[AccordError]) -> None:
    """Scripts can rely on the table of exit codes."""
    assert isinstance(cls.exit_code, ExitCode)
    assert cls.exit_code is not ExitCode.INTERRUPTED


@coded
def test_message_shows_every_detail(cls: type[AccordError]) -> None:
    """What is given is shown, and what is shown must be given."""
    fields = cls.fields()

    assert all(f"<{name}>" in str(example(cls)) for name in fields)
    if fields:
        with pytest.raises(KeyError):
            cls()


@coded
def test_class_is_raised_somewhere(cls: type[AccordError]) -> None:
    """An entry of the catalogue that nobody raises misleads its readers."""
    used = [
        path
        for path in SOURCE.rglob("*.py")
        if path.parent.name != "errors"
        and re.search(rf"raise {cls.__name__}\b|{cls.__name__}\(", path.read_text())
    ]

    assert used


@coded
def test_problem_document_gives_the_same_error_back(cls: type[AccordError]) -> None:
    """An error crosses the wire: same class, same sentence."""
    error = example(cls)
    status, document = to_problem(error)
    received = from_problem(parse_json(canonical_json(document), what="problem"))

    assert cls is type(received)
    assert str(error) == str(received)
    assert document["status"] == status
    assert status in {200, 400, 403, 409, 413, 422, 500, 503}


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "text",
        7,
        {},
        {"code": "accord-ENC-999", "details": {}},
        {"code": [], "details": {}},
        {"code": MalformedError.code},
        {"code": MalformedError.code, "details": {"what": "x"}},
        {"code": MalformedError.code, "details": ["what", "detail"]},
        {"code": MalformedError.code, "details": "what detail"},
    ],
)
def test_unknown_problem_is_still_an_error(document: object) -> None:
    """A peer of another version, or a hostile one, cannot make the client fall over."""
    assert type(from_problem(document)) is ReplyError


def test_hostile_problem_cannot_draw_on_the_terminal() -> None:
    """Control characters in what a peer sends are taken out, and it cannot flood the screen."""
    hostile = {"what": "\x1b[2J\n✓ verified", "detail": "x" * 100_000}
    error = from_problem({"code": MalformedError.code, "details": hostile})

    assert str(error).isprintable()
    assert len(str(error)) < 5000


@pytest.mark.parametrize(
    "text", ["a\nb", "a\x1b[2Jb", "a\u202eb", "a\ud800b", "a\x00b", "a\u2028b"]
)
def test_message_has_one_visible_line_whatever_the_detail(text: str) -> None:
    """A name chosen by an attacker cannot forge a line of output or turn it around."""
    message = str(NotCanonicalError(what=text))

    assert message.isprintable()
    assert message.startswith("a")
    message.encode()


def test_too_large_has_a_status_of_its_own() -> None:
    """HTTP has a number for what is too large."""
    assert to_problem(TooLargeError(what="policy", limit=5))[0] == 413


def test_exit_codes_are_pinned() -> None:
    """Scripts depend on these numbers."""
    pinned = {
        "OK": 0,
        "FAILURE": 1,
        "USAGE": 2,
        "NOT_VERIFIED": 3,
        "DENIED": 4,
        "UNREACHABLE": 5,
        "PENDING": 6,
        "INTEGRITY": 7,
        "INTERRUPTED": 130,
    }

    assert pinned == {item.name: item.value for item in ExitCode}
