# SPDX-License-Identifier: Apache-2.0
"""Who gets a secret or an asset, through which chain of consent, and who could change that."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from accord.board import Action, Ballot, BoardState, StopRecord
from accord.encoding import Digest
from accord.errors import (
    AccordError,
    ExportWithdrawnError,
    NoPolicyError,
    NoSuchSecretError,
    UnknownAssetError,
)
from accord.identity import sign_statement
from accord.policy import Assurance, Policy, Rule, SecretKind, names_in
from accord.release._consent import enacted_service, nothing_stopped, owners_consent, used_assets
from accord.release._explanation import Allowance, Enacted, Explanation, Recipient
from accord.release._fragments import is_outdated
from accord.release._machine import Machine
from accord.release._reservations import departure
from accord.release._secret_uses import exporting_policy, secret_uses


def explain_secret(machine: Machine, policy: str, secret: str, *, now: datetime) -> Explanation:
    """Who gets a secret of the policy in force, as the replayed log has it.

    What a program does with it, and what other trust services do, is *not* known.
    Raises ``NoPolicyError``, ``NoSuchSecretError`` or ``UnknownAssetError``.
    """
    board = machine.board
    holder = board.policy(policy)
    if holder is None:
        raise NoPolicyError(policy=policy)
    spec = holder.secrets.get(secret)
    if spec is None:
        raise NoSuchSecretError(policy=policy, secret=secret)
    if spec.asset is not None:
        return explain_asset(machine, spec.asset, now=now)
    origin = f"{spec.kind} secret {secret} of policy {policy}, made inside the trust service"
    if spec.kind is SecretKind.IMPORT and spec.service is not None:
        origin = f"secret {spec.secret} of policy {spec.policy} on board {spec.service.board}"
    elif spec.kind is SecretKind.IMPORT:
        return explain_secret(machine, spec.policy or "", spec.secret or "", now=now)
    recipients = [
        *_services(machine, holder, secret, chain=(origin,), policies=(holder,), now=now),
        *_importers(machine, holder, secret, origin, now),
    ]
    return Explanation(
        f"{policy}/{secret}",
        origin,
        tuple(recipients),
        tuple(_elsewhere(holder, secret)),
        (),
        tuple(_stops(machine, recipients, policies=frozenset({policy}), assets=frozenset())),
    )


def explain_asset(machine: Machine, asset: str, *, now: datetime) -> Explanation:
    """Who gets an asset, a volume or a deposited secret. Raises ``UnknownAssetError``."""
    board = machine.board
    record = board.assets.get(asset)
    if record is None:
        raise UnknownAssetError(asset=asset)
    offer = record.offer
    origin = f"{offer.kind} that {offer.owner} offers, entry {board.recorded[record.offered_by]}"
    recipients: list[Recipient] = []
    for versions in board.policies.values():
        policy = versions[-1]
        for name, service in policy.services.items():
            mounted = tuple(item.at for item in service.inputs if item.asset == asset)
            if mounted:
                recipients.append(_recipient(machine, policy, name, mounted, (origin,), now=now))
        for secret, spec in policy.secrets.items():
            if spec.asset == asset:
                chain = (origin, f"secret {secret} of policy {policy.name}")
                recipients += _services(
                    machine, policy, secret, chain=chain, policies=(policy,), now=now
                )
    return Explanation(
        asset,
        origin,
        tuple(recipients),
        (),
        tuple(_derived(machine, asset)),
        tuple(_stops(machine, recipients, policies=frozenset(), assets=frozenset({asset}))),
    )


def _services(
    machine: Machine,
    policy: Policy,
    secret: str,
    *,
    chain: tuple[str, ...],
    policies: tuple[Policy, ...],
    now: datetime,
) -> Iterator[Recipient]:
    """The services of ``policy`` that get ``secret``; ``policies`` are those in the chain."""
    for name, service in policy.services.items():
        places = [
            place
            for place, text in service.templates()
            if any(item.name == secret for item in names_in(text))
        ]
        if service.totp == secret:
            places.append("nothing: its one-time passwords are checked with it")
        if places:
            yield _recipient(
                machine, policy, name, tuple(places), chain, policies=policies, now=now
            )


def _importers(
    machine: Machine, exporter: Policy, secret: str, origin: str, now: datetime
) -> Iterator[Recipient]:
    """The services of other policies that import it, where both sides agree."""
    for versions in machine.board.policies.values():
        importer = versions[-1]
        for name, spec in importer.secrets.items():
            wanted = (spec.kind, spec.service, spec.policy, spec.secret)
            if wanted != (SecretKind.IMPORT, None, exporter.name, secret):
                continue
            try:
                exporting_policy(machine.board, importer, spec)
            except ExportWithdrawnError:
                continue  # One side alone: nobody gets anything.
            chain = (
                origin,
                f"policy {exporter.name} exports it to {importer.name}",
                f"policy {importer.name} imports it as {name}",
            )
            links = (exporter, importer)
            yield from _services(machine, importer, name, chain=chain, policies=links, now=now)


def _recipient(
    machine: Machine,
    policy: Policy,
    name: str,
    given_as: tuple[str, ...],
    chain: tuple[str, ...],
    *,
    now: datetime,
    policies: tuple[Policy, ...] = (),
) -> Recipient:
    service = policy.services[name]
    links = policies or (policy,)
    factors = [f"channel level {service.channel}"]
    factors += ["an instance token"] if service.singleton else []
    factors += ["a one-time password"] if service.totp is not None else []
    factors += [f"fresh evidence every {service.lease_s} s"] if service.lease_s else []
    for use in service.fragments:
        older = ", of which a newer version is in force" if is_outdated(machine.board, use) else ""
        factors.append(f"policy {use.policy} still supplies fragment {use.fragment}{older}")
    waits_for = departure(machine.board, policy, name)
    factors += [waits_for] if waits_for else []
    return Recipient(
        policy=policy.name,
        service=name,
        version=policy.digest,
        given_as=given_as,
        chain=(*chain, f"service {name} of policy {policy.name}"),
        attestation=service.attestation,
        factors=tuple(factors),
        network_open=service.network.value == "open",
        readers=tuple((output.name, output.readers) for output in service.outputs),
        allowances=tuple(_allowances(machine, policy, name)),
        enacted=tuple(_enacted(machine.board, link) for link in links),
        changed_by=tuple(
            dict(rule for link in links for rule in _rules(machine.board, link)).items()
        ),
        refusal=_refusal(machine, policy.name, name, now),
    )


def _allowances(machine: Machine, policy: Policy, service: str) -> Iterator[Allowance]:
    for asset in used_assets(policy, policy.services[service]):
        record = machine.board.assets.get(asset)
        if record is not None:
            terms = record.offer.terms
            used = machine.uses.get(record.offered_by, 0)
            entry = machine.board.recorded[record.offered_by]
            yield Allowance(asset, entry, terms.max_uses - used, terms.not_after, record.withdrawn)


def _enacted(board: BoardState, policy: Policy) -> Enacted:
    record = board.enacted_by(policy.digest)
    votes = tuple(
        (name, ballot.choice, _entry_of(board, ballot))
        for name, ballot in sorted(record.ballots.items())
    )
    return Enacted(policy.name, policy.digest, record.id, board.recorded[record.id], votes)


def _entry_of(board: BoardState, ballot: Ballot) -> int:
    unsigned = sign_statement("ballot", ballot.to_json(), [])
    return board.recorded[unsigned.statement_digest]


def _rules(board: BoardState, policy: Policy) -> Iterator[tuple[str, Rule]]:
    """What a next version of ``policy`` would need, and what other rules would."""
    for action in (Action.POLICY_ENACT, Action.CONSTITUTION_REPLACE):
        rule = board.charter.constitution.rules.get(action)
        if rule is not None:
            yield f"constitution, {action}", rule.approve
    if policy.access.update is not None:
        yield f"policy {policy.name}, access.update", policy.access.update


def _refusal(machine: Machine, policy: str, service: str, now: datetime) -> str | None:
    """What the gate would say to the best environment there is; imports from peers aside."""
    board = machine.board
    try:
        enacted, found = enacted_service(board, policy, service, now)
        assets = frozenset(used_assets(enacted, found))
        nothing_stopped(board, policy=policy, assets=assets, run="")
        owners_consent(
            board,
            machine.uses,
            policy=enacted,
            service=found,
            assurance=Assurance.ENCLAVE,
            now=now,
        )
        pins = {name: spec.pin for name, spec in enacted.secrets.items()}
        unknown = enacted.digest  # A peer is asked at the release; any version will do here.
        peers = {name: pin or unknown for name, pin in pins.items()}
        secret_uses(board, enacted, found, peers, now=now)
    except AccordError as exc:
        return f"{exc} ({exc.code})"
    return None


def _stops(
    machine: Machine,
    recipients: list[Recipient],
    *,
    policies: frozenset[str],
    assets: frozenset[str],
) -> Iterator[StopRecord]:
    """Live stops of what gets it, of what hands it out, and of all that is needed with it."""
    policies |= {""} | {enacted.policy for item in recipients for enacted in item.enacted}
    assets |= {allowance.asset for item in recipients for allowance in item.allowances}
    services = {(item.policy, item.service) for item in recipients}
    for record in machine.board.live_stops():
        run = machine.runs.get(record.stop.scope.removeprefix("run:"))
        if run is not None:
            concerned = (run.release.policy, run.release.service) in services
        else:
            concerned = any(record.covers(policy=name, assets=assets, run="") for name in policies)
        if concerned:
            yield record


def _elsewhere(policy: Policy, secret: str) -> Iterator[str]:
    for export in policy.exports:
        if export.secret != secret:
            continue
        if export.is_public:
            yield "its public part is for everybody"
        elif export.service is not None:
            yield f"policy {export.to} on board {export.service.board} of another trust service"


def _derived(machine: Machine, asset: str) -> Iterator[str]:
    """Assets whose latest version was computed from any version of ``asset``, step by step."""
    made: dict[Digest, str] = {
        record.offer.tag: name for name, record in machine.board.assets.items()
    }
    sources = {asset}
    # Runs stand in the order of the log, so what came of a result comes after it.
    for run in machine.runs.values():
        if run.statement is None or sources.isdisjoint(name for name, _ in run.statement.inputs):
            continue
        for output in run.statement.outputs:
            name = made.get(output.tag)
            if name is not None and name not in sources:
                sources.add(name)
                yield name
