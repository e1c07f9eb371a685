# SPDX-License-Identifier: Apache-2.0
"""Proposals that change the board: members, constitution, service, and several things at once."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.support.board import (
    MEMBERS,
    NOW,
    Person,
    World,
    constitution_json,
    digest,
    member_json,
    policy_json,
    service_json,
    terms,
    variant_json,
)

from accord.board import (
    Action,
    AddMember,
    BoardState,
    Choice,
    Constitution,
    Enactment,
    EnactPolicy,
    Member,
    Proposal,
    ProposalStatus,
    ProposalWithdrawal,
    RemoveMember,
    ReplaceConstitution,
    ReplaceService,
    ResumeExecution,
    UpdateMember,
    read_action,
)
from accord.encoding import Digest, Fields, base64_encode
from accord.errors import (
    ApprovalsMissingError,
    ConstitutionError,
    EnactmentInvalidError,
    EvidenceMissingError,
    GenesisError,
    MalformedError,
    NamespaceError,
    NotAMemberError,
    ProposalClosedError,
    ProposalImpossibleError,
    ProposalTimeError,
    SecretFormatError,
    SignatureInvalidError,
    StaleStatementError,
    TooManyProposalsError,
)
from accord.policy import AttestationVariant, Policy

MAJORITY = {"at_least": {"n": 3, "of": "role:founder"}}
RULES: dict[str, Any] = {action.value: MAJORITY for action in Action}


def members(**changes: Any) -> list[Any]:
    """The four founders, each with the role founder; ``changes`` by name."""
    return [
        {**member_json(name, role, "founder"), **changes.get(name, {})}
        for name, role in MEMBERS.items()
    ]


def world(*, given: dict[str, Any] | None = None, **rules: Any) -> World:
    """A board that can do everything by three of its four founders, but for ``rules``."""
    named = {name.replace("_", ".", 1): rule for name, rule in rules.items()}
    return World.ready(constitution=RULES | named, members=members(**(given or {})))


def member(name: str, *roles: str, key: str | None = None, **changes: Any) -> Member:
    return Member.from_fields(Fields(member_json(name, *roles, key=key, **changes), "member"))


def decide(made: World, *actions: Any, voters: tuple[str, ...] = ("ann", "bob", "lab")) -> Digest:
    """Proposes, votes, enacts."""
    proposal = made.propose(actions=actions, title=f"number {len(made.log)}")
    for name in voters:
        made.vote(name, proposal)
    made.enact(proposal)
    return proposal


def constitution(**rules: Any) -> Constitution:
    named = {name.replace("_", ".", 1): rule for name, rule in rules.items()}
    return Constitution.from_fields(Fields(constitution_json(RULES | named), "constitution"))


@pytest.mark.parametrize(
    "action",
    [
        EnactPolicy(Policy.from_json(policy_json())),
        AddMember(member("zoe", "data-owner")),
        UpdateMember(member("ann", "data-owner", weight=3)),
        RemoveMember("ann"),
        ReplaceConstitution(constitution()),
        ReplaceService((AttestationVariant.from_fields(Fields(variant_json(), "x")),)),
        ResumeExecution(digest("stop")),
    ],
    ids=lambda action: action.action.value,
)
def test_actions_round_trip(action: Any) -> None:
    """Each is read as it was written."""
    assert action == read_action(Fields(action.to_json(), "action"))


def test_unknown_action_is_refused() -> None:
    """Nothing is done that the reader does not know."""
    for document in ({"action": "board.dissolve"}, {"member": "ann"}, {"action": None}):
        with pytest.raises(MalformedError):
            read_action(Fields(document, "action"))


def test_proposal_has_some_actions_and_each_policy_once() -> None:
    """What is voted on has one reading."""
    made = world()
    proposal = made.proposal_of()
    for actions in ([], [item.to_json() for item in (*proposal.actions, *proposal.actions)]):
        body = {**proposal.to_json(), "actions": actions}
        with pytest.raises(MalformedError, match="each about another policy"):
            Proposal.from_fields(Fields(body, "proposal"))


def test_member_joins_votes_and_leaves() -> None:
    """From the enactment on; before and after, the name says nothing."""
    made = world()
    with made.refuses(SignatureInvalidError):
        made.offer("zoe/data")
    decide(made, AddMember(member("zoe", "data-owner", "founder")))
    made.offer("zoe/data")
    proposal = made.propose(title="with zoe")
    made.vote("zoe", proposal)

    assert made.machine.board.charter.roles["zoe"] == {"data-owner", "founder"}
    assert "zoe" not in made.genesis.members
    decide(made, RemoveMember("zoe"))
    assert "zoe" not in made.machine.board.members
    with made.refuses(SignatureInvalidError):
        made.offer("zoe/more")


def test_member_changes_keys_roles_and_weight() -> None:
    """The old key says nothing any more."""
    made = world()
    changed = member("clinic", "result-user", "founder", key="clinic-2", weight=7)
    decide(made, UpdateMember(changed))

    assert made.machine.board.charter.weights["clinic"] == 7
    proposal = made.propose(title="again")
    with made.refuses(SignatureInvalidError):
        made.vote("clinic", proposal)
    made.vote("clinic", proposal, by="clinic-2")


def test_membership_changes_that_make_no_sense_are_refused() -> None:
    """Twice the same name, an unknown one, a key that somebody has."""
    made = world()
    for action, error in (
        (AddMember(member("ann", "founder", key="other")), ConstitutionError),
        (UpdateMember(member("zoe", "founder")), ConstitutionError),
        (RemoveMember("zoe"), ConstitutionError),
        (AddMember(member("zoe", key="ann")), GenesisError),
        (UpdateMember(member("ann", key="bob")), GenesisError),
        (ReplaceService(()), GenesisError),
    ):
        with made.refuses(error):
            made.propose(actions=(action,))


def test_lock_out_is_refused() -> None:
    """No change may leave a rule that nobody could satisfy, whoever asks for it."""
    made = world()
    assert RULES["member.remove"] == MAJORITY
    decide(made, RemoveMember("clinic"), voters=("ann", "bob", "lab"))
    with made.refuses(ConstitutionError, "nobody could satisfy it"):
        made.propose(actions=(RemoveMember("lab"),))
    with made.refuses(ConstitutionError, "nobody could satisfy it"):
        made.propose(actions=(UpdateMember(member("lab", "code-owner")),))
    with made.refuses(ConstitutionError, "nobody could satisfy it"):
        made.propose(actions=(ReplaceConstitution(constitution(policy_enact="role:pilot")),))


def test_constitution_cannot_take_its_own_change_away() -> None:
    """Neither by silence nor by an impossible rule; one that never could be changed stays so."""
    made = world()
    silent = {k: v for k, v in RULES.items() if k != "constitution.replace"}
    rules = Constitution.from_fields(Fields(silent, "constitution"))

    with made.refuses(ConstitutionError, "it could never be changed again"):
        made.propose(actions=(ReplaceConstitution(rules),))
    fixed = World.ready(constitution={"policy.enact": MAJORITY}, members=members())
    with fixed.refuses(ConstitutionError, "no rule for it"):
        fixed.propose(actions=(ReplaceConstitution(rules),))


def test_constitution_and_service_are_replaced() -> None:
    """The new rules count from the next proposal on."""
    made = world()
    other = AttestationVariant.from_fields(Fields(variant_json(mrtd=bytes(48)), "service"))
    decide(made, ReplaceConstitution(constitution(policy_enact="member:clinic")))
    decide(made, ReplaceService((other,)))
    proposal = made.propose(title="under new rules")

    assert made.machine.board.charter.service == (other,)
    assert made.machine.board.missing(made.machine.board.proposals[proposal]) == ("clinic",)
    assert made.genesis.charter.service != (other,)


def test_all_actions_are_enacted_or_none() -> None:
    """A member joins and a policy lets them read, in one proposal; each rule must hold."""
    made = world(policy_enact="affected_owners")
    outputs = [{"name": "model", "at": "/out/model", "readers": ["zoe"]}]
    policy = Policy.from_json(policy_json(services={"train": service_json(outputs=outputs)}))
    with made.refuses(NotAMemberError, "zoe"):
        made.propose(actions=(EnactPolicy(policy),))
    actions = (AddMember(member("zoe", "result-user")), EnactPolicy(policy))
    proposal = made.propose(actions=actions)
    for name in ("ann", "lab"):
        made.vote(name, proposal)
    with made.refuses(ApprovalsMissingError, "1 of bob, clinic"):
        made.enact(proposal)
    made.vote("bob", proposal)
    made.enact(proposal)

    assert made.machine.board.policy("train") == policy
    assert "zoe" in made.machine.board.members


def test_later_action_is_judged_by_what_earlier_ones_leave() -> None:
    """A policy for a reader who leaves in the same proposal is refused."""
    made = world()
    policy = EnactPolicy(Policy.from_json(policy_json()))
    with made.refuses(NotAMemberError, "clinic"):
        made.propose(actions=(RemoveMember("clinic"), policy))
    made.propose(actions=(policy, RemoveMember("clinic")))


def test_proposal_is_bound_to_the_charter() -> None:
    """Whoever votes knows who else votes: after a change, open proposals are stale."""
    made = world()
    slow = made.propose(title="slow")
    base = made.machine.board.charter.digest
    made.vote("ann", slow)
    decide(made, UpdateMember(member("bob", "data-owner", "founder", weight=2)))
    record = made.machine.board.proposals[slow]

    assert made.machine.board.status(record, made.time) is ProposalStatus.STALE
    with made.refuses(ProposalClosedError, "stale"):
        made.vote("lab", slow)
    with made.refuses(ProposalClosedError, "stale"):
        made.enact(slow)
    with made.refuses(StaleStatementError, "the charter was written against"):
        made.propose(title="late", base=base)


def test_author_withdraws() -> None:
    """Nobody else can, and a withdrawn proposal is closed."""
    made = world()
    proposal = made.propose()
    body = ProposalWithdrawal(made.board, proposal)
    with made.refuses(NotAMemberError, "signed with another key"):
        made.say("proposal-withdrawal", body.to_json(), "ann")
    made.say("proposal-withdrawal", body.to_json(), "lab")

    assert made.machine.board.proposals[proposal].status is ProposalStatus.WITHDRAWN
    assert proposal not in made.machine.board.open_proposals
    with made.refuses(ProposalClosedError, "withdrawn"):
        made.vote("ann", proposal)
    assert body == ProposalWithdrawal.from_fields(Fields(body.to_json(), "x"))


def test_abstention_takes_a_vote_back() -> None:
    """It neither approves nor rejects."""
    made = world(policy_enact={"at_least": {"n": 4, "of": "role:founder"}})
    proposal = made.propose()
    record = made.machine.board.proposals[proposal]
    made.vote("ann", proposal)
    made.vote("ann", proposal, Choice.ABSTAIN, sequence=2)

    assert (record.approvals, record.rejections) == (frozenset(), frozenset())
    assert record.status is ProposalStatus.OPEN
    made.vote("ann", proposal, Choice.REJECT, sequence=3)
    assert made.machine.board.proposals[proposal].status is ProposalStatus.REJECTED


# --- veto, notice, time ----------------------------------------------------------------------


def test_veto_ends_a_proposal() -> None:
    """One reject by whom the rule names; by anybody else it is one vote."""
    made = world(policy_enact={"approve": MAJORITY, "veto": ["affected_owners"]})
    first, second = made.propose(title="first"), made.propose(title="second")
    made.vote("clinic", first, Choice.REJECT)
    made.vote("ann", second, Choice.REJECT)
    records = made.machine.board.proposals

    assert records[first].vetoers == {"ann", "lab"}
    assert records[first].status is ProposalStatus.OPEN
    assert records[second].status is ProposalStatus.VETOED
    with made.refuses(ProposalClosedError, "vetoed"):
        made.vote("bob", second)


def test_notice_leaves_time_for_a_veto() -> None:
    """Approved is not enacted: until the notice is over, whoever may can stop it."""
    rule = {"approve": MAJORITY, "veto": ["member:clinic"], "notice_s": 3600}
    made = world(policy_enact=rule)
    stopped, wanted = made.propose(title="stopped"), made.propose(title="wanted")
    for name in ("ann", "bob", "lab"):
        made.vote(name, stopped)
        made.vote(name, wanted)
    board = made.machine.board
    record = board.proposals[wanted]

    assert board.status(record, made.time) is ProposalStatus.NOTICE
    assert not board.enactable(record, made.time)
    with made.refuses(ProposalClosedError, "notice"):
        made.enact(wanted)
    made.time = NOW + timedelta(seconds=3599)
    made.vote("clinic", stopped, Choice.REJECT)
    assert made.machine.board.proposals[stopped].status is ProposalStatus.VETOED
    made.time = NOW + timedelta(seconds=3600)
    assert made.machine.board.enactable(made.machine.board.proposals[wanted], made.time)
    made.enact(wanted)


def test_notice_starts_anew_after_second_thoughts() -> None:
    """Nobody is surprised by an approval that was gone for a while."""
    made = world(policy_enact={"approve": MAJORITY, "notice_s": 3600})
    proposal = made.propose()
    for name in ("ann", "bob", "lab"):
        made.vote(name, proposal)
    made.time = NOW + timedelta(seconds=3000)
    made.vote("ann", proposal, Choice.ABSTAIN, sequence=2)
    assert made.machine.board.proposals[proposal].approved_at is None
    made.vote("clinic", proposal)
    made.time = NOW + timedelta(seconds=3600)

    with made.refuses(ProposalClosedError, "notice"):
        made.enact(proposal)
    made.time = NOW + timedelta(seconds=6600)
    made.enact(proposal)


def test_longest_notice_and_shortest_voting_time_count() -> None:
    """Of all actions; who wants more time than the rules give is told the limits."""
    made = world(
        policy_enact={"approve": MAJORITY, "notice_s": 60, "voting_s": 1000},
        member_remove={"approve": MAJORITY, "notice_s": 600, "voting_s": 2000},
    )
    actions = (made.proposal_of().actions[0], RemoveMember("bob"))
    for seconds in (600, 1001):
        with made.refuses(ProposalTimeError, "2026-01-15T12:16:40Z"):
            made.propose(actions=actions, expires=NOW + timedelta(seconds=seconds))
    proposal = made.propose(actions=actions, expires=NOW + timedelta(seconds=1000))

    assert made.machine.board.proposals[proposal].notice_s == 600


def test_notice_ends_with_the_proposal() -> None:
    """Approved too late: it expires before it could take effect."""
    made = world(policy_enact={"approve": MAJORITY, "notice_s": 3600})
    proposal = made.propose(expires=NOW + timedelta(seconds=4000))
    made.time = NOW + timedelta(seconds=1000)
    for name in ("ann", "bob", "lab"):
        made.vote(name, proposal)
    made.time = NOW + timedelta(seconds=4000)

    with made.refuses(ProposalClosedError, "expired"):
        made.enact(proposal)


def test_proposals_of_one_member_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expired ones do not count."""
    monkeypatch.setattr("accord.board._state.MAX_OPEN", 3)
    made = world()
    for number in range(3):
        made.propose(title=f"number {number}", expires=NOW + timedelta(hours=1))
    with made.refuses(TooManyProposalsError, "lab has 3 open proposals"):
        made.propose(title="one more")
    made.propose(title="of ann", author="ann")
    made.time = NOW + timedelta(hours=2)
    made.propose(title="later")

    statuses = [record.status for record in made.machine.board.proposals.values()]
    assert statuses.count(ProposalStatus.EXPIRED) == 3
    assert len(made.machine.board.open_proposals) == 2


