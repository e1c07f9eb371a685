# SPDX-License-Identifier: Apache-2.0
"""Which secrets a release hands out, on whose word; terms that name versions, spaces and sizes."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support.board import (
    Hardware,
    World,
    digest,
    member_json,
    policy_json,
    replay,
    service_json,
    terms,
)
from tests.support.gate import Gate

from accord.board import AssetKind, Member, RemoveMember, UpdateMember
from accord.encoding import Fields, base64_encode
from accord.errors import (
    AssetChangedError,
    AssetKindError,
    ConsentWithdrawnError,
    ExportWithdrawnError,
    OwnerChangedError,
    ReaderLeftError,
    ReleaseInvalidError,
    TermsError,
    UnknownAssetError,
    UsesExhaustedError,
)
from accord.policy import Network, Policy
from accord.release import SecretUse, exporting_policy, referenced_secrets, used_assets

USES_SECRET = service_json(environment={"PASSWORD": "{{ accord.password }}"})


@pytest.fixture(scope="module")
def hardware(tmp_path_factory: pytest.TempPathFactory) -> Hardware:
    return Hardware.make(tmp_path_factory.mktemp("hardware"))


def deposit(world: World, name: str = "bob/password", **changes: Any) -> None:
    """Bob shares a value; the statement has only its digest."""
    usual: dict[str, Any] = {"tag": digest("salted value"), "terms": terms()}
    world.offer(
        name, kind=AssetKind.SECRET, volume_id=None, key_commitment=None, **(usual | changes)
    )


@pytest.fixture
def gate(hardware: Hardware) -> Gate:
    """A service that gets a secret which bob deposited."""
    gate = Gate(hardware)
    deposit(gate.world)
    head = gate.world.machine.board.policy("train")
    assert head is not None
    gate.world.enact_policy(
        policy_json(
            predecessor=head.digest,
            secrets={"password": {"kind": "asset", "asset": "bob/password"}},
            services={"train": USES_SECRET},
        )
    )
    return gate


# --- deposited secrets -----------------------------------------------------------------------


def test_deposited_secret_is_counted_like_a_volume(gate: Gate) -> None:
    """Its owner's terms say how often, and the log says which value it was."""
    offer = gate.world.machine.board.assets["bob/password"].offered_by
    release = gate.release()

    assert [(use.asset, use.number) for use in release.uses] == [
        ("ann/records", 1),
        ("lab/code", 1),
        ("bob/password", 1),
    ]
    assert (SecretUse("password", "asset:bob/password", offer),) == release.secrets
    deposit(gate.world, terms=terms(max_uses=1))
    gate.release()
    with gate.world.refuses(UsesExhaustedError, "bob/password was released 1 times"):
        gate.ask()


def test_owner_may_rotate_a_deposited_secret(gate: Gate) -> None:
    """No vote is needed for another value; the next release names the new offer."""
    first = gate.release()
    deposit(gate.world, tag=digest("another value"))
    second = gate.release()

    assert first.secrets != second.secrets
    assert replay(gate.world.log) == gate.world.machine


def test_owner_of_a_secret_may_withdraw_it(gate: Gate) -> None:
    """Prepared decisions come too late."""
    prepared = gate.ask().release
    gate.world.withdraw("bob/password")

    with gate.world.refuses(ConsentWithdrawnError, "bob has withdrawn bob/password"):
        gate.ask()
    with gate.world.refuses(ConsentWithdrawnError):
        gate.commit(prepared)


def test_terms_of_a_secret_are_kept(gate: Gate) -> None:
    """They are the same terms as those of volumes."""
    deposit(gate.world, terms=terms(purposes=("care",)))

    with gate.world.refuses(TermsError, "terms of bob/password.*purpose must be care"):
        gate.ask()


def test_release_that_names_other_secrets_is_no_entry(gate: Gate) -> None:
    """Less, more, another source or version: the log would tell another story."""
    release = gate.ask().release
    (used,) = release.secrets
    for secrets in (
        (),
        (used, used),
        (replace(used, source="policy:train"),),
        (replace(used, version=digest("other")),),
    ):
        with gate.world.refuses(ReleaseInvalidError):
            gate.commit(replace(release, secrets=secrets))
    gate.commit(release)


