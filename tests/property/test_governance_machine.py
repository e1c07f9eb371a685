# SPDX-License-Identifier: Apache-2.0
"""Governance and release as a whole: random statements against a model of what was promised.

The model keeps the least that is needed to say what must never happen. Evidence is left out:
release statements are made directly, as the trust service would make them, or wrongly.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.support.board import (
    LATER,
    MEMBERS,
    NOW,
    World,
    digest,
    policy_json,
    replay,
    service_json,
    terms,
)

from accord.board import Choice
from accord.encoding import Digest
from accord.errors import AccordError, DuplicateStatementError
from accord.release import Release

OWNERS = ("ann", "bob")
ASSETS = tuple(f"{owner}/records" for owner in OWNERS)
VERSIONS = ("one", "two")
CONSTITUTIONS = (
    {"policy.enact": {"all": ["affected_owners", "role:result-user"]}},
    {"policy.enact": {"any": ["affected_owners", {"at_least": {"n": 3, "of": "role:founder"}}]}},
    {"policy.enact": {"at_least": {"n": 2, "of": "role:founder"}}},
)


@dataclass
class Wish:
    """A proposal as the model knows it."""

    assets: dict[str, str]
    affected: frozenset[str]
    predecessor: Digest | None
    expires: datetime
    votes: dict[str, tuple[int, Choice]] = field(default_factory=dict)
    closed: bool = False

    @property
    def approving(self) -> set[str]:
        return {who for who, (_, choice) in self.votes.items() if choice is Choice.APPROVE}


@dataclass
class Offer:
    """An asset as the model knows it."""

    version: str
    max_uses: int
    until: datetime
    withdrawn: bool = False
    uses: int = 0


class Governance(RuleBasedStateMachine):
    """Every rule predicts from the model whether the machine must take the statement."""

    proposals: Bundle[Digest] = Bundle("proposals")
    releases: Bundle[Release] = Bundle("releases")

    @initialize(number=st.integers(0, len(CONSTITUTIONS) - 1))
    def found(self, number: int) -> None:
        members = [
            {**member, "roles": sorted({*member["roles"], "founder"})}
            for member in World.founded().genesis.to_json()["members"]
        ]
        self.number = number
        self.world = World.founded(constitution=CONSTITUTIONS[number], members=members)
        self.world.start()
        self.wishes: dict[Digest, Wish] = {}
        self.offers: dict[str, Offer] = {}
        self.current: Digest | None = None
        self.in_force: dict[str, str] = {}
        self.finished: set[str] = set()
        self.count = 0
        for asset in ASSETS:
            self.offer(asset, "owner", "one", 2, 1000)

    # --- what the model promises ---------------------------------------------------------

    def suffices(self, wish: Wish, voters: set[str]) -> bool:
        owners = bool(wish.affected) and wish.affected <= voters
        if self.number == 0:
            return owners and "clinic" in voters
        return owners or len(voters) >= 3 if self.number == 1 else len(voters) >= 2

    def count_vote(self, wish: Wish, member: str, sequence: int, choice: Choice) -> None:
        wish.votes[member] = (sequence, choice)
        against = {who for who, (_, said) in wish.votes.items() if said is Choice.REJECT}
        wish.closed = not self.suffices(wish, set(MEMBERS) - against)

    def is_open(self, wish: Wish) -> bool:
        fresh = wish.predecessor == self.current and self.world.time < wish.expires
        return fresh and not wish.closed

    def releasable(self) -> bool:
        return bool(self.in_force) and all(
            not offer.withdrawn
            and offer.version == version
            and offer.uses < offer.max_uses
            and self.world.time < offer.until
            for asset, version in self.in_force.items()
            for offer in [self.offers[asset]]
        )

    def says(self, accepted: bool, act: Callable[[], object]) -> bool:  # noqa: FBT001
        """Does ``act``; the machine must accept it exactly where the model does."""
        before = len(self.world.log)
        try:
            act()
        except DuplicateStatementError:
            assert len(self.world.log) == before
            return False
        except AccordError:
            assert not accepted
            assert len(self.world.log) == before
            return False
        assert accepted
        return True

    # --- what people do ------------------------------------------------------------------

    @rule(
        asset=st.sampled_from(ASSETS),
        by=st.sampled_from((*OWNERS, "owner", "owner", "owner")),
        version=st.sampled_from(VERSIONS),
        max_uses=st.integers(0, 3),
        hours=st.sampled_from((2, 1000)),
    )
    def offer(self, asset: str, by: str, version: str, max_uses: int, hours: int) -> None:
        owner = asset.partition("/")[0]
        who = owner if by == "owner" else by
        until = NOW + timedelta(hours=hours)
        allowed = terms(max_uses=max_uses, not_after=until, policies=("train",))

        def act() -> None:
            self.world.offer(asset, by=who, tag=digest(version), terms=allowed)

        if self.says(who == owner, act):
            self.offers[asset] = Offer(version, max_uses, until)

    @rule(asset=st.sampled_from(ASSETS), by=st.sampled_from(("owner", "lab", "lab")))
    def withdraw(self, asset: str, by: str) -> None:
        owner = asset.partition("/")[0]
        who = owner if by == "owner" else by
        accepted = who == owner and asset in self.offers
        if self.says(accepted, lambda: self.world.withdraw(asset, by=who)):
            self.offers[asset].withdrawn = True

    @rule(
        target=proposals,
        assets=st.dictionaries(st.sampled_from(ASSETS), st.sampled_from(VERSIONS), max_size=2),
        current=st.sampled_from((True, True, True, False)),
        hours=st.sampled_from((1, 5, 100)),
    )
    def propose(
        self,
        assets: dict[str, str],
        current: bool,  # noqa: FBT001
        hours: int,
    ) -> Digest | MultipleResults[Digest]:
        predecessor = self.current if current else digest("no such version")
        inputs = [
            {"asset": asset, "tag": digest(version), "at": f"/in/{asset}"}
            for asset, version in sorted(assets.items())
        ]
        document = policy_json(services={"train": service_json(inputs=inputs)})
        if predecessor is not None:
            document["predecessor"] = predecessor
        expires = NOW + timedelta(hours=hours)
        self.count += 1
        affected = frozenset(a.partition("/")[0] for a in (*assets, *self.in_force))
        wish = Wish(dict(assets), affected, predecessor, expires)
        accepted = current and set(assets) <= set(self.offers) and self.world.time < expires
        # What all members together could not approve is refused at once.
        accepted = accepted and self.suffices(wish, set(MEMBERS))
        made: list[Digest] = []

        def act() -> None:
            title = f"number {self.count}"
            made.append(self.world.propose(document, title=title, expires=expires))

        if not self.says(accepted, act):
            return multiple()
        self.wishes[made[0]] = wish
        return made[0]

    @rule(
        proposal=proposals,
        member=st.sampled_from(tuple(MEMBERS)),
        choice=st.sampled_from((Choice.APPROVE, Choice.APPROVE, Choice.REJECT)),
        sequence=st.integers(1, 3),
        forged=st.sampled_from((False, False, False, True)),
    )
    def vote(
        self,
        proposal: Digest,
        member: str,
        choice: Choice,
        sequence: int,
        forged: bool,  # noqa: FBT001
    ) -> None:
        wish = self.wishes[proposal]
        earlier = wish.votes.get(member, (0, choice))[0]
        accepted = self.is_open(wish) and sequence > earlier and not forged
        by = ("bob" if member == "ann" else "ann") if forged else member

        def act() -> None:
            self.world.vote(member, proposal, choice, sequence=sequence, by=by)

        if self.says(accepted, act):
            self.count_vote(wish, member, sequence, choice)

    @rule(proposal=proposals)
    def everybody_approves(self, proposal: Digest) -> None:
        wish = self.wishes[proposal]
        for member in MEMBERS:
            if self.is_open(wish) and member not in wish.votes:
                self.world.vote(member, proposal)
                self.count_vote(wish, member, 1, Choice.APPROVE)

    @rule(assets=st.sets(st.sampled_from(ASSETS), min_size=1), runs=st.integers(0, 3))
    def agree(self, assets: set[str], runs: int) -> None:
        """What people do when nobody objects; random steps alone seldom come that far."""
        offered = {asset: self.offers[asset].version for asset in sorted(assets)}
        proposal = self.propose(offered, True, 100)
        if isinstance(proposal, str):
            self.everybody_approves(proposal)
            self.enact(proposal, "service")
        for number in range(runs if self.current else 0):
            made = self.release("")
            if isinstance(made, Release) and number:
                self.finish(made, "shield")

    @rule(proposal=proposals, by=st.sampled_from(("service", "service", "service", "lab")))
    def enact(self, proposal: Digest, by: str) -> None:
        wish = self.wishes[proposal]
        accepted = self.is_open(wish) and self.suffices(wish, wish.approving) and by == "service"
        if self.says(accepted, lambda: self.world.enact(proposal, by=by)):
            wish.closed = True
            policy = self.world.machine.board.policy("train")
            assert policy is not None
            self.current, self.in_force = policy.digest, wish.assets

    @precondition(lambda self: self.current is not None)
    @rule(target=releases, wrong=st.sampled_from(("", "", "", "by", "uses", "run", "nonce")))
    def release(self, wrong: str) -> Release | MultipleResults[Release]:
        world, earlier = self.world, list(self.world.machine.runs.values())
        made = world.release_of()
        if wrong == "uses":
            uses = tuple(replace(use, number=use.number + 1) for use in made.uses)
            made = replace(made, uses=uses)
        elif wrong in ("run", "nonce") and earlier:
            made = replace(made, **{wrong: getattr(earlier[-1].release, wrong)})
        elif wrong == "by":
            made = replace(made, run="run-" + "f" * 32)
        same = made == world.release_of()
        accepted = (not self.in_force or self.releasable()) and same

        def act() -> None:
            world.say("release", made.to_json(), "lab" if wrong == "by" else "service")
            world.runs += 1

        if not self.says(accepted, act):
            return multiple()
        for asset in self.in_force:
            self.offers[asset].uses += 1
        return made

    @rule(release=releases, by=st.sampled_from(("shield", "shield", "lab")))
    def finish(self, release: Release, by: str) -> None:
        accepted = by == "shield" and release.run not in self.finished
        if self.says(accepted, lambda: self.world.finish(release, by=by)):
            self.finished.add(release.run)

    @rule(number=st.integers(0, 60))
    def replay_an_entry(self, number: int) -> None:
        entry = self.world.log[number % len(self.world.log)]
        assert not self.says(False, lambda: self.world.record(entry.envelope))

    @rule(minutes=st.sampled_from((0, 7, 30)))
    def wait(self, minutes: int) -> None:
        self.world.time += timedelta(minutes=minutes)

    # --- what must always hold -----------------------------------------------------------

    @invariant()
    def every_enacted_policy_had_its_approvals(self) -> None:
        for record in self.world.machine.board.proposals.values():
            wish = self.wishes[record.id]
            assert record.approvals == wish.approving
            if record.enacted:
                assert self.suffices(wish, wish.approving)

    @invariant()
    def nothing_is_used_more_often_than_allowed(self) -> None:
        machine = self.world.machine
        for asset, offer in self.offers.items():
            record = machine.board.assets[asset]
            assert machine.uses.get(record.offered_by, 0) == offer.uses <= offer.max_uses
            assert record.withdrawn is offer.withdrawn

    @invariant()
    def what_is_in_force_is_the_last_version_enacted(self) -> None:
        policy = self.world.machine.board.policy("train")
        assert self.current == (policy.digest if policy else None)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            assert replay(self.world.log) == self.world.machine


def test_governance_keeps_its_promises() -> None:
    """No statement is taken that the model forbids, none refused that it allows; replay agrees."""
    run_state_machine_as_test(
        Governance,
        settings=settings(max_examples=50, stateful_step_count=40, deadline=None),
    )


def test_model_and_machine_know_the_same_end_of_time() -> None:
    """The model's longest expiry lies before the end of the terms used elsewhere."""
    assert NOW + timedelta(hours=100) < LATER
