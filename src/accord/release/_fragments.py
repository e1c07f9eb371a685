# SPDX-License-Identifier: Apache-2.0
"""Whether what a service took from other policies is theirs, and still supplied."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from accord.board import BoardState
from accord.errors import FragmentMismatchError, FragmentWithdrawnError
from accord.policy import FragmentUse, Policy, Service
from accord.release._consent import still_shares


def fragments_agree(
    board: BoardState, policy: Policy, services: Iterable[Service], *, now: datetime
) -> None:
    """That ``services`` of ``policy`` hold the fragments that they name, as they are supplied.

    Raises ``FragmentWithdrawnError``, ``FragmentMismatchError``, ``PolicyExpiredError`` or
    ``ExecutionStoppedError``.
    """
    for service in services:
        for use in service.fragments:
            _agrees(board, policy, service, use, now)


def _agrees(
    board: BoardState, policy: Policy, service: Service, use: FragmentUse, now: datetime
) -> None:
    # (1) The supplier still supplies it to that policy. Both sides agree anew each time.
    supplier = board.policy(use.policy)
    fragment = None if supplier is None else supplier.fragments.get(use.fragment)
    if supplier is None or fragment is None or not fragment.covers(policy.name):
        raise FragmentWithdrawnError(importer=policy.name, fragment=use.fragment, policy=use.policy)
    still_shares(board, supplier, now)
    # (2) What the document says of the version that it took is true.
    versions = (item for item in board.policies[use.policy] if item.digest == use.version)
    taken = next((item.fragments.get(use.fragment) for item in versions), None)
    if taken is None or not taken.covers(policy.name) or not taken.within(service):
        raise FragmentMismatchError(
            importer=policy.name, fragment=use.fragment, policy=use.policy, version=use.version
        )


def is_outdated(board: BoardState, use: FragmentUse) -> bool:
    """Whether another version of the supplying policy is in force."""
    supplier = board.policy(use.policy)
    return supplier is not None and supplier.digest != use.version
