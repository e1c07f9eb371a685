# SPDX-License-Identifier: Apache-2.0
"""Tags of live volumes: opened by a release, moved on by commits, accepted by votes."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.support.board import MEMBERS, Hardware, digest, policy_json, replay, service_json, terms
from tests.support.tags import STATE, Live, live_policy

from accord.board import AcceptTag, ExecutionStop
from accord.encoding import Digest, Fields
from accord.errors import (
    ConsentWithdrawnError,
    ExecutionStoppedError,
    LeaseEndedError,
    MalformedError,
    PolicyContentError,
    ProposalClosedError,
    ReleaseInvalidError,
    TagAcceptError,
    TagMismatchError,
    TagWriterError,
    TermsError,
    UncleanVolumeError,
    VolumeKeptError,
)
from accord.identity import sign_statement
from accord.policy import Policy, UpdateMode, diff, lint
from accord.release import (
    Grant,
    GrantedVolume,
    OpenedVolume,
    Release,
    TagCommit,
    TagUpdate,
    machine_to_json,
    read_machine,
)


@pytest.fixture(scope="module")
def hardware(tmp_path_factory: pytest.TempPathFactory) -> Hardware:
    return Hardware.make(tmp_path_factory.mktemp("hardware"))


@pytest.fixture
def live(hardware: Hardware) -> Live:
    return Live(hardware)


# --- opening, committing, closing ------------------------------------------------------------


def test_volume_goes_on_from_where_it_was_closed(live: Live) -> None:
    """The next run is told the last tag, and the same volume."""
    first = live.gate.release()
    live.commit(first, live.update("a"))
    live.commit(first, live.update("b", closing=True))
    second = live.gate.release()

    assert first.volumes[0].tag is None
    assert [OpenedVolume("state", first.volumes[0].volume_id, digest("b"))] == [*second.volumes]
    record = live.record()
    assert (second.run, digest("b"), 0, False) == (
        record.run,
        record.tag,
        record.number,
        record.clean,
    )


def test_state_follows_from_the_log_and_from_a_snapshot(live: Live) -> None:
    """Whoever replays it, or reads it back, comes to the same tags."""
    run = live.gate.release()
    live.commit(run, live.update("a"))
    machine = live.world.machine

    assert machine == replay(live.world.log)
    assert machine == read_machine(machine_to_json(machine))
    assert machine.runs[run.run].release == replace(run, result=None, volumes=())


def test_commit_of_many_updates_is_taken_whole_or_not_at_all(hardware: Hardware) -> None:
    """Several volumes and several versions of one, in order; one wrong one refuses all."""
    live = Live(hardware, names=("state", "index"))
    run = live.gate.release()
    updates = (
        live.update("a"),
        live.update("b", old=digest("a"), number=2),
        live.update("i", volume="index", closing=True),
    )
    with live.world.refuses(TagMismatchError):
        live.commit(run, *updates, live.update("c", old=digest("a"), number=3))
    live.commit(run, *updates)

    assert (digest("b"), 2, False) == (
        live.record().tag,
        live.record().number,
        live.record().clean,
    )
    assert (digest("i"), True) == (live.record("index").tag, live.record("index").clean)


def test_commit_with_another_old_tag_is_refused(live: Live) -> None:
    """Compare and swap: an older version of the storage does not become the latest."""
    run = live.gate.release()
    live.commit(run, live.update("a"))
    live.commit(run, live.update("b"))

    with live.world.refuses(TagMismatchError, digest("b")):
        live.commit(run, live.update("c", old=digest("a")))


def test_closed_volume_takes_no_commit(live: Live) -> None:
    """Whoever closed it is done."""
    run = live.gate.release()
    live.commit(run, live.update("a", closing=True))

    with live.world.refuses(TagWriterError, "closed"):
        live.commit(run, live.update("b"))


def test_run_that_has_ended_commits_nothing(live: Live) -> None:
    """Its statement was its last word."""
    run = live.gate.release()
    live.world.finish(run)

    with live.world.refuses(TagWriterError, "ended"):
        live.commit(run, live.update("a"))


def test_run_without_leave_commits_nothing(hardware: Hardware) -> None:
    """Neither after its lease nor after a stop, of itself or of what its volume holds."""
    live = Live(hardware, lease_s=60)
    run = live.gate.release()
    live.world.time += timedelta(seconds=60)
    with live.world.refuses(LeaseEndedError):
        live.commit(run, live.update("a"))
    live.world.time -= timedelta(seconds=30)
    stop = ExecutionStop(live.world.board, "ann", "asset:ann/records", "no", live.world.time)
    live.world.say("execution-stop", stop.to_json(), "ann")
    with live.world.refuses(ExecutionStoppedError):
        live.commit(run, live.update("a"))


# --- unclean exits ---------------------------------------------------------------------------


def test_protected_volume_waits_for_a_vote_after_an_unclean_exit(live: Live) -> None:
    """Nothing is released before it; then the run starts from the tag that was accepted."""
    run = live.gate.release()
    live.commit(run, live.update("a"))
    with live.world.refuses(UncleanVolumeError, run.run):
        live.gate.ask()
    live.accept(run, digest("found on disk"))

    assert digest("found on disk") == live.gate.release().volumes[0].tag


def test_unprotected_volume_goes_on_from_the_last_tag(hardware: Hardware) -> None:
    """Nobody is asked, and the run before may write no more."""
    live = Live(hardware, update="unprotected")
    first = live.gate.release()
    live.commit(first, live.update("a"))
    second = live.gate.release()

    assert digest("a") == second.volumes[0].tag
    with live.world.refuses(TagWriterError, second.run):
        live.commit(first, live.update("b"))


def two_versions(first: str, second: str) -> tuple[Any, Any]:
    """Two versions of the policy that differ in how they keep the volume."""
    return live_policy(update=first), live_policy(update=second)


def test_ephemeral_volume_is_another_one_in_every_run(hardware: Hardware) -> None:
    """Empty, under another id and therefore another key; no crash keeps the next run out."""
    live = Live(hardware, update="ephemeral", names=("state", "index"))
    opened = [item for _ in range(2) for item in live.gate.release().volumes]

    assert [item.tag for item in opened] == [None] * 4
    assert len({item.volume_id for item in opened}) == 4
    assert live.world.machine.board.tags == {}
    assert live.world.machine == replay(live.world.log)


def test_ephemeral_volume_takes_no_commit(hardware: Hardware) -> None:
    """Nothing of it is kept, so there is nothing to agree on."""
    live = Live(hardware, update="ephemeral")
    run = live.gate.release()

    with live.world.refuses(TagWriterError, "ephemeral"):
        live.commit(run, TagUpdate("state", 1, None, digest("a")))


def test_release_cannot_give_a_run_the_ephemeral_volume_of_another(hardware: Hardware) -> None:
    """Its id follows from the run: a trust service that says another breaks its own rules."""
    live = Live(hardware, update="ephemeral")
    first = live.gate.release()
    second = live.gate.ask().release

    with live.world.refuses(ReleaseInvalidError):
        live.gate.commit(replace(second, volumes=first.volumes))


@pytest.mark.parametrize("kept", ["protected", "unprotected"])
def test_volume_that_was_kept_cannot_become_ephemeral(hardware: Hardware, kept: str) -> None:
    """What is in it would be out of reach, and nobody would have said so."""
    old, new = two_versions(kept, "ephemeral")
    live = Live(hardware, document=old)
    live.commit(live.gate.release(), live.update("a", closing=True))
    before = live.world.machine.board.policy("train")
    assert before is not None
    live.world.enact_policy({**new, "predecessor": before.digest})
    record = live.record()

    with live.world.refuses(VolumeKeptError, record.run):
        live.gate.ask()
    assert digest("a") == live.record().tag
    findings = lint(Policy.from_json({**new, "predecessor": before.digest}), previous=before)
    assert "volume-was-kept" in {item.code for item in findings}


def test_ephemeral_volume_can_be_kept_from_the_next_version_on(hardware: Hardware) -> None:
    """It then begins empty, as one that nobody opened."""
    old, new = two_versions("ephemeral", "protected")
    live = Live(hardware, document=old)
    first = live.gate.release()
    before = live.world.machine.board.policy("train")
    assert before is not None
    live.world.enact_policy({**new, "predecessor": before.digest})
    run = live.gate.release()
    live.commit(run, live.update("a", closing=True))

    assert run.volumes[0].tag is None
    assert first.volumes[0].volume_id != run.volumes[0].volume_id
    assert digest("a") == live.gate.release().volumes[0].tag


def test_accepted_tag_ends_what_the_old_run_may_write(live: Live) -> None:
    """Members were told what goes on, and nothing comes after that."""
    run = live.gate.release()
    live.accept(run, None)

    with live.world.refuses(TagWriterError, "accepted"):
        live.commit(run, live.update("a"))
    assert live.gate.release().volumes[0].tag is None


def test_late_vote_undoes_no_commit(live: Live) -> None:
    """A run that seemed dead goes on: what it committed since stays, whatever ballot comes late."""
    run = live.gate.release()
    live.commit(run, live.update("a"))
    proposal = live.accepting(run, digest("a"))
    live.commit(run, live.update("b"))
    late = next(iter(MEMBERS))
    with live.world.refuses(ProposalClosedError, "stale|superseded|closed"):
        live.world.vote(late, proposal)

    assert live.record().tag == digest("b")


def test_tag_is_accepted_only_for_what_is_open(live: Live) -> None:
    """Not for a volume that nobody opened, closed properly, or that another run has since."""
    nobody = AcceptTag("train", "other", "run-" + "0" * 32, 0, None)
    run = live.gate.release()
    with live.world.refuses(TagAcceptError, "nobody has opened"):
        live.world.propose(actions=(nobody,))
    with live.world.refuses(TagAcceptError, "since"):
        live.accepting(replace(run, run="run-" + "0" * 32), None)
    live.commit(run, live.update("a", closing=True))
    with live.world.refuses(TagAcceptError, "not open"):
        live.accepting(run, digest("a"))


def test_acceptance_is_for_one_unclean_exit(live: Live) -> None:
    """A second proposal about the first exit is stale once the volume was opened again."""
    run = live.gate.release()
    left = live.accepting(run, digest("old"))
    live.accept(run, digest("a"))
    live.gate.release()

    board = live.world.machine.board
    assert board.status(board.proposals[left], live.world.time) == "stale"


def test_tag_is_accepted_by_policy_rule_and_whose_data_it_holds(hardware: Hardware) -> None:
    """Without a rule of its own: that of policy.enact, and all owners besides."""
    live = Live(hardware, constitution={"policy.enact": "role:result-user"})
    run = live.gate.release()
    proposal = live.accepting(run, None)
    board = live.world.machine.board

    assert {"ann", "clinic", "lab"} == {*board.missing(board.proposals[proposal])}


def test_constitution_may_say_who_accepts_tags(hardware: Hardware) -> None:
    """Its own rule is then all that is asked."""
    rules = {"policy.enact": "role:result-user", "tag.accept": "member:bob"}
    live = Live(hardware, constitution=rules)
    run = live.gate.release()
    proposal = live.accepting(run, digest("a"))
    live.world.vote("bob", proposal)
    live.world.enact(proposal)

    assert digest("a") == live.record().tag


def test_board_without_owners_accepts_by_the_policy_rule(hardware: Hardware) -> None:
    """Nobody's data, nobody to ask besides."""
    live = Live(hardware, constitution={"policy.enact": "role:result-user"}, inputs=[])
    run = live.gate.release()
    proposal = live.accepting(run, None)
    board = live.world.machine.board
    needed = board.proposals[proposal].requirements
    assert [item.source for item in needed] == ["constitution, policy.enact"]


