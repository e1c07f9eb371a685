# SPDX-License-Identifier: Apache-2.0
"""Governance from the command line: members, rules, stops, tokens, signatures made elsewhere."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from tests.cli.conftest import Command
from tests.support.board import constitution_json
from tests.support.live import (
    ACCORD,
    Board,
    Finished,
    Hardware,
    ServiceProcess,
    make_genesis,
    reference,
)

from accord.board import Action
from accord.client import MemberHome, TrustSession
from accord.encoding import Envelope, canonical_json
from accord.evidence import Role
from accord.identity import FileIdentity

MAJORITY = {"at_least": {"n": 2, "of": "role:code-owner"}}
RULES = constitution_json(
    {action.value: MAJORITY for action in Action}
    | {"policy.enact": {"approve": MAJORITY, "veto": ["member:ann"]}}
)
NAMES = ("ann", "bob", "cid")


@pytest.fixture
def governed(hardware: Hardware, shared_service: ServiceProcess, tmp_path: Path) -> Board:
    """A board of ann, bob and cid, whose code owners bob and cid can do everything."""
    root = tmp_path / "governed"
    genesis, envelope = make_genesis(root, hardware, names=NAMES, constitution=RULES)
    with TrustSession.attest(shared_service.url, genesis) as session:
        session.found(envelope)
    for name in NAMES:
        MemberHome.join(root / name, genesis, shared_service.url)
    return Board(root, hardware, shared_service.url, genesis, NAMES, envelope)


def ok(done: Finished) -> Any:
    assert done.exit_code == 0, done.stderr
    return done.document


def vote(command: Command, board: Board, proposal: str, *names: str) -> Any:
    said: Any = None
    for name in names:
        arguments = ("--approve", "--digest", proposal, "--home", board.home(name), "--json")
        said = ok(command("proposal", "vote", proposal, *arguments))
    return said


def test_member_is_added_changed_and_removed(
    governed: Board, command: Command, tmp_path: Path
) -> None:
    """Each by a proposal that says what would change; `member list` shows the result."""
    FileIdentity.create(tmp_path / "dee", "dee")
    home = ("--home", governed.home("bob"), "--json")
    identity = tmp_path / "dee" / "identity.json"
    added = ok(command("member", "add", identity, "--role", "data-owner", *home))
    assert added["charter"][0].startswith("dee becomes a member, data-owner")
    assert added["missing"] == ["bob", "cid"]
    assert vote(command, governed, added["proposal"], "bob", "cid")["status"] == "enacted"
    listed = ok(command("member", "list", *home))
    assert [item["identity"]["name"] for item in listed["members"]] == [*NAMES, "dee"]
    approval = ("--approval-url", "https://127.0.0.1:1/approve", "--approval-spki", "ab" * 32)
    changed = ok(command("member", "update", "dee", "--weight", "5", *approval, *home))
    assert "dee: weight 1 becomes 5" in changed["charter"]
    text = command("proposal", "show", changed["proposal"], "--home", governed.home("ann"))
    assert "action    member.update dee (data-owner; weight 5" in text.stdout
    vote(command, governed, changed["proposal"], "bob", "cid")
    removed = ok(command("member", "remove", "dee", *home))
    vote(command, governed, removed["proposal"], "bob", "cid")
    text = command("member", "list", "--home", governed.home("ann"))
    listed_names = [line.split()[0] for line in text.stdout.splitlines() if line.strip()]
    assert listed_names == ["member", *NAMES]
    assert command("member", "remove", "dee", *home).exit_code == 4
    half = command("member", "update", "ann", "--approval-url", "https://x", *home)
    assert half.exit_code == 2


def test_constitution_is_shown_checked_and_amended(
    governed: Board, command: Command, tmp_path: Path
) -> None:
    """What is unusual about it is said before it is proposed, and after."""
    home = ("--home", governed.home("bob"))
    path = tmp_path / "constitution.yaml"
    path.write_text(json.dumps(RULES | {"member.add": "member:ann"}))
    members = [f"--member={governed.home(name)}/identity.json=code-owner" for name in NAMES]
    checked = command("board", "check", path, *members)
    assert checked.exit_code == 0
    assert "member.add: one approval suffices: of ann" in checked.stderr
    assert "rule       member.add needs" in checked.stdout
    alone = command("board", "check", path)
    assert "without --member" in alone.stderr
    impossible = tmp_path / "impossible.yaml"
    impossible.write_text("policy.enact: role:pilot\n")
    assert command("board", "check", impossible, *members).exit_code == 2
    proposed = ok(command("board", "amend", path, *home, "--json"))
    assert proposed["actions"][0].startswith("constitution.replace by sha256:")
    vote(command, governed, proposed["proposal"], "bob", "cid")
    shown = command("board", "constitution", *home)
    assert "member ann" in shown.stdout
    assert "one approval suffices: of ann" in shown.stderr


def test_several_files_are_one_proposal(governed: Board, command: Command, tmp_path: Path) -> None:
    """It is confirmed by its own id; its rules are shown one by one; its author takes it back."""
    tag = governed.offer("ann", "data")
    policy, leave = tmp_path / "policy.yaml", tmp_path / "leave.yaml"
    policy.write_bytes(canonical_json(governed.policy({"ann/data": tag}).to_json()))
    leave.write_text("action: member.remove\nmember: cid\n")
    home = ("--home", governed.home("bob"), "--json")
    foreseen = ok(command("proposal", "simulate", policy, *home))
    assert foreseen["deciders"] == [["bob", "cid"]]
    assert foreseen["vetoers"] == ["ann"]
    assert "lock" not in command("proposal", "simulate", leave, *home).stdout
    refused = command("proposal", "create", policy, leave, "--title", "both", *home)
    assert (refused.exit_code, refused.document["code"]) == (2, "accord-BRD-002")
    action = tmp_path / "update.json"
    member = governed.genesis.members["ann"].to_json()
    action.write_text(json.dumps({"action": "member.update", "member": {**member, "weight": 2}}))
    made = ok(command("proposal", "create", policy, action, "--title", "both", *home))
    again = command("proposal", "create", policy, action, "--title", "both", *home)
    assert again.document["proposal"] == made["proposal"]
    assert "proposed before" in again.stderr
    digest = made["policies"]["job"]
    wrong = command("proposal", "vote", made["proposal"], "--approve", "--digest", digest, *home)
    assert wrong.document["code"] == "accord-CLI-002"
    ok(
        command(
            "proposal", "vote", made["proposal"], "--abstain", "--digest", made["proposal"], *home
        )
    )
    missing = ok(command("proposal", "missing", made["proposal"], *home))
    # Another weight is another constitution: the rule that guards it must be satisfied, too.
    named = ["policy.enact", "member.update", "member.update"]
    assert [item["action"] for item in missing["rules"]] == named
    text = command("proposal", "simulate", made["proposal"], "--home", governed.home("ann"))
    assert "charter   ann: weight 1 becomes 2" in text.stdout
    withdrawn = ok(command("proposal", "withdraw", made["proposal"], *home))
    assert withdrawn["status"] == "withdrawn"
    nothing = command("proposal", "simulate", "no-such-file", *home)
    assert nothing.document["code"] == "accord-BRD-006"
    assert command("proposal", "vote", made["proposal"], *home).exit_code == 2
    assert command("proposal", "create", policy, *home).exit_code == 2


def test_executions_are_stopped_and_resumed(governed: Board, command: Command) -> None:
    """At once by anybody; on again by whom the constitution names. Others see it."""
    home = ("--home", governed.home("ann"), "--json")
    bad = command("execution", "stop", "--scope", "everything", "--reason", "x", *home)
    assert bad.exit_code == 2
    unknown = command("execution", "stop", "--scope", "policy:nope", "--reason", "x", *home)
    assert (unknown.exit_code, "no policy nope is in force" in unknown.stderr) == (2, True)
    scope = ("--scope", "policy:job", "--anyway")
    stopped = ok(command("execution", "stop", *scope, "--reason", "leak?", *home))
    seen = ok(command("execution", "status", "--home", governed.home("bob"), "--json"))
    assert seen["stopped"] is True
    assert [item["reason"] for item in seen["stops"]] == ["leak?"]
    resumed = ok(
        command(
            "execution", "resume", stopped["stop"][:15], "--home", governed.home("bob"), "--json"
        )
    )
    assert resumed["approved"] == ["bob"]
    assert resumed["missing"] == ["cid"]
    vote(command, governed, resumed["proposal"], "cid")
    text = command("execution", "status", "--home", governed.home("cid"))
    assert "resumed" in text.stdout
    gone = command("execution", "resume", stopped["stop"], *home)
    assert gone.document["code"] == "accord-BRD-013"


def test_token_is_issued_into_a_private_file(
    governed: Board, command: Command, tmp_path: Path
) -> None:
    """As the shield reads it; it appears nowhere else."""
    tag = governed.offer("ann", "data")
    policy = tmp_path / "policy.yaml"
    policy.write_bytes(canonical_json(governed.policy({"ann/data": tag}).to_json()))
    home = ("--home", governed.home("bob"), "--json")
    made = ok(command("proposal", "create", policy, "--title", "job", *home))
    vote(command, governed, made["proposal"], "bob", "cid")
    target = tmp_path / "token"
    issue = ("execution", "token", "job", "train", "-o", target)
    issued = command(*issue, "--home", governed.home("ann"), "--json")
    assert issued.exit_code == 0
    token = target.read_text().strip()
    assert len(bytes.fromhex(token)) == 32
    assert target.stat().st_mode & 0o777 == 0o600
    assert token not in issued.stdout + issued.stderr
    refused = command(*issue, *home)
    assert refused.document["code"] == "accord-BRD-016"


def test_automated_member_votes_with_evidence(governed: Board, command: Command) -> None:
    """From where the charter says; its key alone, or another environment, casts no vote."""
    path = governed.root / "checker.json"
    path.write_text(json.dumps(reference(governed.hardware, Role.MEMBER)))
    home = ("--home", governed.home("bob"), "--json")
    changed = ok(command("member", "update", "bob", "--attestation", path, *home))
    vote(command, governed, changed["proposal"], "bob", "cid")
    made = ok(command("member", "update", "ann", "--weight", "2", *home))
    approve = ("vote", made["proposal"], "--approve", "--digest", made["proposal"], *home)
    assert command("proposal", *approve).document["code"] == "accord-BRD-014"
    done = command("proposal", *approve, "--simulated", governed.hardware.compute_host)
    assert ok(done)["approved"] == ["bob"]
    assert "SIMULATED" in done.stderr


# --- signed elsewhere ------------------------------------------------------------------------


def openssl(*arguments: object) -> None:
    tool = shutil.which("openssl")
    assert tool is not None
    subprocess.run([tool, *map(str, arguments)], check=True, capture_output=True, timeout=20)


def external_member(tmp_path: Path, command: Command) -> Path:
    """A member whose keys only openssl ever had."""
    folder = tmp_path / "eve"
    folder.mkdir()
    for algorithm in ("ed25519", "x25519"):
        key, public = folder / f"{algorithm}.pem", folder / f"{algorithm}.pub"
        openssl("genpkey", "-algorithm", algorithm, "-out", key)
        openssl("pkey", "-in", key, "-pubout", "-out", public)
    arguments = ("--verify-key", folder / "ed25519.pub", "--seal-key", folder / "x25519.pub")
    ok(command("member", "import", "eve", *arguments, "--home", folder, "--json"))
    again = command("member", "import", "eve", *arguments, "--home", folder)
    assert again.exit_code == 0
    other = command("member", "import", "bob", *arguments, "--home", folder)
    assert other.exit_code != 0
    return folder


def sign_with_openssl(folder: Path, file: Path) -> Path:
    """What a hardware key would do: the bytes of the file, signed."""
    target = file.with_suffix(".sig")
    key = folder / "ed25519.pem"
    openssl("pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", file, "-out", target)
    return target


def test_member_with_an_external_key_founds_and_votes(
    hardware: Hardware, shared_service: ServiceProcess, command: Command, tmp_path: Path
) -> None:
    """openssl signs the genesis and a ballot; no private key was ever on this machine's disk."""
    eve = external_member(tmp_path, command)
    measured = command(
        "attest", "reference", "--role", "service", "--simulated", hardware.trust_host, "--json"
    )
    (tmp_path / "service.json").write_text(measured.stdout)
    (tmp_path / "rules.yaml").write_text('{"policy.enact": "member:eve"}')
    FileIdentity.create(tmp_path / "bob", "bob")
    genesis, tbs = tmp_path / "genesis.json", tmp_path / "genesis.tbs"
    ok(
        command(
            "board",
            "new",
            "external",
            f"--member={eve}/identity.json=owner",
            f"--member={tmp_path}/bob/identity.json=owner,operator",
            "--constitution",
            tmp_path / "rules.yaml",
            "--trust",
            tmp_path / "service.json",
            "--out",
            genesis,
            "--json",
        )
    )
    prepared = ok(command("board", "prepare", genesis, "-o", tbs, "--json"))
    signature = sign_with_openssl(eve, tbs)
    attach = ("board", "attach", tbs, "--signature", signature, "--out", tmp_path / "eve.signed")
    refused = command(*attach, "--identity", tmp_path / "bob" / "identity.json")
    assert "accord-ID-003" in refused.stderr
    ok(command(*attach, "--identity", eve / "identity.json", "--json"))
    sign = (
        "--digest",
        prepared["digest"],
        "--home",
        tmp_path / "bob",
        "--service",
        shared_service.url,
        "--out",
        tmp_path / "bob.signed",
    )
    assert command("board", "sign", genesis, *sign).exit_code == 0
    signed = (tmp_path / "eve.signed", tmp_path / "bob.signed")
    found = command("board", "found", *signed, "--service", shared_service.url)
    assert found.exit_code == 0, found.stderr
    _vote_with_openssl(hardware, command, tmp_path, eve)


