# SPDX-License-Identifier: Apache-2.0
"""`accord witness`: made, told of logs, served, looked at."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.cli.conftest import Command
from tests.support.live import Board, Hardware, ServiceProcess, make_genesis
from tests.support.witnessing import SomeLog, WitnessProcess, ask, signer_of

from accord.board import Witness as ListedWitness
from accord.board import WitnessPolicy
from accord.client import MemberHome, TrustSession
from accord.errors import ExitCode, ReplayRefusedError
from accord.identity import FileIdentity
from accord.ledger import AddCheckpoint, Ledger, parse_cosigner_vkey, vkey
from accord.release import log_origin
from accord.witness import Head, WatchedLog, WitnessKey, WitnessStore
from accord.witness.replay import Replay, ServiceSource

pytestmark = pytest.mark.e2e


@pytest.fixture
def log() -> SomeLog:
    """Anybody's log of ten entries."""
    return SomeLog().grow(10)


@pytest.fixture
def home(command: Command, tmp_path: Path, log: SomeLog) -> Path:
    """A witness of that log."""
    home = tmp_path / "witness"
    assert command("witness", "init", home, "--name", "north").exit_code == 0
    key = vkey(log.name, log.signer.verify_key)
    added = command("witness", "add", home, "--vkey", key, "--origin", log.origin)
    assert added.exit_code == 0
    return home


@pytest.fixture
def process(home: Path) -> Iterator[WitnessProcess]:
    """That witness, to be started; killed at the end."""
    process = WitnessProcess(home, ("--verbose",))
    yield process
    process.kill()


def test_init_prints_what_founders_and_tools_need(command: Command, tmp_path: Path) -> None:
    """The verifier key of cosignatures, and the option for `accord board new`."""
    arguments = ("witness", "init", tmp_path / "w", "--name", "north")
    place = ("--url", "http://north.example:8460", "--group", "clinic")
    first = command(*arguments, *place, "--json").document
    public = json.loads((tmp_path / "w" / "witness.json").read_text())
    assert parse_cosigner_vkey(first["vkey"])[0] == "north"
    assert {"name", "key"} == set(public)
    assert (
        f"--witness {tmp_path}/w/witness.json=http://north.example:8460@clinic" == (first["option"])
    )
    again = command(*arguments)
    assert (again.exit_code, first["vkey"] in again.stdout) == (0, True)
    other = command("witness", "init", tmp_path / "w", "--name", "south")
    assert (other.exit_code, "accord-WIT-011" in other.stderr) == (ExitCode.USAGE, True)


def test_a_witness_serves_until_it_is_told_to_end(
    command: Command, home: Path, process: WitnessProcess, log: SomeLog
) -> None:
    """It cosigns over HTTP, `status` shows it meanwhile, and a signal ends it in order."""
    process.start()
    assert ask(process.url, "POST", "/add-checkpoint", log.request(0, 7)).status == 200
    assert ask(process.url, "POST", "/add-checkpoint", log.request(0, 7)).status == 409
    status = command("witness", "status", home)
    assert f"{log.origin}  7" in status.stdout
    assert process.end(signal.SIGTERM) == 0
    said = (home / "log").read_text()
    assert f"north listening at {process.url}" in said
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert [line["message"] for line in lines] == ["cosigned", "refused"]


def test_status_shows_a_log_with_two_histories(
    command: Command, home: Path, process: WitnessProcess, log: SomeLog
) -> None:
    """Both signed checkpoints are there for everybody to see."""
    process.start()
    ask(process.url, "POST", "/add-checkpoint", log.request(0))
    other = SomeLog(branch="other ").grow(10)
    assert ask(process.url, "POST", "/add-checkpoint", other.request(10)).status == 409
    status = command("witness", "status", home, "--json")
    (shown,) = status.document["logs"]
    assert other.note().decode() == shown["contradiction"]
    assert shown["checkpoint"].startswith(log.note().decode())
    assert "has two histories" in status.stderr
    assert _table(command, home)[0].endswith("FORKED")


def test_before_the_first_cosignature_status_says_never(command: Command, home: Path) -> None:
    """A log that was added and did not ask yet."""
    status = command("witness", "status", home)
    assert "never" in status.stdout
    (shown,) = command("witness", "status", home, "--json").document["logs"]
    assert (shown["cosigned"], shown["checkpoint"], shown["size"]) == (None, None, 0)


