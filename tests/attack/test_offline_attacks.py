# SPDX-License-Identifier: Apache-2.0
"""Attacks on whoever signs, on a machine without a network, what another machine prepared.

The attacker writes the files on the stick, and hopes that nobody reads what is signed.
"""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.board import (
    Person,
    World,
    constitution_json,
    digest,
    genesis_json,
    member_json,
    terms,
)

from accord.board import (
    AddMember,
    AssetWithdrawal,
    Ballot,
    Choice,
    Constitution,
    ExecutionStop,
    Genesis,
    Member,
    Proposal,
    ProposalWithdrawal,
    RemoveMember,
    ReplaceConstitution,
    ReplaceService,
)
from accord.cli._main import run
from accord.client import Unsigned
from accord.encoding import Digest, Fields, JSONValue
from accord.identity import FileIdentity, VerifyKey


@pytest.fixture(scope="module")
def world() -> World:
    return World.ready()


@pytest.fixture
def clinic(tmp_path: Path) -> FileIdentity:
    return FileIdentity.create(tmp_path / "clinic", "clinic")


@dataclass(frozen=True)
class Done:
    exit_code: int
    output: str


def sign(folder: Path, *arguments: str, typed: str = "") -> Done:
    """`accord member sign`, to which the signer types ``typed``."""
    given = ["member", "sign", str(folder / "x.tbs"), "-o", str(folder / "x.sig")]
    said = io.StringIO()
    with (
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(said),
        pytest.MonkeyPatch.context() as patched,
    ):
        patched.setattr("sys.stdin", io.StringIO(typed))
        code = run([*given, "--home", str(folder / "clinic"), *arguments])
    return Done(code, said.getvalue())


def prepared(folder: Path, kind: str, body: JSONValue, proposal: JSONValue = None) -> Digest:
    unsigned = Unsigned.of(kind, body)
    (folder / "x.tbs").write_bytes(unsigned.to_bytes())
    if proposal is not None:
        (folder / "x.tbs.json").write_text(json.dumps({"proposal": proposal}))
    return unsigned.digest


def refused(folder: Path, done: Done, code: str) -> None:
    assert code in done.output
    assert not (folder / "x.sig").exists()


def signed(folder: Path, key: VerifyKey) -> None:
    key.verify((folder / "x.sig").read_bytes(), (folder / "x.tbs").read_bytes(), what="x")


def ballot(world: World, proposal: Digest, member: str = "clinic") -> JSONValue:
    return Ballot(world.board, proposal, member, Choice.APPROVE, 1).to_json()


def id_of(proposal: Proposal) -> Digest:
    return Unsigned.of("proposal", proposal.to_json()).digest


# --- what is not the signer's, or cannot be read ------------------------------------------------


def test_genesis_that_does_not_list_the_signer_is_not_signed(
    tmp_path: Path, clinic: FileIdentity
) -> None:
    """Nor one that lists their name with another's keys."""
    prepared(tmp_path, "genesis", Genesis.from_json(genesis_json()).to_json())

    refused(tmp_path, sign(tmp_path), "accord-BRD-001")


def test_genesis_called_a_ballot_is_shown_as_what_it_is(
    tmp_path: Path, clinic: FileIdentity
) -> None:
    """In full, with who decides there; without its digest nothing is signed."""
    document = genesis_json(
        name="evil",
        members=[
            {**member_json("clinic", "x"), "identity": clinic.public.to_json()},
            member_json("mallory", "boss"),
        ],
        constitution=constitution_json({"policy.enact": "member:mallory"}),
    )
    genesis = Genesis.from_json(document)
    prepared(tmp_path, "genesis", genesis.to_json())
    done = sign(tmp_path, typed="00000000\n")

    assert "board      evil" in done.output
    assert "  member mallory" in done.output
    refused(tmp_path, done, "accord-CLI-002")
    refused(tmp_path, sign(tmp_path, "--digest", digest("another")), "accord-CLI-002")
    assert sign(tmp_path, "--digest", genesis.digest).exit_code == 0
    signed(tmp_path, clinic.public.verify_key)


@pytest.mark.parametrize("kind", ["proposal", "ballot", "asset", "execution-stop"])
def test_statement_of_another_member_is_not_signed(
    tmp_path: Path, clinic: FileIdentity, world: World, kind: str
) -> None:
    """Whoever prepares it cannot have one key vouch for another name."""
    proposal = world.proposal_of(author="mallory")
    bodies = {
        "proposal": proposal.to_json(),
        "ballot": ballot(world, id_of(proposal), "mallory"),
        "asset": world.offer_of("mallory/x").to_json(),
        "execution-stop": ExecutionStop(world.board, "mallory", "board", "x", world.time).to_json(),
    }
    prepared(tmp_path, kind, bodies[kind], proposal.to_json())

    refused(tmp_path, sign(tmp_path), "accord-BRD-020")


