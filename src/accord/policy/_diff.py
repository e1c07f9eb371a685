# SPDX-License-Identifier: Apache-2.0
"""The semantic diff: what a new version would allow that the old did not, in sentences.

Digests are written in full: a shortened one could be imitated, and the change would not show.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from accord.encoding import Digest, JSONValue, format_time
from accord.policy._access import ANYONE, Access
from accord.policy._document import Policy
from accord.policy._fates import Fate, carried_over
from accord.policy._fragments import Fragment
from accord.policy._secret_words import FATES, export_words, secret_words
from accord.policy._service import Channel, Network, Service
from accord.policy._terms import sentence, visible

_NOT_OURS = frozenset({Fate.IMPORTED, Fate.DEPOSITED})
"""Values that nobody makes here."""


@dataclass(frozen=True, slots=True)
class Change:
    """One sentence that becomes true (``+``) or stops being true (``-``), or a ``~`` value.

    The last is a secret whose value would change, whether or not the policy says anything new.
    """

    sign: Literal["+", "-", "~"]
    subject: str
    sentence: str

    def to_json(self) -> JSONValue:
        return {"sign": self.sign, "subject": self.subject, "sentence": self.sentence}


def facts(policy: Policy) -> Iterator[tuple[str, str]]:
    """Everything the policy says, as (subject, sentence); equal policies, equal facts.

    What a service does not have (a lease, a second factor, files) is no fact. Which version
    it replaces is none either.
    """
    yield "name", f"the policy is called {policy.name}"
    yield "purpose", f"the purpose is {policy.purpose}"
    if policy.namespace is not None:
        yield "namespace", f"it is in the namespace of {policy.parent}, version {policy.namespace}"
    if policy.not_after is not None:
        until = format_time(policy.not_after)
        yield "validity", f"nothing is released under the policy from {until} on"
    if policy.freshness is not None:
        yield "freshness", policy.freshness.words
    if policy.salt is not None:
        yield "salt", f"its digest is salted with {policy.salt.hex()}"
    yield from _access_facts(policy.access)
    if policy.authority:
        yield "authority", "the policy has a certificate authority of its own"
    for name, spec in sorted(policy.secrets.items()):
        yield f"secret {name}", f"secret {name} {secret_words(spec)}"
    for name, volume in sorted(policy.volumes.items()):
        yield f"volume {name}", f"live volume {name}: {volume.words}"
    yield from _fragment_facts(policy)
    for export in policy.exports:
        yield f"secret {export.secret}", f"the policy {export_words(export)}"
    for name, service in sorted(policy.services.items()):
        for subject, words in _service_facts(service):
            yield subject, f"service {name} {words}"


def _fragment_facts(policy: Policy) -> Iterator[tuple[str, str]]:
    for name, fragment in sorted(policy.fragments.items()):
        for words in _fragment_words(fragment):
            yield f"fragment {name}", f"fragment {name} {words}"


def _fragment_words(fragment: Fragment) -> Iterator[str]:
    below = " and every policy below it" if fragment.namespace else ""
    for name in sorted(fragment.to):
        yield f"is for services of policy {name}{below}"
    for variant in fragment.attestation:
        yield f"lets them run in {sentence(variant)}"
    for variable, value in sorted(fragment.environment.items()):
        yield f"shows them {variable}={shlex.quote(visible(value))}"
    for file in fragment.files:
        content = shlex.quote(visible(file.content))
        yield f"gives them the file {_path(file.at)}, mode {file.mode}: {content}"


def _access_facts(access: Access) -> Iterator[tuple[str, str]]:
    for who in access.read:
        yield "access", f"{_reader(who)} may read the policy without being a member"
    for who in access.list:
        yield "access", f"{_reader(who)} may see that the policy exists"
    if access.update is not None:
        yield "access", f"the next version also needs {access.update.words()}"
    if access.create is not None:
        yield "access", f"a new policy in its namespace also needs {access.create.words()}"


def _reader(who: str) -> str:
    return "ANYBODY" if who == ANYONE else f"the holder of {who}"


def _service_facts(service: Service) -> Iterator[tuple[str, str]]:
    yield "program", f"runs {shlex.join(map(visible, service.command))}"
    yield "program", f"starts in {_path(service.workdir)} and ends within {service.timeout_s} s"
    for variable, value in sorted(service.environment.items()):
        yield "program", f"sees {variable}={shlex.quote(visible(value))}"
    yield "network", _NETWORKS[service.network]
    for variant in service.attestation:
        yield "hardware", f"may run in {sentence(variant)}"
    for item in service.inputs:
        yield f"asset {item.asset}", f"reads {item.asset} at {_path(item.at)}, version {item.tag}"
    for output in service.outputs:
        readers = ", ".join(sorted(output.readers))
        place = f"{output.name} ({_path(output.at)})"
        most = "" if output.max_bytes is None else f", at most {output.max_bytes} bytes"
        yield f"output {output.name}", f"lets {readers} read its output {place}{most}"
    for mount in service.volumes:
        where = _path(mount.at)
        yield f"volume {mount.volume}", f"reads and writes live volume {mount.volume} at {where}"
    for file in service.files:
        content = shlex.quote(visible(file.content))
        yield "files", f"gets the file {_path(file.at)}, mode {file.mode}: {content}"
    for use in service.fragments:
        source = f"fragment {use.fragment} of policy {use.policy}, version {use.version}"
        yield "fragments", f"says that it holds {source}"
    yield from _release_facts(service)


def _release_facts(service: Service) -> Iterator[tuple[str, str]]:
    if service.channel is Channel.L0:
        yield "release", "GUESTS OF THE KEY BROKER PROTOCOL may fetch its secrets (L0)"
    if service.channel is not Channel.L1:
        yield "release", _CHANNELS[service.channel]
    if service.singleton:
        yield "release", "starts only with an instance token, good for one start"
    if service.totp is not None:
        yield "release", f"starts only with a one-time password of secret {service.totp}"
    if service.lease_s is not None:
        yield "release", f"must show fresh evidence every {service.lease_s} s"
    if service.identity:
        yield "authority", "gets a short-lived certificate of the policy's authority"


_NETWORKS = {
    Network.NONE: "reaches the network: none",
    Network.OPEN: "reaches the network: OPEN, IT MAY SEND WHAT IT READS TO ANYBODY",
}


_CHANNELS = {
    Channel.L0: "gives secrets ALSO TO GUESTS WHOSE EVIDENCE NAMES NO POLICY (L0)",
    Channel.L2: "is given secrets only where evidence proves the very connection (L2)",
}


def diff(old: Policy | None, new: Policy) -> tuple[Change, ...]:
    """What changes from ``old`` (``None``: there was no policy) to ``new``; removals follow.

    Values that would change come last. Empty only where nothing would change but which version
    is in force.
    """
    if old is None:
        return tuple(Change("+", *fact) for fact in facts(new))
    # A namespace is named once, by the first version: the next is in it still.
    updates = old.predecessor is not None or new.predecessor is not None
    before, after = ({*facts(_chained(item, updates))} for item in (old, new))
    added = [Change("+", *fact) for fact in facts(_chained(new, updates)) if fact not in before]
    removed = [Change("-", *fact) for fact in sorted(before - after)]
    if not added and not removed and _wording(old, updates) != _wording(new, updates):
        added = [Change("+", "order", "says the same, in another order or more than once")]
    return (*dict.fromkeys(added), *removed, *_values(old, new))


def _values(old: Policy, new: Policy) -> Iterator[Change]:
    """Secrets and certificates whose values a new version would change."""
    if old.digest == new.digest:
        return
    for name, fate in sorted(carried_over(old.secrets, new.secrets).items()):
        before, after = old.secrets.get(name), new.secrets.get(name)
        if before is None or fate is Fate.KEPT or (fate in _NOT_OURS and before == after):
            continue
        yield Change("~", f"secret {name}", f"secret {name} {FATES[fate]}")
    if old.authority and new.authority:
        yield Change("~", "authority", "the policy's certificate authority is made anew")


def _wording(policy: Policy, updates: bool) -> Digest:  # noqa: FBT001 - of the two versions
    return replace(_chained(policy, updates), predecessor=None).digest


def _chained(policy: Policy, updates: bool) -> Policy:  # noqa: FBT001 - of the two versions
    return replace(policy, namespace=None) if updates else policy


def _path(text: str) -> str:
    return shlex.quote(visible(text))