def test_wrong_use_is_refused(command: Command, home: Path, tmp_path: Path) -> None:
    """No witness, no log, half a log, an address that is none, another key."""
    nowhere = command("witness", "status", tmp_path / "nowhere")
    nothing = command("witness", "add", home)
    half = command("witness", "add", home, "--service", "https://a")
    address = command("witness", "serve", home, "--listen", "port")
    origin = command(
        *("witness", "add", home, "--origin", ""),
        *("--vkey", vkey("log.example", signer_of("x").verify_key)),
    )
    taken = command(
        *("witness", "add", home, "--origin", "log.example/numbers"),
        *("--vkey", vkey("log.example", signer_of("x").verify_key)),
    )
    assert "accord-WIT-010" in nowhere.stderr
    assert "accord-WIT-012" in taken.stderr
    assert [item.exit_code for item in (nowhere, nothing, half, address, origin, taken)] == [
        2,
        2,
        2,
        2,
        2,
        4,
    ]


def test_the_address_must_be_free(command: Command, home: Path, process: WitnessProcess) -> None:
    """Another process on the port is an error with a code, not a traceback."""
    process.start()
    busy = command("witness", "serve", home, "--listen", process.url.removeprefix("http://"))
    assert (busy.exit_code, "accord-CLI-001" in busy.stderr) == (ExitCode.USAGE, True)


def test_a_boards_log_is_learned_from_its_attested_service(
    command: Command, home: Path, board: Board
) -> None:
    """Nobody types the key: the service proves that it is its own."""
    digest = board.genesis.digest
    added = command("witness", "add", home, "--service", board.url, "--board", digest, "--json")
    assert "attested" in added.stderr
    assert (log_origin(digest), digest, board.url) == tuple(
        added.document[name] for name in ("origin", "board", "service")
    )
    with board.member("ann").connect() as session:
        assert added.document["key"] == session.keyset.verify_key.key_id


def test_a_known_board_gets_another_address_and_nothing_else(
    command: Command, home: Path, board: Board
) -> None:
    """Its key is followed from the log, or named: the command says so."""
    digest = board.genesis.digest
    origin, key = log_origin(digest), signer_of("machine that was lost").verify_key
    store = WitnessStore(home)
    before = store.add(WatchedLog(origin, origin, key, digest, "https://lost.example"))
    place = ("--service", board.url, "--board", digest)
    added = command("witness", "add", home, *place, "--json")
    assert (added.document["service"], added.document["key"]) == (board.url, key.key_id)
    assert "accord witness rekey" in added.stderr
    assert replace(before, service=board.url) == store.log(origin)
    store.close()


def test_an_owner_names_the_key_with_which_a_log_goes_on(
    command: Command, home: Path, process: WitnessProcess, log: SomeLog
) -> None:
    """While it serves; size and root stay, and the key before stays on the record."""
    process.start()
    assert ask(process.url, "POST", "/add-checkpoint", log.request(0, 7)).status == 200
    new = signer_of("new key")
    note = log.note(signer=new)
    body = AddCheckpoint(7, log.tree.consistency_proof(7), note).to_bytes()
    assert ask(process.url, "POST", "/add-checkpoint", body).status == 403
    options = ("--origin", log.origin, "--vkey", vkey(log.name, new.verify_key))
    named = command("witness", "rekey", home, *options, "--json")
    assert (named.document["size"], named.document["key"]) == (7, new.verify_key.key_id)
    assert ask(process.url, "POST", "/add-checkpoint", body).status == 200
    [shown] = command("witness", "status", home, "--json").document["logs"]
    [former] = shown["former_keys"]
    old = vkey(log.name, log.signer.verify_key)
    assert (former["vkey"], former["size"], former["by_hand"]) == (old, 7, True)
    words = command("witness", "status", home).stdout
    assert f"{log.signer.verify_key.key_id} up to 7: you named the next one" in words


