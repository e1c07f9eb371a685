# SPDX-License-Identifier: Apache-2.0
"""Claiming a service: nobody's at first, then one key's for good; and what the owner may set."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.support.live import Hardware, make_genesis, make_service, owner_claim

from accord.client import Founding, ServiceConfig, verify_claim
from accord.encoding import Envelope, sha256
from accord.errors import (
    AccordError,
    AlreadyClaimedError,
    ClaimInvalidError,
    FoundingRefusedError,
    NotClaimedError,
    SignatureInvalidError,
)
from accord.evidence import Role
from accord.identity import KeySigner, sign_statement
from accord.service import MemoryStore, TrustService


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def fresh(hardware: Hardware, store: MemoryStore) -> TrustService:
    return make_service(hardware.attester(Role.SERVICE), store=store, claimed=False)


def somebody() -> KeySigner:
    return KeySigner(Ed25519PrivateKey.generate())


def config(
    service: TrustService,
    *,
    sequence: int = 1,
    founding: Founding = Founding.ANYONE,
    boards: int = 9,
) -> ServiceConfig:
    return ServiceConfig(service.keyset.verify_key.key_id, sequence, founding, boards)


def wish(wanted: ServiceConfig, signer: KeySigner) -> Envelope:
    return sign_statement("service-config", wanted.to_json(), [signer])


def test_a_service_that_nobody_claimed_founds_no_board(
    fresh: TrustService, hardware: Hardware, tmp_path: Path
) -> None:
    """A fresh deployment serves nobody, so that nobody can slip a board into it first."""
    _, envelope = make_genesis(tmp_path, hardware)
    with pytest.raises(NotClaimedError):
        asyncio.run(fresh.found(envelope))
    with pytest.raises(NotClaimedError):
        asyncio.run(fresh.configure(wish(config(fresh), somebody())))
    assert asyncio.run(fresh.owner()) == (None, ServiceConfig(fresh.keyset.verify_key.key_id))


def test_the_first_claim_holds(fresh: TrustService) -> None:
    """The same key again changes nothing; another one is told who was first."""
    first, second = somebody(), somebody()
    claimed = asyncio.run(fresh.claim(owner_claim(fresh, first)))
    again = asyncio.run(fresh.claim(owner_claim(fresh, first)))
    with pytest.raises(AlreadyClaimedError) as refused:
        asyncio.run(fresh.claim(owner_claim(fresh, second)))

    assert claimed == again
    assert first.key_id == refused.value.details["owner"]


def test_of_many_who_claim_at_once_one_is_first(fresh: TrustService) -> None:
    """A race has one winner, and everybody else learns that."""
    claims = [owner_claim(fresh, somebody()) for _ in range(10)]

    async def race() -> list[object]:
        return await asyncio.gather(*map(fresh.claim, claims), return_exceptions=True)

    outcomes = asyncio.run(race())

    assert sum(isinstance(item, AlreadyClaimedError) for item in outcomes) == 9


def test_a_claim_outlives_the_process_and_is_seen_by_every_service_on_the_store(
    fresh: TrustService, hardware: Hardware, store: MemoryStore
) -> None:
    """The claim is durable before it is answered; another process on the store knows it too."""
    beside = make_service(hardware.attester(Role.SERVICE), store=store, claimed=False)
    owner = somebody()
    asyncio.run(fresh.claim(owner_claim(fresh, owner)))
    asyncio.run(fresh.configure(wish(config(fresh, boards=3), owner)))
    later = make_service(hardware.attester(Role.SERVICE), store=store, claimed=False)

    for service in (beside, later):
        held, wishes = asyncio.run(service.owner())
        assert held is not None
        assert (owner.key_id, 3) == (held.owner.verify_key.key_id, wishes.max_boards)


def test_a_claim_made_for_another_service_is_refused(
    fresh: TrustService, hardware: Hardware
) -> None:
    """A claim names the log key: what was signed for one service claims no other."""
    other = make_service(hardware.attester(Role.SERVICE), claimed=False)
    with pytest.raises(ClaimInvalidError):
        asyncio.run(fresh.claim(owner_claim(other, somebody())))
    assert asyncio.run(fresh.owner())[0] is None


def test_a_claim_is_signed_by_the_key_that_it_names(fresh: TrustService) -> None:
    """Nobody makes somebody else an owner."""
    envelope = owner_claim(fresh, somebody())
    forged = sign_statement("service-claim", verify_claim(envelope).to_json(), [somebody()])
    with pytest.raises(SignatureInvalidError):
        asyncio.run(fresh.claim(forged))


@pytest.mark.parametrize(
    ("flaw", "error"),
    [
        ("another key", ClaimInvalidError),
        ("another service", ClaimInvalidError),
        ("an old number", ClaimInvalidError),
    ],
)
def test_wishes_are_the_owners_own_and_new(
    fresh: TrustService, flaw: str, error: type[AccordError]
) -> None:
    """A stranger's wish, one for another service, and one replayed are refused."""
    owner = somebody()
    asyncio.run(fresh.claim(owner_claim(fresh, owner)))
    asyncio.run(fresh.configure(wish(config(fresh, sequence=2), owner)))
    wanted = config(fresh, sequence=2 if flaw == "an old number" else 3, boards=0)
    if flaw == "another service":
        wanted = replace(wanted, service=sha256(b"another"))
    with pytest.raises(error):
        asyncio.run(fresh.configure(wish(wanted, somebody() if flaw == "another key" else owner)))
    assert config(fresh).max_boards == asyncio.run(fresh.owner())[1].max_boards


def test_the_owner_decides_whose_boards_are_taken_on(
    fresh: TrustService, hardware: Hardware, tmp_path: Path
) -> None:
    """With `owner`, one founder must be the owner; a limit on boards holds for new ones."""
    owner = somebody()
    _, strangers = make_genesis(tmp_path / "one", hardware)
    genesis, own = make_genesis(tmp_path / "two", hardware)
    ann = KeySigner(_private(tmp_path / "two" / "ann"))
    asyncio.run(fresh.claim(owner_claim(fresh, ann)))
    asyncio.run(fresh.configure(wish(config(fresh, founding=Founding.OWNER), ann)))
    with pytest.raises(FoundingRefusedError):
        asyncio.run(fresh.found(strangers))
    host = asyncio.run(fresh.found(own))
    limited = config(fresh, sequence=2, boards=1)
    asyncio.run(fresh.configure(wish(limited, ann)))
    with pytest.raises(FoundingRefusedError):
        asyncio.run(fresh.found(strangers))

    assert genesis.digest == host.board == asyncio.run(fresh.found(own)).board
    assert owner.key_id not in genesis.charter.keys


def _private(home: Path) -> Ed25519PrivateKey:
    from accord.identity import FileIdentity

    return FileIdentity.load(home).signer.private_key


def test_a_claim_has_one_spelling(fresh: TrustService) -> None:
    """Time in whole seconds, all fields, nothing more."""
    claim = verify_claim(owner_claim(fresh))

    assert fresh.keyset.verify_key.key_id == claim.service
    assert abs(claim.time - datetime.now(UTC)).total_seconds() < 60
