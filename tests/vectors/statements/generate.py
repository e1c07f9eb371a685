# SPDX-License-Identifier: Apache-2.0
"""Makes the statement vectors: a log that is in order, and one bad next entry per folder.

``python -m tests.vectors.statements.generate`` writes them; a test fails where they differ. All
keys follow from labels and are public: they protect nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

from tests.support.board import Person, World, digest, policy_json, seed

from accord.board import (
    Ballot,
    Choice,
    Enactment,
    EnactPolicy,
    ExecutionStop,
    InstanceToken,
    ProposalWithdrawal,
    RemoveMember,
    ResumeExecution,
)
from accord.encoding import Envelope, canonical_json
from accord.identity import Keyset
from accord.ledger import Entry
from accord.policy import Policy
from accord.release import RunStatement

HERE = Path(__file__).parent
SIGNATURE, FORMAT, MALFORMED = "accord-ID-003", "accord-ENC-004", "accord-ENC-001"
MEMBER, BOARD, STALE = "accord-BRD-003", "accord-BRD-004", "accord-BRD-005"
CLOSED, MISSING, ASSET, AGAIN = (
    "accord-BRD-007",
    "accord-BRD-008",
    "accord-BRD-009",
    "accord-BRD-010",
)
RULES, NAMESPACE, STOP, TOKEN = (
    "accord-BRD-002",
    "accord-BRD-012",
    "accord-BRD-013",
    "accord-BRD-016",
)
WITHDRAWN, RUN, LOG_KEY, RELEASE = (
    "accord-REL-005",
    "accord-REL-009",
    "accord-REL-010",
    "accord-REL-011",
)


def world() -> World:
    """A board with a policy in force, one release that has not ended and one open proposal."""
    made = World.enacted()
    made.release()
    made.propose(policy_json(name="second"), title="second")
    return made


def flaws(made: World) -> Iterator[tuple[str, str, str, Envelope]]:
    """Name, reason, code and envelope of each refused entry."""
    proposal = made.log[-1].envelope.statement_digest
    enacted = next(iter(made.machine.board.proposals))
    release = next(iter(made.machine.runs.values())).release

    def ballot(who: str = "ann", by: str = "ann", **changes: object) -> Envelope:
        cast = Ballot(made.board, proposal, who, Choice.APPROVE, 1)
        return made.sign("ballot", replace(cast, **changes).to_json(), by)  # type: ignore[arg-type]

    yield "ballot_by_another_member_fail", "Bob votes for ann.", MEMBER, ballot(by="bob")
    yield "ballot_by_a_stranger_fail", "A stranger votes for ann.", SIGNATURE, ballot(by="mallory")
    yield (
        "ballot_for_another_board_fail",
        "For another board.",
        BOARD,
        ballot(board=digest("another board")),
    )
    yield (
        "ballot_on_decided_fail",
        "On what is enacted already.",
        CLOSED,
        ballot(proposal=enacted, sequence=9),
    )
    old = next(e.envelope for e in made.log if "ballot" in e.envelope.payload_type)
    yield "ballot_replayed_fail", "The same bytes again.", AGAIN, old
    yield (
        "ballot_relabelled_fail",
        "A ballot passed off as an enactment.",
        SIGNATURE,
        replace(ballot(), payload_type="application/vnd.accord.enactment.v1+json"),
    )
    changed = json.loads(ballot().payload) | {"choice": "reject"}
    yield (
        "ballot_changed_fail",
        "The choice was changed after signing.",
        SIGNATURE,
        replace(ballot(), payload=canonical_json(changed)),
    )
    extra = json.loads(ballot().payload) | {"weight": 2}
    yield (
        "ballot_unknown_field_fail",
        "A field nobody knows.",
        MALFORMED,
        made.sign("ballot", extra, "ann"),
    )
    body = Enactment(made.board, proposal, {}).to_json()
    yield (
        "enactment_by_a_member_fail",
        "A member counts the votes.",
        SIGNATURE,
        made.sign("enactment", body, "lab"),
    )
    yield (
        "enactment_too_early_fail",
        "Votes are missing.",
        MISSING,
        made.sign("enactment", body, "service"),
    )
    yield (
        "proposal_stale_fail",
        "Against a version that was replaced.",
        STALE,
        made.sign("proposal", made.proposal_of(title="again").to_json(), "lab"),
    )
    yield (
        "asset_of_another_owner_fail",
        "Bob offers what is ann's.",
        MEMBER,
        made.sign("asset", made.offer_of("ann/other").to_json(), "bob"),
    )
    yield (
        "asset_stale_fail",
        "The owner's previous statement is not named.",
        STALE,
        made.sign(
            "asset",
            made.offer_of("ann/records", predecessor=None, tag=digest("x")).to_json(),
            "ann",
        ),
    )
    withdrawal = {
        "schema": "accord.asset-withdrawal.v1",
        "board": made.board,
        "name": "ann/nothing",
        "predecessor": digest("nothing"),
    }
    yield (
        "withdrawal_of_nothing_fail",
        "An asset nobody offered.",
        ASSET,
        made.sign("asset-withdrawal", withdrawal, "ann"),
    )
    yield "genesis_again_fail", "A second genesis.", AGAIN, made.log[0].envelope
    yield (
        "release_by_a_member_fail",
        "A member releases.",
        SIGNATURE,
        made.sign("release", made.release_of().to_json(), "ann"),
    )
    uses = tuple(replace(use, number=use.number + 1) for use in made.release_of().uses)
    yield (
        "release_miscounted_fail",
        "A use is skipped.",
        RELEASE,
        made.sign("release", made.release_of(uses=uses).to_json(), "service"),
    )
    yield (
        "release_nonce_reused_fail",
        "The nonce served before.",
        RELEASE,
        made.sign("release", made.release_of(nonce=release.nonce).to_json(), "service"),
    )
    run: RunStatement = made.run_of(release)
    yield (
        "run_by_another_key_fail",
        "The service speaks for the shield.",
        SIGNATURE,
        made.sign("run", run.to_json(), "service"),
    )
    inputs = (*run.inputs[:1], ("lab/code", digest("other code")))
    yield (
        "run_other_inputs_fail",
        "Other code than was voted on.",
        RUN,
        made.sign("run", replace(run, inputs=inputs).to_json(), "shield"),
    )
    readers = (("clinic", b"sealed"), ("lab", b"sealed"))
    outputs = (replace(run.outputs[0], sealed_keys=readers),)
    yield (
        "run_other_readers_fail",
        "One reader too many.",
        RUN,
        made.sign("run", replace(run, outputs=outputs).to_json(), "shield"),
    )
    yield (
        "run_own_type_fail",
        "Not under in-toto's type.",
        FORMAT,
        replace(
            made.sign("run", run.to_json(), "shield"),
            payload_type="application/vnd.accord.run.v1+json",
        ),
    )
    takeover: Keyset = Person.of("clone").keyset(seed("tls"))
    start = {
        "schema": "accord.service-start.v1",
        "board": made.board,
        "boot_nonce": json.loads(made.log[1].envelope.payload)["boot_nonce"],
        "keyset": takeover.to_json(),
        "evidence": digest("evidence"),
    }
    yield (
        "start_by_another_key_fail",
        "A clone takes over.",
        SIGNATURE,
        made.sign("service-start", start, "clone"),
    )
    yield (
        "start_hands_over_fail",
        "The log key is handed over.",
        LOG_KEY,
        made.sign("service-start", start, "service"),
    )


def changes(made: World) -> Iterator[tuple[str, str, str, Envelope]]:
    """The same, of proposals that change the board, of stops and of tokens."""
    proposal = made.log[-1].envelope.statement_digest
    other = made.proposal_of(policy_json(name="third"), base=digest("another charter"))
    yield (
        "proposal_other_charter_fail",
        "Written against another charter.",
        STALE,
        made.sign("proposal", other.to_json(), "lab"),
    )
    removal = made.proposal_of(actions=(RemoveMember("ann"),))
    yield (
        "proposal_without_rule_fail",
        "The constitution has no rule for removing members.",
        RULES,
        made.sign("proposal", removal.to_json(), "lab"),
    )
    orphan = policy_json(name="nowhere/child", namespace=digest("no parent"))
    squat = made.proposal_of(actions=(EnactPolicy(Policy.from_json(orphan)),))
    yield (
        "proposal_in_no_namespace_fail",
        "There is no such namespace.",
        NAMESPACE,
        made.sign("proposal", squat.to_json(), "lab"),
    )
    resume = made.proposal_of(actions=(ResumeExecution(digest("nothing")),))
    yield (
        "proposal_resumes_nothing_fail",
        "Nobody has stopped anything.",
        STOP,
        made.sign("proposal", resume.to_json(), "lab"),
    )
    yield (
        "proposal_withdrawn_by_another_fail",
        "Ann takes back what lab proposed.",
        MEMBER,
        made.sign("proposal-withdrawal", ProposalWithdrawal(made.board, proposal).to_json(), "ann"),
    )
    stop = ExecutionStop(made.board, "ann", "board", "no reason", made.time)
    yield (
        "stop_by_another_member_fail",
        "Bob stops everything in the name of ann.",
        MEMBER,
        made.sign("execution-stop", stop.to_json(), "bob"),
    )
    token = InstanceToken(made.board, "clinic", "train", "train", seed("token"), made.time)
    yield (
        "token_by_a_reader_fail",
        "Neither an owner nor an operator.",
        TOKEN,
        made.sign("instance-token", token.to_json(), "clinic"),
    )


def withdrawn() -> tuple[World, Envelope]:
    """A release after ann took her consent back."""
    made = world()
    release = deepcopy(made.release_of())
    made.withdraw("ann/records")
    return made, made.sign("release", release.to_json(), "service")


def files() -> dict[str, bytes]:
    """Every published file, by its path below this folder."""
    made = world()
    found = {
        "log.json": _log(made.log),
        "README.md": b"""\