# --- whose data is inside --------------------------------------------------------------------


def two_services(**reader: Any) -> Any:
    """One reads of ann and lab into the volume; the other reads the volume alone."""
    return policy_json(
        volumes={"state": {}},
        services={
            "train": service_json(volumes=[STATE]),
            "serve": service_json(inputs=[], volumes=[STATE], **reader),
        },
    )


def test_terms_hold_for_what_comes_back_out_of_a_volume(hardware: Hardware) -> None:
    """A service without inputs that reads what another put there reads ann's all the same."""
    elsewhere = [{"name": "model", "at": "/out/model", "readers": ["bob"]}]
    live = Live(hardware, document=two_services(outputs=elsewhere))
    before = live.gate.ask(service="serve")
    run = live.gate.release()
    live.commit(run, live.update("a", closing=True))

    assert before.release.uses == ()
    with live.world.refuses(TermsError, "readers"):
        live.gate.ask(service="serve")


def test_withdrawn_asset_shuts_the_volumes_that_hold_it(hardware: Hardware) -> None:
    """Its owner need not know where it went."""
    live = Live(hardware, document=two_services())
    run = live.gate.release()
    live.commit(run, live.update("a", closing=True))
    live.world.withdraw("ann/records")

    with live.world.refuses(ConsentWithdrawnError):
        live.gate.ask(service="serve")