def test_secrets_that_no_template_names_are_not_released(hardware: Hardware) -> None:
    """A service gets what it asks for; what a policy has beside it stays."""
    document = policy_json(
        secrets={"password": {"kind": "ascii"}, "other": {"kind": "ascii"}},
        services={"train": USES_SECRET},
    )
    gate = Gate(hardware, document)
    policy = Policy.from_json(document)

    assert referenced_secrets(policy.services["train"]) == ("password",)
    assert (SecretUse("password", "policy:train", policy.digest),) == gate.release().secrets


def test_volume_is_no_secret_and_a_secret_no_volume(gate: Gate) -> None:
    """A key of a volume is never handed out as a value, whatever a policy names it."""
    gate.world.offer("bob/password", terms=terms())
    with gate.world.refuses(AssetKindError, "bob/password is a volume, and is used as a secret"):
        gate.ask()
    deposit(gate.world)
    deposit(gate.world, "ann/records", tag=digest("ann/records"))
    with gate.world.refuses(AssetKindError, "ann/records is a secret, and is used as a volume"):
        gate.ask()


def test_volume_that_is_read_is_not_handed_out_as_a_secret_too(hardware: Hardware) -> None:
    """The same name in both places is two uses, and one of them is wrong."""
    service = service_json(environment={"KEY": "{{ accord.key }}"})
    spec = {"key": {"kind": "asset", "asset": "ann/records"}}
    gate = Gate(hardware, policy_json(secrets=spec, services={"train": service}))

    with gate.world.refuses(AssetKindError, "ann/records is a volume"):
        gate.ask()


def test_password_secret_of_an_owner_is_used_under_their_terms(gate: Gate) -> None:
    """The service that it guards never sees it; its owner's no is still a no."""
    spec = {"factor": {"kind": "asset", "asset": "bob/password"}}
    policy = Policy.from_json(
        policy_json(secrets=spec, services={"train": service_json(totp="factor")})
    )

    assert "bob/password" in used_assets(policy, policy.services["train"])
    assert referenced_secrets(policy.services["train"]) == ()


def test_secret_that_vanished_is_refused(gate: Gate) -> None:
    """The decision does not rely on the board never forgetting."""
    del gate.world.machine.board.assets["bob/password"]

    with gate.world.refuses(UnknownAssetError, "bob/password"):
        gate.ask()


# --- imports ---------------------------------------------------------------------------------


def vault(**changes: Any) -> Any:
    return policy_json(
        **{
            "name": "vault",
            "secrets": {"token": {"kind": "ascii"}},
            "exports": [{"secret": "token", "to": "train"}],
            **changes,
        }
    )


def importer(**spec: Any) -> Any:
    imported = {"kind": "import", "policy": "vault", "secret": "token", **spec}
    return policy_json(secrets={"password": imported}, services={"train": USES_SECRET})


def head(world: World, name: str) -> Policy:
    policy = world.machine.board.policy(name)
    assert policy is not None
    return policy


def importing(hardware: Hardware, exporter: Any, **spec: Any) -> Gate:
    gate = Gate(hardware, exporter)
    gate.world.enact_policy(importer(**spec))
    return gate


def test_import_names_the_version_it_came_from(hardware: Hardware) -> None:
    """Both policies say so, in the versions in force."""
    gate = importing(hardware, vault())
    exporter = head(gate.world, "vault")

    assert (SecretUse("password", "policy:vault", exporter.digest),) == gate.release().secrets


def test_export_to_a_namespace_reaches_what_is_in_it(hardware: Hardware) -> None:
    """And not the names that merely start alike."""
    gate = Gate(hardware, vault(exports=[{"secret": "token", "to": "tr", "namespace": True}]))
    board = gate.world.machine.board
    inner, alike = (
        Policy.from_json(importer() | {"name": name, "namespace": digest("parent")})
        for name in ("tr/inner", "train/inner")
    )

    assert exporting_policy(board, inner, inner.secrets["password"]).name == "vault"
    with pytest.raises(ExportWithdrawnError, match="not exported to that policy"):
        exporting_policy(board, alike, alike.secrets["password"])