# --- whom it affects -------------------------------------------------------------------------


def test_weights_decide() -> None:
    """A member that weighs more can suffice."""
    given = {"clinic": {"weight": 5}}
    made = world(given=given, policy_enact={"weighted": {"min": 6, "of": "role:founder"}})
    proposal = made.propose()
    made.vote("clinic", proposal)
    record = made.machine.board.proposals[proposal]

    assert made.machine.board.missing(record) == ("weight 1 of ann, bob, lab",)
    made.vote("bob", proposal)
    made.enact(proposal)


def test_whoever_lost_an_asset_is_asked_until_they_leave() -> None:
    """A member who left cannot hold up the next version; a policy over their assets is dead."""
    made = world(policy_enact="affected_owners")
    first = decide(made, made.proposal_of().actions[0])
    assert first
    decide(made, RemoveMember("ann"), voters=("bob", "lab", "clinic"))
    current = made.machine.board.policy("train")
    assert current is not None
    inputs = [{"asset": "bob/records", "tag": digest("bob/records"), "at": "/in/records"}]
    second = policy_json(
        predecessor=current.digest, services={"train": service_json(inputs=inputs)}
    )
    same = policy_json(predecessor=current.digest, purpose="other")
    proposal = made.propose(second)

    assert made.machine.board.proposals[proposal].affected_owners == {"bob", "lab"}
    with made.refuses(ProposalImpossibleError, match="asks for ann"):
        made.propose(same)


