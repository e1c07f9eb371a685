# SPDX-License-Identifier: Apache-2.0
"""Policies as they are read, judged and compared, and sessions of SCONE."""

from __future__ import annotations

from collections.abc import Callable

from accord.policy import Policy, diff, import_scone, lint, parse_policy

_MEMBERS = {"ann": frozenset({"data-owner"}), "lab": frozenset[str]()}


def _policies(data: bytes) -> None:
    """Two policies, the second after a line of its own; what is read is read again the same."""
    one, _, other = data.partition(b"\n%%%\n")
    policy = parse_policy(one)
    if Policy.from_json(policy.to_json()).digest != policy.digest:
        message = "the resolved form is no fixed point"
        raise RuntimeError(message)
    found = lint(policy, members=_MEMBERS, policies={policy.name: policy})
    shown = [change.sentence for change in diff(None, policy)] + [item.where for item in found]
    if not all(text.isprintable() for text in shown):
        message = "a policy draws in what is said of it"
        raise RuntimeError(message)
    if other:
        next_ = parse_policy(other)
        lint(next_, previous=policy, members=_MEMBERS)
        diff(policy, next_)


def _session(data: bytes) -> None:
    made = import_scone(data)
    if not made.missing:
        parse_policy(made.to_yaml().encode())


TARGETS: dict[str, Callable[[bytes], object]] = {"policies": _policies, "scone": _session}