def test_exporter_may_withdraw(hardware: Hardware) -> None:
    """From its next version on, also where a decision was made before."""
    gate = importing(hardware, vault())
    prepared = gate.ask().release
    gate.world.enact_policy(vault(exports=[], predecessor=head(gate.world, "vault").digest))

    with gate.world.refuses(ExportWithdrawnError, "not exported to that policy"):
        gate.ask()
    with gate.world.refuses(ExportWithdrawnError):
        gate.commit(prepared)


def test_pin_that_no_longer_fits_ends_the_import(hardware: Hardware) -> None:
    """The importer trusted one version; whoever enacts the next has not its trust."""
    pinned = Policy.from_json(vault()).digest
    gate = importing(hardware, vault(), pin=pinned)
    gate.release()
    gate.world.enact_policy(vault(purpose="other", predecessor=pinned))

    with gate.world.refuses(ExportWithdrawnError, f"the pin is {pinned}"):
        gate.ask()


def test_export_to_one_version_ends_with_it(hardware: Hardware) -> None:
    """The exporter voted on what the importer does; another version does something else."""
    wanted = Policy.from_json(importer())
    gate = importing(
        hardware, vault(exports=[{"secret": "token", "to": "train", "pin": wanted.digest}])
    )
    gate.release()
    gate.world.enact_policy(importer() | {"purpose": "screening", "predecessor": wanted.digest})

    with gate.world.refuses(ExportWithdrawnError, "not to this version"):
        gate.ask()


def test_import_from_nowhere_is_refused(hardware: Hardware) -> None:
    """A policy of that name may come, or not."""
    gate = Gate(hardware, importer())

    with gate.world.refuses(ExportWithdrawnError, "there is no such policy"):
        gate.ask()


PEER = {"board": digest("other board"), "log_key": base64_encode(bytes(32))}


def test_import_from_another_service_names_its_board_and_version(hardware: Hardware) -> None:
    """What the other trust service said is recorded; a pin is held to."""
    service = {**PEER, "url": "https://other.example"}
    gate = Gate(hardware, importer(service=service, pin=digest("version")))
    with gate.world.refuses(ExportWithdrawnError, "another version"):
        gate.ask()
    gate.peers = {"password": digest("newer version")}
    with gate.world.refuses(ExportWithdrawnError, "another version"):
        gate.ask()
    gate.peers = {"password": digest("version")}
    source = f"peer:{PEER['board']}:vault"

    assert (SecretUse("password", source, digest("version")),) == gate.release().secrets


def test_export_to_another_service_is_none_to_this_one(hardware: Hardware) -> None:
    """Who may have it elsewhere may not have it here."""
    gate = importing(hardware, vault(exports=[{"secret": "token", "to": "train", "service": PEER}]))

    with gate.world.refuses(ExportWithdrawnError):
        gate.ask()


# --- terms -----------------------------------------------------------------------------------


def test_terms_may_name_one_version_of_a_policy(hardware: Hardware) -> None:
    """The owner agreed to what it says, not to what it may say later."""
    version = Policy.from_json(policy_json()).digest
    gate = Gate(hardware)
    gate.world.offer("ann/records", terms=terms(policies=(version,)))
    gate.release()
    gate.world.enact_policy(
        policy_json(predecessor=version, services={"train": service_json(timeout_s=5)})
    )

    with gate.world.refuses(TermsError, f"policy must be {version}, found train"):
        gate.ask()


@pytest.mark.parametrize(
    ("term", "name", "expected"),
    [
        ("train/*", "train/inner", True),
        ("train/*", "train/inner/most", True),
        ("train/inner/*", "train/inner/most", True),
        ("train/*", "train", False),
        ("train/*", "training", False),
        ("train", "train/inner", False),
        ("train/inner/*", "train/inner", False),
    ],
)
def test_terms_may_name_a_namespace(term: str, name: str, *, expected: bool) -> None:
    """Everything below the name, at any depth, and not the name itself."""
    changes = {"namespace": digest("parent")} if "/" in name else {}
    policy = Policy.from_json(policy_json(name=name, **changes))

    assert expected is terms(policies=(term,)).allow_policy(policy)