def test_rules_about_owners_mean_every_owner_where_the_charter_changes() -> None:
    """Who sets the rules matters to everybody who offered something; who reads, to who said so."""
    made = world(constitution_replace="affected_owners", member_remove="affected_owners")
    rules = made.propose(actions=(ReplaceConstitution(constitution()),))
    made.offer("ann/records", terms=terms(readers=("clinic", "zoe")))
    made.withdraw("bob/records")
    leaves = made.propose(actions=(RemoveMember("clinic"),))
    joins = made.propose(actions=(AddMember(member("zoe")),))
    nobody = made.propose(actions=(AddMember(member("eve")),))
    records = made.machine.board.proposals

    assert records[rules].affected_owners == {"ann", "bob", "lab"}
    assert records[leaves].affected_owners == {"ann", "lab", "clinic"}
    assert records[joins].affected_owners == {"ann"}
    assert records[nobody].affected_owners == frozenset()


def test_lineage_owners_are_asked() -> None:
    """What was computed from ann's data needs ann, whoever offers it."""
    made = world(policy_enact="lineage_owners")
    made.machine.board.lineage[digest("model")] = frozenset({"ann", "lab"})
    made.offer("bob/model", tag=digest("model"))
    inputs = [{"asset": "bob/model", "tag": digest("model"), "at": "/in/model"}]
    proposal = made.propose(policy_json(services={"train": service_json(inputs=inputs)}))
    record = made.machine.board.proposals[proposal]

    assert made.machine.board.missing(record) == ("ann", "bob", "lab")
    assert record.affected_owners == {"bob"}