def test_outputs_computed_from_a_volume_have_its_owners(hardware: Hardware) -> None:
    """The lineage of a result goes through the volume."""
    live = Live(hardware, document=two_services())
    first = live.gate.release()
    live.commit(first, live.update("a", closing=True))
    second = live.gate.release(service="serve")
    live.world.finish(second)

    assert frozenset({"ann", "lab"}) == live.world.machine.board.lineage[digest("output model")]


def test_next_version_needs_the_owners_of_what_a_volume_holds(hardware: Hardware) -> None:
    """They are affected even where neither version reads of them any more."""
    live = Live(hardware, document=two_services())
    live.commit(live.gate.release(), live.update("a", closing=True))
    for _ in range(2):
        document = two_services()
        document["predecessor"] = live.world.machine.board.policy("train").digest  # type: ignore[union-attr]
        document["services"] = {"train": service_json(inputs=[], volumes=[STATE])}
        document["not_after"] = f"2027-01-{len(live.world.log):02d}T00:00:00Z"
        proposal = live.world.propose(document)
        missing = live.world.machine.board.missing(live.world.machine.board.proposals[proposal])
        assert {"ann", "lab"} <= {*missing}
        for member in MEMBERS:
            live.world.vote(member, proposal)
        live.world.enact(proposal)