@pytest.mark.parametrize(
    ("limit", "declared", "found"),
    [
        (1000, 1000, None),
        (1000, 1001, "1001 bytes for output model"),
        (1000, None, "no limit for output model"),
    ],
)
def test_owner_bounds_what_leaves(
    hardware: Hardware, limit: int, declared: int | None, found: str | None
) -> None:
    """Every output must be declared as small as the owner asks; the shield enforces it."""
    output: dict[str, Any] = {"name": "model", "at": "/out/model", "readers": ["clinic"]}
    if declared is not None:
        output["max_bytes"] = declared
    gate = Gate.of(hardware, outputs=[output])
    gate.world.offer("ann/records", terms=terms(max_output_bytes=limit))
    if found is None:
        gate.release()
        return
    with gate.world.refuses(TermsError, f"output size must be at most 1000 bytes, found {found}"):
        gate.ask()


@pytest.mark.parametrize(
    ("wanted", "agreed", "allowed"),
    [
        ("none", "none", True),
        ("none", "open", True),
        ("open", "open", True),
        ("open", "none", False),
    ],
)
def test_network_is_open_only_where_every_owner_agrees(
    hardware: Hardware, wanted: str, agreed: str, *, allowed: bool
) -> None:
    """Terms that allow it allow a service without it as well."""
    gate = Gate.of(hardware, network=wanted)
    gate.world.offer("lab/code", terms=terms(network=Network.OPEN))
    gate.world.offer("ann/records", terms=terms(network=Network(agreed)))
    if allowed:
        gate.release()
        return
    with gate.world.refuses(TermsError, "network must be none, found open"):
        gate.ask()


# --- members who change ----------------------------------------------------------------------

RULES: dict[str, Any] = {
    "policy.enact": {"all": ["affected_owners", "role:result-user"]},
    "member.remove": "member:lab",
    "member.update": "member:lab",
}


def decide_on(gate: Gate, action: Any) -> None:
    proposal = gate.world.propose(actions=(action,))
    gate.world.vote("lab", proposal)
    gate.world.enact(proposal)


def test_whoever_takes_over_a_name_does_not_take_over_consent(hardware: Hardware) -> None:
    """An offer is by a key; under another one it must be made again."""
    gate = Gate(hardware, constitution=RULES)
    prepared = gate.ask().release
    taken = Member.from_fields(Fields(member_json("ann", "data-owner", key="mallory"), "member"))
    decide_on(gate, UpdateMember(taken))

    with gate.world.refuses(OwnerChangedError, "ann/records"):
        gate.ask()
    with gate.world.refuses(OwnerChangedError):
        gate.commit(prepared)
    gate.world.offer("ann/records", by="mallory")
    gate.release()


def test_assets_of_a_member_who_left_are_not_released(hardware: Hardware) -> None:
    """Nobody could withdraw them any more."""
    gate = Gate(hardware, constitution=RULES)
    decide_on(gate, RemoveMember("ann"))

    with gate.world.refuses(OwnerChangedError, "ann/records"):
        gate.ask()


def test_reader_who_left_gets_no_outputs(hardware: Hardware) -> None:
    """Results are sealed to members of the board as it is."""
    rules = RULES | {"policy.enact": {"all": ["affected_owners"]}}
    gate = Gate(hardware, constitution=rules)
    decide_on(gate, RemoveMember("clinic"))

    with gate.world.refuses(ReaderLeftError, "clinic, a reader of train"):
        gate.ask()


def test_changed_volume_is_refused_whatever_else_is_used(gate: Gate) -> None:
    """Volumes are pinned; deposited secrets are not."""
    gate.world.offer("lab/code", tag=digest("new code"))

    with gate.world.refuses(AssetChangedError):
        gate.ask()