# --- namespaces and access -------------------------------------------------------------------


def test_namespace_belongs_to_its_policy() -> None:
    """A child names the parent's version in force; `create` and `update` are asked as well."""
    made = world()
    access = {"update": "member:bob", "create": "member:clinic"}
    decide(made, EnactPolicy(Policy.from_json(policy_json(access=access))))
    parent = made.machine.board.policy("train")
    assert parent is not None
    child = policy_json(name="train/fine", namespace=parent.digest)
    proposal = made.propose(child)
    record = made.machine.board.proposals[proposal]
    for name in ("ann", "bob", "lab"):
        made.vote(name, proposal)

    assert made.machine.board.missing(record) == ("clinic",)
    assert [item.source for item in record.requirements] == [
        "constitution",
        "policy train, access.create",
    ]
    made.vote("clinic", proposal)
    made.enact(proposal)
    update = made.propose(policy_json(predecessor=parent.digest, purpose="new"))
    for name in ("ann", "clinic", "lab"):
        made.vote(name, update)
    with made.refuses(ApprovalsMissingError, "approval of bob"):
        made.enact(update)


def test_names_cannot_be_squatted() -> None:
    """Below a policy that does not exist, or another version of it, nothing can be made."""
    made = world()
    with made.refuses(NamespaceError, "there is no policy train"):
        made.propose(policy_json(name="train/fine", namespace=digest("train")))
    decide(made, made.proposal_of().actions[0])
    with made.refuses(NamespaceError, "another version"):
        made.propose(policy_json(name="train/fine", namespace=digest("train")))
    with made.refuses(NamespaceError, r"there is no policy train/deep"):
        made.propose(policy_json(name="train/deep/er", namespace=digest("train")))