def _vote_with_openssl(hardware: Hardware, command: Command, tmp_path: Path, eve: Path) -> None:
    home = ("--home", tmp_path / "bob")
    member = MemberHome.load(tmp_path / "bob")
    board = Board(
        tmp_path, hardware, member.service, member.genesis, ("bob",), Envelope("", b"", ())
    )
    tag = board.offer("bob", "data")
    policy = tmp_path / "policy.yaml"
    policy.write_bytes(canonical_json(board.policy({"bob/data": tag}).to_json()))
    made = ok(command("proposal", "create", policy, "--title", "job", *home, "--json"))
    ballot = tmp_path / "ballot.tbs"
    prepare = ("proposal", "prepare", made["proposal"], "--approve", "-o", ballot, *home)
    assert command(*prepare, "--as", "zoe").exit_code == 4
    ok(command(*prepare, "--as", "eve", "--json"))
    beside = json.loads((tmp_path / "ballot.tbs.json").read_text())
    assert beside["signer"] == "eve"
    assert beside["statement"]["proposal"] == made["proposal"]
    assert beside["policies"] == made["policies"]
    assert any("reads bob/data" in change["sentence"] for change in beside["changes"])
    forged = tmp_path / "forged.sig"
    asked = command("member", "sign", ballot, "-o", forged, *home)
    assert "it is for eve to sign, not for bob" in asked.stderr
    forged.write_bytes(member.identity.signer.sign(ballot.read_bytes()))
    finish = ("proposal", "finish", ballot, *home)
    refused = command(*finish, "--signature", forged)
    assert "accord-ID-003" in refused.stderr
    done = ok(command(*finish, "--signature", sign_with_openssl(eve, ballot), "--json"))
    assert done["kind"] == "ballot"
    shown = ok(command("proposal", "show", made["proposal"], *home, "--json"))
    assert (shown["status"], shown["approved"]) == ("enacted", ["eve"])