def test_volumes_of_one_run_mix(hardware: Hardware) -> None:
    """What is in one of them may be in all of them afterwards."""
    document = policy_json(
        volumes={"a": {}, "b": {}},
        services={
            "train": service_json(volumes=[{"volume": "a", "at": "/data/a"}]),
            "mix": service_json(
                inputs=[],
                volumes=[{"volume": "a", "at": "/data/a"}, {"volume": "b", "at": "/data/b"}],
            ),
        },
    )
    live = Live(hardware, document=document)
    live.commit(live.gate.release(), live.update("1", volume="a", closing=True))
    live.gate.release(service="mix")

    assert ("ann/records", "lab/code") == live.record("b").assets == live.record("a").assets
    assert live.record("b").owners == ("ann", "lab")


# --- what the log may say --------------------------------------------------------------------


@pytest.mark.parametrize(
    "volumes",
    [
        (),
        (OpenedVolume("state", "vol-" + "1" * 32, digest("a")),),
        (OpenedVolume("other", "vol-" + "1" * 32, None),),
    ],
)
def test_release_that_opens_something_else_is_no_entry(
    live: Live, volumes: tuple[OpenedVolume, ...]
) -> None:
    """Nothing, from a tag that nobody committed, or another volume."""
    release = live.gate.ask().release

    with live.world.refuses(ReleaseInvalidError):
        live.gate.commit(replace(release, volumes=volumes))


def test_new_volumes_have_ids_of_their_own(hardware: Hardware) -> None:
    """One key for two volumes would let one stand for the other."""
    live = Live(hardware, names=("state", "index"))
    release = live.gate.ask().release
    same = release.volumes[0].volume_id
    twice = tuple(replace(item, volume_id=same) for item in release.volumes)

    with live.world.refuses(ReleaseInvalidError):
        live.gate.commit(replace(release, volumes=twice))


def test_documents_round_trip(live: Live) -> None:
    """Strictly, as they cross the wire."""
    release = live.gate.ask().release
    body: Any = release.to_json()
    assert release == Release.from_fields(Fields(body, "release"))
    body["volumes"][0]["volume_id"] = "else"
    with pytest.raises(MalformedError):
        Release.from_fields(Fields(body, "release"))
    commit = TagCommit(
        live.world.board,
        release.run,
        (TagUpdate("state", 1, None, digest("a")), TagUpdate("state", 2, digest("a"), digest("b"))),
    )
    document: Any = commit.to_json()
    assert commit == TagCommit.from_fields(Fields(document, "commit"))
    for damaged in ({**document, "updates": []}, {**document, "run": "x"}):
        with pytest.raises(MalformedError):
            TagCommit.from_fields(Fields(damaged, "commit"))