def test_parent_and_child_come_together_and_go_stale_together() -> None:
    """In one proposal the child names the new parent; a newer parent makes it stale."""
    made = world()
    parent = Policy.from_json(policy_json())
    child = Policy.from_json(policy_json(name="train/fine", namespace=parent.digest))
    with made.refuses(NamespaceError):
        made.propose(actions=(EnactPolicy(child), EnactPolicy(parent)))
    decide(made, EnactPolicy(parent), EnactPolicy(child))
    assert made.machine.board.policy("train/fine") == child
    other = made.propose(policy_json(name="train/other", namespace=parent.digest))
    decide(
        made,
        EnactPolicy(Policy.from_json(policy_json(predecessor=parent.digest, purpose="new"))),
    )
    record = made.machine.board.proposals[other]

    assert made.machine.board.status(record, made.time) is ProposalStatus.STALE


# --- automated members, public parts ---------------------------------------------------------


def test_wrong_format_of_an_import_is_refused_before_anybody_votes() -> None:
    """Where the exporter is known: in force on this board, or in the same proposal."""

    def importer(form: str, **spec: Any) -> EnactPolicy:
        imported = {"kind": "import", "policy": "vault", "secret": "token", **spec}
        train = service_json(environment={"T": f"{{{{ accord.imported:{form} }}}}"})
        return enacting(secrets={"imported": imported}, services={"train": train})

    def exporter(**kind: Any) -> EnactPolicy:
        return enacting(name="vault", secrets={"token": kind}, services={})

    random, pair = exporter(kind="ascii"), exporter(kind="jwt-key", algorithm="ES256")
    made = world()
    early = made.propose(actions=(importer("jwk"),), title="nobody knows yet")
    for actions in ((random, importer("jwk")), (importer("jwk"), random)):
        with made.refuses(SecretFormatError, "train.environment.T.*imported.*jwk.*text, hex"):
            made.propose(actions=actions)
    made.propose(actions=(importer("jwk"), pair), title="fits")
    decide(made, random)
    with made.refuses(SecretFormatError, "imported"):
        made.propose(actions=(importer("jwk"),))
    peer = {"board": digest("b"), "log_key": base64_encode(bytes(32)), "url": "https://a.example"}
    made.propose(actions=(importer("jwk", service=peer),), title="of a peer")
    made.propose(actions=(importer("hex"),), title="fits as well")

    made.vote("ann", early)  # What became known later keeps nobody from deciding.