def test_proposals_and_stops_can_be_signed_on_another_machine(
    governed: Board, command: Command, tmp_path: Path
) -> None:
    """The same file goes there and its signature comes back; in base64, too."""
    home = ("--home", governed.home("ann"))
    tbs, signature = tmp_path / "x.tbs", tmp_path / "x.sig"
    out = ("--offline-out", tbs, *home)
    named = ok(command("execution", "stop", "--reason", "leak", *out, "--json"))["digest"]
    unread = command("member", "sign", tbs, "-o", signature, *home)
    assert (unread.exit_code, signature.exists()) == (1, False)
    signed = command("member", "sign", tbs, "-o", signature, "--digest", named, *home)
    assert "execution-stop" in signed.stdout
    assert "reason    leak" in signed.stderr
    done = ok(
        command(
            "proposal",
            "finish",
            tbs,
            "--signature",
            signature,
            "--home",
            governed.home("bob"),
            "--json",
        )
    )
    assert done["kind"] == "execution-stop"
    made = command("member", "remove", "ann", *out, "--json")
    assert made.document["kind"] == "proposal"
    named = made.document["digest"]
    ok(command("member", "sign", tbs, "-o", signature, "--digest", named, *home, "--json"))
    import base64

    signature.write_text(base64.b64encode(signature.read_bytes()).decode() + "\n")
    done = ok(command("proposal", "finish", tbs, "--signature", signature, *home, "--json"))
    shown = ok(command("proposal", "show", done["digest"], *home, "--json"))
    assert shown["author"] == "ann"
    tbs.write_bytes(tbs.read_bytes() + b" ")
    bad = command("proposal", "finish", tbs, "--signature", signature, *home)
    assert "accord-BRD-020" in bad.stderr
    tbs.write_bytes(tbs.read_bytes()[:-1])
    signature.write_bytes(b"\xff" * 65)
    bad = command("proposal", "finish", tbs, "--signature", signature, *home)
    assert "accord-ENC-001" in bad.stderr
    stranger = command("proposal", "finish", tbs, "--signature", signature, "--as", "zoe", *home)
    assert stranger.exit_code == 4


