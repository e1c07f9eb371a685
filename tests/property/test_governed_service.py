# SPDX-License-Identifier: Apache-2.0
"""Governance and release against the real trust service: random members, a model, one clock.

The model is kept apart from the code: it knows votes, vetoes, notice, who is a member, stops
and uses, and says of every step whether the service must take it. Releases go through evidence.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.support.board import (
    LATER,
    MRTD,
    NOW,
    OTHER_MRTD,
    Hardware,
    Person,
    digest,
    genesis_json,
    member_json,
    policy_json,
    seed,
    service_json,
    sign_genesis,
    terms,
)
from tests.support.live import make_service

from accord.board import (
    AddMember,
    AssetKind,
    AssetOffer,
    AssetWithdrawal,
    Ballot,
    Choice,
    EnactPolicy,
    ExecutionStop,
    Genesis,
    Member,
    Proposal,
    ProposalWithdrawal,
    ProposedAction,
    RemoveMember,
    ResumeExecution,
)
from accord.encoding import Digest, Fields
from accord.errors import AccordError
from accord.identity import seal, sign_statement
from accord.policy import Policy
from accord.release import (
    ASSET_KEY_PURPOSE,
    Machine,
    ReleaseRequest,
    asset_key_context,
    shield_binding,
    state_digest,
)
from accord.service._releases import Timings
from accord.testing import TDX_REGISTERS
from accord.volumes import VolumeKey, key_commitment, parse_volume_id

FOUNDERS: Mapping[str, str] = {
    "ann": "data-owner",
    "bob": "data-owner",
    "lab": "code-owner",
    "clinic": "result-user",
}
EVERYBODY = (*FOUNDERS, "zoe")
ASSETS = ("ann/records", "bob/records")
THREE = {"at_least": {"n": 3, "of": "role:founder"}}
NOTICE_S = 1200


def constitution(notice_s: int) -> dict[str, Any]:
    policy = {"all": ["affected_owners", "role:result-user"]}
    return {
        "policy.enact": {"approve": policy, "veto": ["member:lab"], "notice_s": notice_s},
        "member.add": THREE,
        "member.remove": THREE,
    }


@cache
def machines() -> Hardware:
    """Made once: keys cost more than statements."""
    folder = Path(tempfile.mkdtemp(prefix="accord-model-"))
    try:
        return Hardware.make(folder)
    finally:
        shutil.rmtree(folder)


@dataclass
class Wish:
    """A proposal as the model knows it."""

    action: str
    subject: Any
    charter: int
    needs: Callable[[set[str]], bool]
    predecessor: Digest | None
    expires: datetime
    author: str
    votes: dict[str, tuple[int, Choice]] = field(default_factory=dict)
    approved: datetime | None = None
    closed: str = ""

    def saying(self, choice: Choice) -> set[str]:
        return {who for who, (_, said) in self.votes.items() if said is choice}


@dataclass
class Offer:
    """An asset as the model knows it."""

    version: str
    left: int
    withdrawn: bool = False


class GovernedService(RuleBasedStateMachine):
    """Every rule predicts from the model whether the service must agree."""

    @initialize(notice=st.booleans())
    def found(self, notice: bool) -> None:  # noqa: FBT001
        self.now, self.loop = NOW, asyncio.Runner()
        self.notice_s = NOTICE_S if notice else 0
        registers = dict.fromkeys(TDX_REGISTERS, bytes(48)) | {"mrtd": MRTD}
        self.service = make_service(machines().platform.attester(registers), clock=lambda: self.now)
        document = genesis_json(
            members=[member_json(name, role, "founder") for name, role in FOUNDERS.items()],
            constitution=constitution(self.notice_s),
            anchors=[machines().vendor.root_digest],
        )
        document = Genesis.from_json(document).to_json()
        self.host = self.do(self.service.found(sign_genesis(document)))
        self.members, self.charter = set(FOUNDERS), 0
        self.wishes: dict[Digest, Wish] = {}
        self.offers: dict[str, Offer] = {}
        self.stops: dict[Digest, tuple[str, str]] = {}
        self.current: Digest | None = None
        self.in_force: dict[str, str] = {}
        self.count = self.released = 0
        for asset in ASSETS:
            self.offer(asset, "owner", "one", 2)

    # --- talking to the service ----------------------------------------------------------

    @property
    def state(self) -> Machine:
        machine: Machine = self.host.machine
        return machine

    def do(self, what: Awaitable[Any]) -> Any:
        async def call() -> Any:
            return await what

        return self.loop.run(call())

    def send(
        self, kind: str, body: Any, by: str, sealed: Callable[[Digest], bytes] | None = None
    ) -> Any:
        envelope = sign_statement(kind, body, [Person.of(by).signer])
        given = sealed(envelope.statement_digest) if sealed else None
        self.do(self.service.submit(self.host, envelope, given))
        return envelope.statement_digest

    def agrees(self, accepted: bool, act: Callable[[], Any]) -> Any:  # noqa: FBT001
        """Does ``act``; the service must accept it exactly where the model does."""
        size = self.host.head.size
        done, refusal = None, None
        try:
            done = act()
        except AccordError as exc:
            refusal = f"{exc.code} {exc}"
        assert (refusal is None) is accepted, refusal or "taken, though the model forbids it"
        assert refusal is None or self.host.head.size == size
        return done

    # --- what the model promises ---------------------------------------------------------

    def is_open(self, wish: Wish) -> bool:
        fresh = wish.charter == self.charter and self.now < wish.expires and not wish.closed
        if wish.action == "policy":
            return fresh and wish.predecessor == self.current
        return fresh and not (wish.action == "resume" and wish.subject not in self.stops)

    def count_vote(self, wish: Wish, member: str, sequence: int, choice: Choice) -> None:
        wish.votes[member] = (sequence, choice)
        if choice is Choice.REJECT and member == "lab" and wish.action == "policy":
            wish.closed = "vetoed"
        elif not wish.needs(self.members - wish.saying(Choice.REJECT)):
            wish.closed = "rejected"
        elif not wish.needs(wish.saying(Choice.APPROVE)):
            wish.approved = None
        else:
            wish.approved = wish.approved or self.now

    def settle(self) -> None:
        """Enacts, oldest first, whatever has its approvals and its notice."""
        for wish in self.wishes.values():
            notice_s = self.notice_s if wish.action == "policy" else 0
            due = wish.approved and self.now >= wish.approved + timedelta(seconds=notice_s)
            if due and self.is_open(wish):
                wish.closed = "enacted"
                self.take_effect(wish)

    def take_effect(self, wish: Wish) -> None:
        match wish.action:
            case "policy":
                self.current, self.in_force = wish.subject
            case "add":
                self.members.add(wish.subject)
                self.charter += 1
            case "remove":
                self.members.discard(wish.subject)
                self.charter += 1
            case "resume":
                del self.stops[wish.subject]

    def releasable(self) -> bool:
        halted = any(
            scope in ("board", "policy:train") or scope.removeprefix("asset:") in self.in_force
            for scope, _ in self.stops.values()
        )
        usable = all(
            not offer.withdrawn
            and offer.version == version
            and offer.left > 0
            and asset.partition("/")[0] in self.members
            for asset, version in self.in_force.items()
            for offer in [self.offers[asset]]
        )
        return self.current is not None and "clinic" in self.members and usable and not halted

    # --- what members do -----------------------------------------------------------------

    @rule(
        asset=st.sampled_from(ASSETS),
        by=st.sampled_from(("owner", "owner", "owner", "lab")),
        version=st.sampled_from(("one", "two")),
        uses=st.integers(0, 3),
    )
    def offer(self, asset: str, by: str, version: str, uses: int) -> None:
        who = asset.partition("/")[0] if by == "owner" else by
        self.count += 1
        key = VolumeKey(seed(f"key {self.count}"))
        volume = parse_volume_id("vol-" + seed(f"volume {self.count}").hex()[:32], what="x")
        record = self.state.board.assets.get(asset)
        offer = AssetOffer(
            board=self.host.board,
            name=asset,
            kind=AssetKind.VOLUME,
            tag=digest(version),
            terms=terms(max_uses=uses, policies=("train",)),
            predecessor=record.latest if record else None,
            volume_id=volume,
            key_commitment=key_commitment(key, volume_id=volume),
        )

        def sealed(offered: Digest) -> bytes:
            return seal(
                key.raw,
                self.service.keyset.seal_key,
                purpose=ASSET_KEY_PURPOSE,
                context=asset_key_context(offered),
            )

        accepted = by == "owner" and who in self.members
        if self.agrees(accepted, lambda: self.send("asset", offer.to_json(), who, sealed)):
            self.offers[asset] = Offer(version, uses)

    @rule(asset=st.sampled_from(ASSETS), by=st.sampled_from(("owner", "clinic")))
    def withdraw_asset(self, asset: str, by: str) -> None:
        who = asset.partition("/")[0] if by == "owner" else by
        latest = self.state.board.assets[asset].latest
        body = AssetWithdrawal(self.host.board, asset, latest).to_json()
        accepted = by == "owner" and who in self.members
        if self.agrees(accepted, lambda: self.send("asset-withdrawal", body, who)):
            self.offers[asset].withdrawn = True

    def propose(self, author: str, wish: Wish, action: ProposedAction, *, accepted: bool) -> Any:
        self.count += 1
        proposal = Proposal(
            self.host.board,
            author,
            f"number {self.count}",
            self.state.board.charter.digest,
            (action,),
            wish.expires,
        )
        # What all members together could not approve is refused at once.
        accepted = accepted and author in self.members and wish.needs(set(self.members))
        made = self.agrees(accepted, lambda: self.send("proposal", proposal.to_json(), author))
        if made:
            self.wishes[made] = wish
        return made

    def policy_wish(
        self, assets: Mapping[str, str], hours: int, author: str
    ) -> tuple[Wish, Policy]:
        inputs = [
            {"asset": asset, "tag": digest(version), "at": f"/in/{asset}"}
            for asset, version in sorted(assets.items())
        ]
        # Another timeout each time: two proposals never mean the same version.
        service = service_json(inputs=inputs, timeout_s=60 + self.count)
        document = policy_json(services={"train": service})
        if self.current is not None:
            document["predecessor"] = self.current
        policy = Policy.from_json(document)
        owners = {asset.partition("/")[0] for asset in assets}
        losing = {asset.partition("/")[0] for asset in self.in_force} & self.members
        affected = owners | losing

        def needs(voters: set[str]) -> bool:
            return bool(affected) and affected <= voters and "clinic" in voters

        expires = self.now + timedelta(hours=hours)
        subject = (policy.digest, dict(assets))
        return (
            Wish("policy", subject, self.charter, needs, self.current, expires, author),
            policy,
        )

    @rule(
        assets=st.dictionaries(
            st.sampled_from(ASSETS), st.sampled_from(("one", "two")), min_size=1, max_size=2
        ),
        author=st.sampled_from(EVERYBODY),
        hours=st.sampled_from((1, 50)),
    )
    def propose_policy(self, assets: dict[str, str], author: str, hours: int) -> None:
        wish, policy = self.policy_wish(assets, hours, author)
        self.propose(author, wish, EnactPolicy(policy), accepted="clinic" in self.members)

    @rule(
        who=st.sampled_from(EVERYBODY),
        author=st.sampled_from(EVERYBODY),
        together=st.booleans(),
    )
    def propose_membership(self, who: str, author: str, together: bool) -> None:  # noqa: FBT001
        joins = who not in self.members
        left = self.members | {who} if joins else self.members - {who}

        def needs(voters: set[str]) -> bool:
            return len(voters) >= 3

        expires = self.now + timedelta(hours=50)
        kind = "add" if joins else "remove"
        wish = Wish(kind, who, self.charter, needs, None, expires, author)
        role = FOUNDERS.get(who, "data-owner")
        member = Member.from_fields(Fields(member_json(who, role, "founder"), "member"))
        action: ProposedAction = AddMember(member) if joins else RemoveMember(who)
        # Whoever leaves must not leave a rule behind that nobody could satisfy.
        accepted = len(left) >= 3 and "clinic" in left
        made = self.propose(author, wish, action, accepted=accepted)
        for voter in sorted(self.members) if made and together else ():
            self.vote(voter, made, Choice.APPROVE, 1)

    @precondition(lambda self: self.wishes)
    @rule(
        member=st.sampled_from(EVERYBODY),
        pick=st.integers(0, 50),
        choice=st.sampled_from((Choice.APPROVE, Choice.APPROVE, Choice.REJECT, Choice.ABSTAIN)),
        sequence=st.integers(1, 3),
        forged=st.sampled_from((False, False, False, True)),
    )
    def cast(
        self,
        member: str,
        pick: int,
        choice: Choice,
        sequence: int,
        forged: bool,  # noqa: FBT001
    ) -> None:
        proposal = list(self.wishes)[-1 - pick % min(3, len(self.wishes))]
        self.vote(member, proposal, choice, sequence, by="bob" if forged else member)

    def vote(
        self, member: str, proposal: Digest, choice: Choice, sequence: int, by: str | None = None
    ) -> None:
        wish, signer = self.wishes[proposal], by or member
        earlier = wish.votes.get(member, (0, choice))
        body = Ballot(self.host.board, proposal, member, choice, sequence).to_json()
        signed = sign_statement("ballot", body, [Person.of(signer).signer])
        if signed.statement_digest in self.state.board.recorded:
            size = self.host.head.size
            self.agrees(signer in self.members, lambda: self.send("ballot", body, signer))
            assert self.host.head.size == size
            return
        accepted = self.is_open(wish) and sequence > earlier[0] and signer == member
        accepted = accepted and member in self.members
        if self.agrees(accepted, lambda: self.send("ballot", body, signer)):
            self.count_vote(wish, member, sequence, choice)
            self.settle()

    @precondition(lambda self: self.wishes)
    @rule(pick=st.integers(0, 50), by=st.sampled_from(("author", "author", "lab")))
    def withdraw_proposal(self, pick: int, by: str) -> None:
        proposal = list(self.wishes)[-1 - pick % min(3, len(self.wishes))]
        wish = self.wishes[proposal]
        who = wish.author if by == "author" else by
        body = ProposalWithdrawal(self.host.board, proposal).to_json()
        accepted = self.is_open(wish) and who == wish.author and who in self.members
        known = sign_statement("proposal-withdrawal", body, []).statement_digest
        if known in self.state.board.recorded:
            return
        if self.agrees(accepted, lambda: self.send("proposal-withdrawal", body, who)):
            wish.closed = "withdrawn"

    @precondition(lambda self: len(self.stops) < 2)
    @rule(
        member=st.sampled_from(EVERYBODY),
        scope=st.sampled_from(
            ("board", "policy:train", "policy:other", *(f"asset:{a}" for a in ASSETS))
        ),
    )
    def stop(self, member: str, scope: str) -> None:
        self.count += 1
        body = ExecutionStop(self.host.board, member, scope, f"number {self.count}", self.now)
        stop = self.agrees(
            member in self.members, lambda: self.send("execution-stop", body.to_json(), member)
        )
        if stop:
            self.stops[stop] = (scope, member)

    @precondition(lambda self: self.stops)
    @rule(author=st.sampled_from(EVERYBODY))
    def resume(self, author: str) -> None:
        stop, (_, stopper) = next(iter(self.stops.items()))
        if stopper not in self.members:
            return  # Then others decide: unit tests say who.

        def needs(voters: set[str]) -> bool:
            return stopper in voters

        expires = self.now + timedelta(hours=50)
        wish = Wish("resume", stop, self.charter, needs, None, expires, author)
        made = self.propose(author, wish, ResumeExecution(stop), accepted=True)
        if made and stopper in self.members:
            self.vote(stopper, made, Choice.APPROVE, 1)

    # --- two at once, and what people do when nobody objects -----------------------------

    @rule(assets=st.sets(st.sampled_from(ASSETS), min_size=1))
    def race(self, assets: set[str]) -> None:
        """Two versions with one predecessor, voted on at the same time: exactly one comes."""
        offered = {asset: self.offers[asset].version for asset in sorted(assets)}
        made = []
        for author in sorted(self.members - {"lab"})[:2]:
            wish, policy = self.policy_wish(offered, 50, author)
            made.append(self.propose(author, wish, EnactPolicy(policy), accepted=True))
        if None in made:
            return
        before, voters = self.current, sorted(self.members)
        ballots = [
            (proposal, name, Ballot(self.host.board, proposal, name, Choice.APPROVE, 1))
            for name in voters
            for proposal in made
        ]

        async def all_at_once() -> list[Any]:
            calls: list[Coroutine[Any, Any, Any]] = [
                self.service.submit(
                    self.host,
                    sign_statement("ballot", ballot.to_json(), [Person.of(name).signer]),
                    None,
                )
                for _, name, ballot in ballots
            ]
            return await asyncio.gather(*calls, return_exceptions=True)

        answers = self.loop.run(all_at_once())
        for (proposal, name, _), answer in zip(ballots, answers, strict=True):
            assert isinstance(answer, (int, AccordError))
            if isinstance(answer, int):
                self.count_vote(self.wishes[proposal], name, 1, Choice.APPROVE)
        if self.notice_s:
            self.settle()
            self.wait(NOTICE_S // 60)
        needed = self.wishes[made[0]].needs(self.members)
        records = [self.state.board.proposals[proposal] for proposal in made]
        won = [record for record in records if record.enacted]
        self.settle_as(made, won)
        # An older one, whose notice ended meanwhile, may have been faster than both.
        assert len(won) <= 1
        assert not needed or self.current != before

    def settle_as(self, made: list[Digest], won: list[Any]) -> None:
        """Which of two was first is the service's to say, where the votes came at once."""
        for proposal in made:
            wish = self.wishes[proposal]
            if any(record.id == proposal for record in won) and not wish.closed:
                wish.closed = "enacted"
                self.take_effect(wish)

    @rule(assets=st.sets(st.sampled_from(ASSETS), min_size=1), first=st.booleans())
    def object(self, assets: set[str], first: bool) -> None:  # noqa: FBT001
        """The lab says no, before the others have said yes or, where there is notice, after."""
        offered = {asset: self.offers[asset].version for asset in sorted(assets)}
        author = min(self.members - {"lab"})
        wish, policy = self.policy_wish(offered, 50, author)
        made = self.propose(author, wish, EnactPolicy(policy), accepted=True)
        if made is None:
            return
        others = sorted(self.members - {"lab"})
        if first:
            self.vote("lab", made, Choice.REJECT, 1)
        for name in others:
            self.vote(name, made, Choice.APPROVE, 1)
        if not first:
            self.vote("lab", made, Choice.REJECT, 1)

    @precondition(lambda self: not self.stops)
    @rule(times=st.integers(1, 4))
    def work(self, times: int) -> None:
        """Everybody offers what is at hand and agrees; then shields come."""
        for asset in ASSETS:
            self.offer(asset, "owner", "one", 2)
        self.race(set(ASSETS))
        self.release("", times)

    # --- shields -------------------------------------------------------------------------

    @rule(wrong=st.sampled_from(("", "", "", "", "code", "nonce", "keys")), times=st.integers(1, 3))
    def release(self, wrong: str, times: int) -> None:
        for _ in range(times):
            accepted = self.releasable() and not wrong
            if self.agrees(accepted, lambda: self.ask(wrong)) is not None:
                self.released += 1
                for asset in self.in_force:
                    self.offers[asset].left -= 1

    def ask(self, wrong: str) -> bytes:
        nonce, _ = self.service.challenge(self.host)
        sent = seed("never issued") if wrong == "nonce" else nonce
        keyset = Person.of("shield").keyset()
        binding = shield_binding(self.host.board, "train", "train", keyset, sent)
        mrtd = OTHER_MRTD if wrong == "code" else MRTD
        evidence = machines().attest(binding, mrtd=mrtd)
        mine = Person.of("thief").keyset() if wrong == "keys" else keyset
        request = ReleaseRequest(self.host.board, "train", "train", mine, sent, evidence)
        answer: bytes = self.do(self.service.release(self.host, request, Timings()))
        return answer

    @rule(minutes=st.sampled_from((1, 10, 25, 70)))
    def wait(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)
        self.do(self.service.tick())
        self.settle()

    # --- what must always hold -----------------------------------------------------------

    @invariant()
    def votes_and_decisions_are_as_counted(self) -> None:
        for proposal, wish in self.wishes.items():
            record = self.state.board.proposals[proposal]
            assert record.approvals == wish.saying(Choice.APPROVE)
            assert record.enacted is (wish.closed == "enacted")

    @invariant()
    def board_is_what_was_decided(self) -> None:
        policy = self.state.board.policy("train")
        assert self.current == (policy.digest if policy else None)
        assert set(self.state.board.members) == self.members
        live = {key for key, stop in self.state.board.stops.items() if not stop.resumed}
        assert live == set(self.stops)

    @invariant()
    def nothing_was_used_more_often_than_allowed(self) -> None:
        assert len(self.state.runs) == self.released
        for asset, offer in self.offers.items():
            record = self.state.board.assets[asset]
            used = self.state.uses.get(record.offered_by, 0)
            assert record.offer.terms.max_uses - used == offer.left >= 0

    def teardown(self) -> None:
        if not hasattr(self, "host"):
            return
        entries = self.do(self.host.entries(0, self.host.head.size))
        _, replayed = Machine.replay(entries)
        assert state_digest(replayed) == state_digest(self.state)
        self.service.close()
        self.loop.close()


@pytest.mark.timeout(600)
def test_service_keeps_the_promises_of_the_model() -> None:
    """No release without every consent, no vote twice or late, one of two updates; it replays."""
    run_state_machine_as_test(
        GovernedService,
        settings=settings(max_examples=25, stateful_step_count=30, deadline=None),
    )


def test_model_ends_before_the_terms_do() -> None:
    """The longest walk of the model stays within what every offer allows."""
    assert NOW + 30 * 2 * timedelta(minutes=70) < LATER
