# SPDX-License-Identifier: Apache-2.0
"""Refusals: a stranger learns nothing from them, an attested requester enough to mend it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import MappingProxyType

from accord.errors import (
    AccordError,
    AppraisalError,
    EvidenceError,
    NonceError,
    NotAttestedError,
    UnknownRunError,
    WrongBoardError,
)
from accord.release import Refusal
from accord.service._discreet import discreet
from accord.service._host import BoardHost
from accord.service._parts import Parts

_STRANGERS = (WrongBoardError, NonceError, UnknownRunError, EvidenceError)
"""What is wrong with a requester who has not proved an environment yet."""

_LONGEST = 4096


@contextmanager
def unexplained() -> Iterator[None]:
    """Whatever is wrong with the evidence, or comes before it, is refused in the same words."""
    try:
        yield
    except _STRANGERS as exc:
        raise NotAttestedError from exc


@contextmanager
def explained(parts: Parts, host: BoardHost, nonce: bytes) -> Iterator[None]:
    """A refusal from inside leaves with the service's signature over it and over ``nonce``."""
    try:
        yield
    except AccordError as exc:
        told = discreet(exc)
        refusal = Refusal(
            board=host.board,
            nonce=nonce,
            code=told.code,
            title=_shown(told),
            hint=_shown(told.hint),
            details=MappingProxyType(
                {name: _shown(told.details.get(name, "")) for name in told.fields()}
            ),
            time=host.now(),
        )
        exc.refusal = parts.sign("refusal", refusal.to_json()).to_bytes()
        raise


@contextmanager
def explained_once_attested(parts: Parts, host: BoardHost, nonce: bytes) -> Iterator[None]:
    """Both in one, for checks that look at the evidence in their midst.

    `AppraisalError` comes last: the evidence was genuine, only not of what the policy names.
    """
    try:
        with explained(parts, host, nonce):
            yield
    except AppraisalError:
        raise
    except _STRANGERS as exc:
        raise NotAttestedError from exc


def _shown(value: object) -> str:
    return "".join(c if c.isprintable() else "?" for c in str(value))[:_LONGEST]