# --- everything is shown ---------------------------------------------------------------------


def test_whole_charter_is_shown_before_it_is_signed(
    governed: Board, command: Command, tmp_path: Path
) -> None:
    """Weights, vetoes, notice, approval services, environments: nothing hides."""
    document = governed.genesis.to_json()
    assert isinstance(document, dict)
    service = governed.genesis.service[0].to_json()
    approval = {"url": "https://127.0.0.1:8444/approve", "tls_spki_sha256": "ab" * 32}
    members = [
        {**member.to_json(), "weight": 3, "approval": {**approval, "timeout_s": 9}}
        for member in governed.genesis.members.values()
    ]
    members[0]["attestation"] = [service]
    rules = {
        "policy.enact": {
            "approve": {
                "all": ["affected_owners", {"weighted": {"min": 4, "of": "role:code-owner"}}]
            },
            "veto": ["lineage_owners", "member:ann"],
            "notice_s": 60,
            "voting_s": 600,
        },
        "execution.resume": {"at_least": {"n": 1, "of": "stoppers"}},
    }
    path = tmp_path / "rich.json"
    constitution = constitution_json(rules)
    path.write_bytes(canonical_json({**document, "members": members, "constitution": constitution}))
    shown = command("board", "check", path)
    assert shown.exit_code == 0, shown.stderr
    absent = "member.add, member.remove, member.update, constitution.replace, service.replace"
    for line in (
        "  all of",
        "    every owner of an asset that is used",
        "    together at least weight 4 of: everyone with role code-owner",
        "  at least 1 of: every member who stopped what goes on again",
        "  veto     every owner of what any asset that is used was computed from",
        "  veto     member ann",
        "  notice   60 s after the last approval",
        "  voting   at most 600 s",
        "  weight   3",
        "  asked at https://127.0.0.1:8444/approve (9 s)",
        f"    TLS key {'ab' * 32}",
        "  votes from SIMULATED tdx",
        f"unusual    constitution: without a rule, this can never be done: {absent}",
    ):
        assert line in shown.stdout.splitlines(), line