def test_first_version_and_its_predecessor_are_told_apart_in_words() -> None:
    """Where there is nothing before it, or where it names nothing."""
    made = world()
    with made.refuses(StaleStatementError, "written against sha256:.*, but nothing is current"):
        made.propose(policy_json(predecessor=digest("none")))
    decide(made, enacting())
    with made.refuses(StaleStatementError, "written against nothing, but sha256:"):
        made.propose(policy_json(purpose="other"))


def enacting(**changes: Any) -> EnactPolicy:
    return EnactPolicy(Policy.from_json(policy_json(**changes)))


def test_automated_member_needs_evidence_with_each_ballot() -> None:
    """Its key alone says nothing about what decided."""
    made = world(given={"clinic": {"attestation": [variant_json()]}})
    proposal = made.propose()
    with made.refuses(EvidenceMissingError, "clinic"):
        made.vote("clinic", proposal)
    made.vote("ann", proposal)
    ballot = made.machine.board.proposals[proposal].ballots["ann"]
    body = replace(ballot, member="clinic", evidence=digest("evidence"), challenge=bytes(32))
    made.say("ballot", body.to_json(), "clinic")

    assert made.machine.board.proposals[proposal].approvals == {"ann", "clinic"}


def test_enactment_shows_only_what_the_policy_has() -> None:
    """A service that publishes something else broke its own rules."""
    made = world()
    proposal = made.propose(policy_json(authority=True))
    for name in ("ann", "bob", "lab"):
        made.vote(name, proposal)
    for public in ({"train": {"secret": "PEM"}}, {"other": {"authority": "PEM"}}):
        with made.refuses(EnactmentInvalidError):
            made.say("enactment", Enactment(made.board, proposal, public).to_json(), "service")
    public = {"train": {"authority": "PEM"}}
    made.say("enactment", Enactment(made.board, proposal, public).to_json(), "service")

    assert made.machine.board.public == public


def test_charter_digest_names_all_of_it() -> None:
    """Another order of members is no other charter; anything else is."""
    made = world()
    state = BoardState.found(made.genesis)
    charter = state.charter

    assert charter.digest == made.machine.board.charter.digest
    for changed in (
        charter.with_member(member("zoe"), new=True),
        charter.with_constitution(constitution(policy_enact="member:ann")),
        charter.with_member(member("ann", "data-owner", "founder", weight=2), new=False),
    ):
        assert changed.digest != charter.digest
    assert Person.of("ann").signer.key_id in state.keys