def test_a_key_is_named_for_a_log_that_goes_on(command: Command, home: Path, log: SomeLog) -> None:
    """Neither for one that is unknown, nor for one that was retired, nor with half a key."""
    key = vkey(log.name, signer_of("new key").verify_key)
    options = ("--origin", f"{log.origin}/g1", "--vkey", vkey(log.name, log.signer.verify_key))
    unknown = command("witness", "rekey", home, "--origin", "x", "--vkey", key)
    half = command("witness", "rekey", home, "--origin", log.origin, "--vkey", "x+1+AA==")
    assert command("witness", "add", home, *options[2:], *options[:2]).exit_code == 0
    retired = command("witness", "rekey", home, "--origin", log.origin, "--vkey", key)
    assert "accord-WIT-002" in unknown.stderr
    assert "accord-ENC" in half.stderr
    assert "accord-WIT-013" in retired.stderr
    states = {line.split()[0]: line.split()[-1] for line in _table(command, home)}
    assert states == {log.origin: "RETIRED", f"{log.origin}/g1": "watched"}


def _table(command: Command, home: Path) -> list[str]:
    lines: list[str] = command("witness", "status", home).stdout.splitlines()
    return lines[lines.index(next(line for line in lines if line.startswith("LOG"))) + 1 :]


def test_a_board_that_does_not_know_the_witness_is_not_cosigned(
    command: Command, home: Path, process: WitnessProcess, board: Board
) -> None:
    """With --replay what cannot be read is not cosigned; without, its growth is enough."""
    digest = board.genesis.digest
    command("witness", "add", home, "--service", board.url, "--board", digest)
    member = board.member("ann")
    with member.connect() as session:
        _, _, note = session.read_log(member.identity.signer)
    body = AddCheckpoint(0, (), note).to_bytes()
    process.options = ("--replay",)
    refused = ask(process.start().url, "POST", "/add-checkpoint", body)
    assert (refused.status, refused.body[:14]) == (503, b"accord-WIT-008")
    process.end()
    process.options = ()
    assert ask(process.start().url, "POST", "/add-checkpoint", body).status == 200


def test_a_real_boards_log_replays(board: Board) -> None:
    """Entry by entry, only the new ones, with whatever key may read the log."""
    board.enact({"ann/data": board.offer("ann", "data")})
    reader: FileIdentity = board.member("ann").identity
    with board.member("ann").connect() as session:
        ledger, _, note = session.read_log(reader.signer)
        key = session.keyset.verify_key
    origin = log_origin(board.genesis.digest)
    log = WatchedLog(origin, origin, key, board.genesis.digest)
    watched = WatchedLog(log.origin, log.name, log.key, log.board, board.url)
    replay = Replay(lambda log: ServiceSource(log, reader.signer))
    head = Head.claimed(note)
    assert key == replay.examine(watched, Head(head.origin, 2, ledger.root(2)))
    assert key == replay.examine(watched, head)
    with pytest.raises(ReplayRefusedError):
        replay.examine(watched, Head(head.origin, head.size, bytes(32)))
    assert isinstance(ledger, Ledger)
    replay.close()


def test_the_key_of_a_witness_must_be_private(command: Command, home: Path) -> None:
    """A key that others can read is not used."""
    (home / "witness.secret.json").chmod(0o644)
    assert "accord-ID-002" in command("witness", "status", home).stderr
    assert (home / "witness.json").stat().st_mode & 0o777 == 0o644
    (home / "witness.secret.json").chmod(0o600)
    assert WitnessKey.load(home).name == "north"


def test_a_board_lives_on_its_replaying_witness(
    command: Command,
    hardware: Hardware,
    shared_service: ServiceProcess,
    process: WitnessProcess,
    tmp_path: Path,
) -> None:
    """The board names the witness, the witness reads the board; then what is asked for leaves."""
    process.options = ("--replay", "--verbose")
    home = process.start().home
    key = WitnessKey.load(home)
    listed = ListedWitness("north", "north", key.signer.verify_key, process.url)
    policy = WitnessPolicy((listed,), 1, 0)
    genesis, envelope = make_genesis(tmp_path / "b", hardware, witnesses=policy)
    url, digest = shared_service.url, genesis.digest
    with TrustSession.attest(url, genesis) as session:
        session.found(envelope)
    for name in ("ann", "bob"):
        MemberHome.join(tmp_path / "b" / name, genesis, url)
    added = command("witness", "add", home, "--service", url, "--board", digest)
    assert added.exit_code == 0
    board = Board(tmp_path / "b", hardware, url, genesis, ("ann", "bob"), envelope)
    board.enact({"ann/data": board.offer("ann", "data")})
    with board.member("ann").connect() as session:
        assert session.release(board.request(session))[0]
    (shown,) = [
        log
        for log in command("witness", "status", home, "--json").document["logs"]
        if log["board"] == digest
    ]
    assert shown["size"] > 5