def test_proposal_in_its_notice_says_when_it_takes_effect(
    hardware: Hardware, shared_service: ServiceProcess, command: Command, tmp_path: Path
) -> None:
    """And within which time one must vote, where the constitution limits it."""
    rule = {"approve": "member:ann", "notice_s": 3600, "voting_s": 7200}
    root = tmp_path / "slow"
    rules = constitution_json({"policy.enact": "member:ann", "service.replace": rule})
    genesis, envelope = make_genesis(root, hardware, names=("ann",), constitution=rules)
    with TrustSession.attest(shared_service.url, genesis) as session:
        session.found(envelope)
    MemberHome.join(root / "ann", genesis, shared_service.url)
    home = ("--home", root / "ann", "--json")
    action = tmp_path / "service.json"
    variants = [item.to_json() for item in genesis.service]
    action.write_text(json.dumps({"action": "service.replace", "service": [*variants, *variants]}))
    late = command("proposal", "create", action, "--title", "late", "--days", "1", *home)
    assert late.document["code"] == "accord-BRD-018"
    made = ok(command("proposal", "create", action, "--title", "soon", *home))
    assert made["actions"] == ["service.replace by 2 accepted environments"]
    approve = ("--approve", "--digest", made["proposal"], *home)
    voted = ok(command("proposal", "vote", made["proposal"], *approve))
    assert voted["status"] == "notice"
    text = command("proposal", "show", made["proposal"], "--home", root / "ann")
    assert f"effect    {voted['takes_effect']}, unless it is vetoed" in text.stdout
    assert "other trust services are accepted" in text.stdout
    again = ok(command("proposal", "vote", made["proposal"], *approve))
    assert again["status"] == "notice"