# Statement vectors

`log.json` is a log that is in order: its entries, of which the canonical form (RFC 8785) is what
is hashed. Each folder ending in `_fail` holds one `entry.json` that must not follow it (or the
`log.json` beside it, where there is one), and `expected.json` with the code of the refusal. `valid`
holds an entry that may follow.
""",
    }
    good = made.run_of(next(iter(made.machine.runs.values())).release)
    cases: list[tuple[str, str, dict[str, str], Envelope]]
    cases = [("valid", "The shield ends its run.", {}, made.sign("run", good.to_json(), "shield"))]
    cases += [(name, why, {"error": code}, bad) for name, why, code, bad in flaws(made)]
    cases += [(name, why, {"error": code}, bad) for name, why, code, bad in changes(made)]
    for name, reason, expected, envelope in cases:
        found |= _case(name, reason, expected, Entry(len(made.log), made.time, envelope))
    after, envelope = withdrawn()
    name = "release_after_withdrawal_fail"
    found |= _case(
        name,
        "Ann has taken her consent back.",
        {"error": WITHDRAWN},
        Entry(len(after.log), after.time, envelope),
    )
    found[f"{name}/log.json"] = _log(after.log)
    return found


def _log(log: list[Entry]) -> bytes:
    return _json([json.loads(entry.to_bytes()) for entry in log])


def _case(name: str, reason: str, expected: object, entry: Entry) -> dict[str, bytes]:
    return {
        f"{name}/README.md": f"# {name}\n\n{reason}\n".encode(),
        f"{name}/entry.json": entry.to_bytes(),
        f"{name}/expected.json": _json(expected),
    }


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()


if __name__ == "__main__":
    for path, data in files().items():
        (HERE / path).parent.mkdir(exist_ok=True)
        (HERE / path).write_bytes(data)