@pytest.mark.parametrize("kind", ["asset-withdrawal", "proposal-withdrawal", "enactment", "grant"])
def test_kind_that_cannot_be_shown_is_not_signed(
    tmp_path: Path, clinic: FileIdentity, world: World, kind: str
) -> None:
    """Blind signing is refused, whatever the digest."""
    withdrawal = AssetWithdrawal(world.board, "clinic/x", digest("x")).to_json()
    gone = ProposalWithdrawal(world.board, digest("x")).to_json()
    bodies = {"asset-withdrawal": withdrawal, "proposal-withdrawal": gone}
    named = prepared(tmp_path, kind, bodies.get(kind, {"member": "clinic"}))

    refused(tmp_path, sign(tmp_path, "--digest", named), "cannot be shown")


# --- a ballot and what it is about --------------------------------------------------------------


def test_ballot_is_signed_with_its_proposal_in_view(
    tmp_path: Path, clinic: FileIdentity, world: World
) -> None:
    """Every sentence of the policy is read before the digest is asked for."""
    proposal = world.proposal_of()
    named = prepared(tmp_path, "ballot", ballot(world, id_of(proposal)), proposal.to_json())
    done = sign(tmp_path, typed=named.removeprefix("sha256:")[:8] + "\n")

    assert done.exit_code == 0, done.output
    assert "title     train a model (by lab)" in done.output
    assert "reads ann/records" in done.output
    assert "choice    approve" in done.output
    signed(tmp_path, clinic.public.verify_key)


def test_ballot_without_its_proposal_is_not_signed(
    tmp_path: Path, clinic: FileIdentity, world: World
) -> None:
    """A digest alone says nothing to a person."""
    named = prepared(tmp_path, "ballot", ballot(world, id_of(world.proposal_of())))

    refused(tmp_path, sign(tmp_path, "--digest", named), "accord-BRD-020")


@pytest.mark.parametrize("beside", [{"proposal": 1}, {}, [], {"proposal": {"schema": "x"}}])
def test_ballot_beside_something_else_is_not_signed(
    tmp_path: Path, clinic: FileIdentity, world: World, beside: JSONValue
) -> None:
    """No other document passes for the proposal."""
    named = prepared(tmp_path, "ballot", ballot(world, id_of(world.proposal_of())))
    (tmp_path / "x.tbs.json").write_text(json.dumps(beside))

    refused(tmp_path, sign(tmp_path, "--digest", named), "accord-BRD-020")


def test_ballot_for_another_proposal_than_is_shown_is_not_signed(
    tmp_path: Path, clinic: FileIdentity, world: World
) -> None:
    """The harmless one beside it is not the one that the vote counts for."""
    harmless = world.proposal_of(title="Fix a typo")
    named = prepared(
        tmp_path, "ballot", ballot(world, id_of(world.proposal_of())), harmless.to_json()
    )

    refused(tmp_path, sign(tmp_path, "--digest", named), "shows another proposal")


def test_ballot_on_one_board_for_a_proposal_of_another_is_not_signed(
    tmp_path: Path, clinic: FileIdentity, world: World
) -> None:
    """Whose members and rules are others'."""
    proposal = world.proposal_of(board=digest("another"))
    named = prepared(tmp_path, "ballot", ballot(world, id_of(proposal)), proposal.to_json())

    refused(tmp_path, sign(tmp_path, "--digest", named), "another board")


# --- everything else is read out ----------------------------------------------------------------


def test_offer_is_read_out_with_all_its_terms(
    tmp_path: Path, clinic: FileIdentity, world: World
) -> None:
    """For whom, how often, how long."""
    offer = world.offer_of("clinic/x", terms=terms(policies=("evil",), max_uses=10**6))
    named = prepared(tmp_path, "asset", offer.to_json())
    done = sign(tmp_path, "--digest", named)

    assert done.exit_code == 0, done.output
    for words in ("volume clinic/x", "policies  evil", "at most 1000000", offer.tag):
        assert words in done.output


def test_proposal_is_read_out_with_all_its_actions(
    tmp_path: Path, clinic: FileIdentity, world: World
) -> None:
    """A title says what its author likes; the actions say what happens."""
    rules = constitution_json({"policy.enact": "member:mallory"})
    mallory = Member.from_fields(Fields(member_json("mallory", "boss"), "member"))
    service = world.machine.board.charter.service
    proposal = world.proposal_of(
        author="clinic",
        title="Fix a typo",
        actions=(
            AddMember(mallory),
            RemoveMember("ann"),
            ReplaceConstitution(Constitution.from_fields(Fields(rules, "constitution"))),
            ReplaceService(service),
        ),
    )
    named = prepared(tmp_path, "proposal", proposal.to_json())
    done = sign(tmp_path, "--digest", named)

    assert done.exit_code == 0, done.output
    key = Person.of("mallory").public.verify_key.key_id
    for words in (
        "action    member.add mallory (boss; weight 1",
        f"    key      {key}",
        "action    member.remove ann",
        "member mallory",
        "service.replace by 1 accepted environments",
        "SIMULATED tdx",
    ):
        assert words in done.output, words


def test_stop_is_read_out(tmp_path: Path, clinic: FileIdentity, world: World) -> None:
    """What it stops, and why."""
    stop = ExecutionStop(world.board, "clinic", "policy:train", "a leak", world.time)
    named = prepared(tmp_path, "execution-stop", stop.to_json())
    done = sign(tmp_path, "--digest", named)

    assert "stop      policy:train" in done.output
    assert "reason    a leak" in done.output
    signed(tmp_path, clinic.public.verify_key)