def test_vote_that_was_counted_needs_no_second(governed: Board, command: Command) -> None:
    """Asked again after the enactment, the command says so; an environment is changed, too."""
    home = ("--home", governed.home("bob"), "--json")
    trust = governed.root / "trust.json"
    service = governed.genesis.service[0].to_json()
    trust.write_text(json.dumps({"attestation": [service]}))
    changed = ok(command("member", "update", "ann", "--attestation", trust, *home))
    assert "ann: other environments may cast its ballots" in changed["charter"]
    vote(command, governed, changed["proposal"], "bob", "cid")
    approve = ("--approve", "--digest", changed["proposal"], *home)
    again = command("proposal", "vote", changed["proposal"], *approve)
    assert again.exit_code == 0
    assert "counted before" in again.stderr
    assert again.document["charter"] == []
    prepared = command("proposal", "list", "--home", governed.home("cid"))
    assert "enacted" in prepared.stdout
    other = ok(
        command(
            "member",
            "update",
            "ann",
            "--identity",
            governed.home("ann") / "identity.json",
            "--weight",
            "2",
            *home,
        )
    )
    assert "ann: weight 1 becomes 2" in other["charter"]
    wrong = command(
        "member", "update", "ann", "--identity", governed.home("bob") / "identity.json", *home
    )
    assert wrong.document["code"] == "accord-ENC-001"


def test_approval_service_runs_as_a_process(governed: Board, tmp_path: Path) -> None:
    """It prints what the charter must name, keeps its key, and ends when it is told to."""
    program = tmp_path / "check.sh"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o700)
    seen = []
    for _ in range(2):
        url_file = tmp_path / "url"
        url_file.unlink(missing_ok=True)
        arguments = [
            "member",
            "approve-serve",
            "--listen",
            "127.0.0.1:0",
            "--check",
            str(program),
            "--home",
            str(governed.home("cid")),
            "--url-file",
            str(url_file),
            "--json",
            "--simulated",
            str(governed.hardware.compute_host),
        ]
        process = subprocess.Popen(
            [*ACCORD, *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            deadline = time.monotonic() + 60
            while not url_file.exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            assert url_file.read_text().startswith("https://127.0.0.1:")
        finally:
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate(timeout=60)
        seen.append(json.loads(said)["tls_spki_sha256"])
    assert seen[0] == seen[1]


def test_approval_service_needs_an_address(governed: Board, command: Command) -> None:
    """HOST:PORT, and one that is free to be had."""
    arguments = ("member", "approve-serve", "--check", "true", "--home", governed.home("cid"))
    assert command(*arguments, "--listen", "nowhere").exit_code == 2
    assert command(*arguments, "--listen", "192.0.2.1:1").exit_code == 2
