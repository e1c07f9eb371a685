# SPDX-License-Identifier: Apache-2.0
"""`accord secret` and `accord why` against a running trust service; values are never shown."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.support.live import Board, Finished, ServiceProcess, accord, terms_document

from accord.board import AssetKind, Terms
from accord.client import deposit_secret, offer_asset, rotate_secret, seal_asset
from accord.encoding import Fields, canonical_json
from accord.errors import (
    AssetKindError,
    ConsentWithdrawnError,
    ExitCode,
    MalformedError,
    TermsError,
    UnknownAssetError,
)
from accord.policy import Assurance, Policy

pytestmark = pytest.mark.e2e

VALUE = "correct horse battery staple"


@dataclass
class Desk:
    """Ann at her terminal."""

    board: Board
    folder: Path

    @property
    def terms(self) -> Path:
        path = self.folder / "terms.yaml"
        path.write_bytes(canonical_json(terms_document(max_uses=5)))
        return path

    def __call__(self, *arguments: object, who: str = "ann", stdin: str | None = None) -> Finished:
        home = self.board.home(who)
        return accord(
            *arguments,
            "--home",
            home,
            stdin=stdin,
            environment={"ACCORD_SERVICE": self.board.url},
        )

    def put(self, name: str = "password", value: str = VALUE) -> Finished:
        return self("secret", "put", name, "--stdin", "--terms", self.terms, stdin=value)

    def enact(self) -> Policy:
        """A policy with a deposited secret, a generated one, and an authority."""
        body: Any = self.board.policy({}).to_json()
        service = body["services"]["train"] | {"environment": {"P": "{{ accord.password }}"}}
        secrets = {
            "password": {"kind": "asset", "asset": "ann/password"},
            "key": {"kind": "key", "algorithm": "ed25519"},
        }
        document = body | {"services": {"train": service}, "secrets": secrets, "authority": True}
        policy = Policy.from_json(document)
        self.board.vote(self.board.propose("ann", policy), "ann", "bob")
        return policy


@pytest.fixture
def desk(board: Board, tmp_path: Path) -> Desk:
    return Desk(board, tmp_path)


def test_value_is_deposited_and_shown_to_nobody(desk: Desk, shared_service: ServiceProcess) -> None:
    """Its owner sees a tag, others a state; the value is in no output and no file of ours."""
    done = desk.put()
    assert (done.exit_code, done.stderr) == (0, done.stderr)
    again = desk("secret", "list", "--json", who="bob")
    (listed,) = again.document["secrets"]

    assert (listed["secret"], listed["kind"]) == ("ann/password", "deposited")
    assert listed["state"] == "on offer, 0 of 5 uses"
    for text in (done.stdout, done.stderr, again.stdout, again.stderr):
        assert VALUE not in text
    for folder in (desk.board.root, shared_service.folder):
        for path in folder.rglob("*"):
            if path.is_file():
                assert VALUE.encode() not in path.read_bytes(), path


def test_value_comes_from_a_file_or_a_pipe_never_from_an_argument(
    desk: Desk, tmp_path: Path
) -> None:
    """One of the two; every process of the machine could read an argument."""
    file = tmp_path / "value"
    file.write_text(VALUE)
    both = desk("secret", "put", "x", "--file", file, "--stdin", "--terms", desk.terms)
    none = desk("secret", "put", "x", "--terms", desk.terms)
    good = desk("secret", "put", "x", "--file", file, "--terms", desk.terms)

    assert [both.exit_code, none.exit_code, good.exit_code] == [ExitCode.USAGE, ExitCode.USAGE, 0]
    assert "--stdin" in none.stderr


def test_rotated_and_withdrawn_secret(desk: Desk) -> None:
    """Another value under the same terms; then none."""
    first = desk.put()
    second = desk("secret", "rotate", "password", "--stdin", "--json", stdin="another")
    offer = second.document["offer"]

    assert first.exit_code == second.exit_code == 0
    assert offer["terms"]["max_uses"] == 5
    assert offer["tag"] not in first.stdout
    gone = desk("secret", "withdraw", "password")
    assert gone.exit_code == 0
    assert "ann/password is withdrawn" in gone.stderr
    assert "withdrawn, 0 of 5 uses" in desk("secret", "list").stdout
    refused = desk("secret", "rotate", "password", "--stdin", stdin="late")
    assert refused.exit_code == ConsentWithdrawnError.exit_code
    assert desk.put().exit_code == 0


def test_secrets_of_policies_are_listed_with_their_fate(desk: Desk) -> None:
    """Kind, source and what became of them; certificates and keys come from the log."""
    desk.put()
    policy = desk.enact()
    listed = {row["secret"]: row for row in desk("secret", "list", "--json").document["secrets"]}

    assert listed["job/password"]["source"] == "asset ann/password"
    assert listed["job/password"]["state"].startswith("deposited by sha256:")
    assert listed["job/key"]["source"] == "the trust service"
    assert listed["job/key"]["public"]
    shown = desk("secret", "public", "job", "authority", who="bob")
    assert "-----BEGIN CERTIFICATE-----" in shown.stdout
    both = desk("secret", "public", "job", "--json").document
    assert (both["version"], set(both["public"])) == (policy.digest, {"authority", "key"})
    unknown = desk("secret", "public", "job", "password")
    assert (unknown.exit_code, "accord secret list" in unknown.stderr) == (ExitCode.USAGE, True)
    assert desk("secret", "public", "other").exit_code == ExitCode.DENIED


def test_why_draws_the_chain_of_consent(desk: Desk) -> None:
    """From the owner to the service, with votes, terms and what could change it."""
    desk.put()
    desk.enact()
    drawn = desk("why", "job/password").stdout
    asked = desk("why", "ann/password", "--json", who="bob").document

    for words in (
        "ann/password: secret that ann offers, entry",
        "└── service train of policy job",
        "as: environment.P",
        "secret password of policy job",
        "ann/password: 5 more uses until 2100-01-01T00:00:00Z",
        "bob: approve, entry",
        "constitution, policy.enact",
        "now: released",
    ):
        assert words in drawn
    (explanation,) = asked["explanations"]
    assert explanation["recipients"][0]["readers"] == {"model": ["ann"]}
    desk("secret", "withdraw", "password")
    refused = desk("why", "job/password").stdout
    assert "now: REFUSED: ann has withdrawn ann/password (accord-REL-005)" in refused
    assert "ann/password: withdrawn" in refused
    nobody = desk("why", "job/key").stdout
    assert "nobody gets it: no service in force names it" in nobody
    assert desk("why", "job/nothing").exit_code == ExitCode.USAGE
    assert desk("why", "nothing").exit_code == ExitCode.USAGE


def test_unknown_run_names_the_command_that_lists_them(desk: Desk) -> None:
    """Newcomers asked."""
    refused = desk("job", "show", "run-" + "0" * 32)

    assert refused.exit_code == ExitCode.USAGE
    assert "`accord job list` shows the runs" in refused.stderr


def test_owner_asks_the_trust_service_for_no_less_than_a_run(desk: Desk) -> None:
    """It would hold the value; terms that ask for hardware are meant."""
    member = desk.board.member("ann")
    hard = Terms.from_fields(Fields(terms_document() | {"min_assurance": "cvm"}, "terms"))
    with member.connect() as session:
        _, machine, _ = member.read(session)
        with pytest.raises(TermsError, match="assurance of the trust service"):
            deposit_secret(member, session, machine, "x", b"value", terms=hard)
    assert hard.min_assurance is Assurance.CVM


def test_name_of_a_volume_stays_a_volume(desk: Desk) -> None:
    """What others know as one thing does not become another; nothing, and too much, is refused."""
    desk.board.offer("ann", "data")
    member = desk.board.member("ann")
    agreed = Terms.from_fields(Fields(terms_document(), "terms"))
    with member.connect() as session:
        _, machine, _ = member.read(session)
        with pytest.raises(AssetKindError):
            deposit_secret(member, session, machine, "data", b"value", terms=agreed)
        with pytest.raises(AssetKindError):
            rotate_secret(member, session, machine, "data", b"value")
        with pytest.raises(UnknownAssetError):
            rotate_secret(member, session, machine, "nothing", b"value")
        for value in (b"", bytes((64 << 10) + 1)):
            with pytest.raises(MalformedError):
                deposit_secret(member, session, machine, "x", value, terms=agreed)
    assert machine.board.assets["ann/data"].offer.kind is AssetKind.VOLUME


def test_offer_is_made_again_once_a_member_has_another_key(desk: Desk, board: Board) -> None:
    """An unchanged offer changes nothing, unless it has become void."""
    board.offer("ann", "data")
    member = board.member("ann")
    source = board.root / "source-ann-data"
    seal_asset(board.home("ann"), "data", source, board.storage, if_changed=True)
    agreed = Terms.from_fields(Fields(terms_document(), "terms"))
    with member.connect() as session:
        _, machine, _ = member.read(session)
        record = machine.board.assets["ann/data"]
        _, index = offer_asset(member, session, machine, "data", agreed, volume="data")
        assert index == machine.board.recorded[record.offered_by]
        record.owner_key = board.genesis.members["bob"].identity.verify_key.key_id
        _, again = offer_asset(member, session, machine, "data", agreed, volume="data")

    assert again > index
    shown = json.loads(desk("asset", "list", "--json").stdout)["assets"]
    assert [(row["kind"], row["state"]) for row in shown] == [("volume", "on offer")]