def test_grant_carries_volumes_and_hides_their_keys(live: Live) -> None:
    """What the shield reads is what the service wrote."""
    decision = live.gate.ask()
    opened = decision.release.volumes[0]
    volumes = (
        GrantedVolume(opened.volume, opened.volume_id, None, bytes(range(32))),
        GrantedVolume("index", opened.volume_id, digest("a"), bytes(32)),
    )
    release = decision.release
    grant = Grant(
        board=release.board,
        run=release.run,
        policy_digest=release.policy_digest,
        service_name="train",
        service=decision.service,
        assurance=release.assurance,
        inputs=(),
        readers=(),
        volumes=volumes,
    )

    assert grant == Grant.from_fields(Fields(grant.to_json(), "grant"))
    assert "key" not in repr(volumes[0])


def test_action_round_trip(live: Live) -> None:
    """With a tag and without one."""
    for tag in (digest("a"), None):
        item = AcceptTag("train", "state", "run-" + "0" * 32, 7, tag)
        proposal: Any = live.world.proposal_of(actions=(item,))
        read = type(proposal).from_fields(Fields(proposal.to_json(), "proposal"))
        assert (item,) == read.actions


# --- policies --------------------------------------------------------------------------------


def policy(**changes: Any) -> Policy:
    return Policy.from_json(live_policy() | changes)


def test_policy_without_live_volumes_is_as_before() -> None:
    """Its digest does not change because there could be some."""
    plain: Any = Policy.from_json(policy_json()).to_json()

    assert "volumes" not in plain
    assert "volumes" not in plain["services"]["train"]
    assert Policy.from_json(policy_json(volumes={})).digest == Policy.from_json(plain).digest


def test_policy_with_live_volumes_round_trip() -> None:
    """Protected unless it says otherwise."""
    read = Policy.from_json(policy(volumes={"state": {}}).to_json())

    assert read.volumes["state"].update is UpdateMode.PROTECTED
    assert read == policy()
    assert not read.services["train"].may_be_leased


@pytest.mark.parametrize(
    "document",
    [
        live_policy() | {"volumes": {}},
        live_policy(names=("state", "state")),
        live_policy() | {"volumes": {f"v{n}": {} for n in range(65)}},
        policy_json(
            volumes={"state": {}},
            services={"train": service_json(volumes=[{"volume": "state", "at": "/in/state"}])},
        ),
        policy_json(
            volumes={"state": {}},
            services={"train": service_json(volumes=[STATE], channel="L0", outputs=[])},
        ),
    ],
)
def test_volume_that_cannot_be_mounted_makes_no_policy(document: Any) -> None:
    """Unknown, twice, too many, at a place of something else, or for guests."""
    with pytest.raises(PolicyContentError):
        Policy.from_json(document)


@pytest.mark.parametrize("volume", [{"update": "sometimes"}, {"strict": True}])
def test_mode_that_nobody_knows_is_refused(volume: Any) -> None:
    """None is guessed, and none is read in an older spelling."""
    with pytest.raises(MalformedError):
        policy(volumes={"state": volume})


def test_voters_read_what_a_live_volume_means() -> None:
    """In the diff and, where nobody would be asked, in the lint."""
    loose = Policy.from_json(live_policy(update="unprotected"))
    changes = [change.sentence for change in diff(policy(), loose)]

    assert any("FROM THE LAST TAG" in sentence for sentence in changes)
    assert any("stays shut" in sentence for sentence in changes)
    thrown = diff(policy(), Policy.from_json(live_policy(update="ephemeral")))
    assert any("NOTHING OF IT IS KEPT" in change.sentence for change in thrown)
    assert "volume-unprotected" in {item.code for item in lint(loose)}
    sentences = [change.sentence for change in diff(None, loose)]
    assert "service train reads and writes live volume state at /data/state" in sentences


def test_terms_of_a_policy_are_those_of_its_inputs(live: Live) -> None:
    """A volume that holds an owner's data follows the owner's new terms at once."""
    live.commit(live.gate.release(), live.update("a", closing=True))
    live.world.offer("ann/records", terms=terms(readers=()))

    with live.world.refuses(TermsError):
        live.gate.ask()


def test_commit_names_this_board(live: Live) -> None:
    """One of another board is none of ours."""
    run = live.gate.release()
    body = TagCommit(Digest(digest("other")), run.run, (live.update("a"),)).to_json()
    assert sign_statement("tag-commit", body, []).payload
    with pytest.raises(Exception, match="board"):
        live.world.say("tag-commit", body, "shield")
