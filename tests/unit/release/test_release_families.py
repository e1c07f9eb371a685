# SPDX-License-Identifier: Apache-2.0
"""The gate releases to a shield on any family's hardware, and only on what the policy names."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.board import Person, World, policy_json, service_json, terms
from tests.support.gate import decide
from tests.support.variants import variant

from accord.errors import AppraisalError, BindingMismatchError
from accord.evidence import Binding, Evidence, Purpose, verify_unbound
from accord.policy import Assurance, Family
from accord.release import Challenges, Decision, ReleaseRequest, shield_binding
from accord.testing import create_simulated

ALONE = [family for family in Family if family is not Family.NVIDIA]
"""A GPU by itself runs no shield."""


class Place:
    """A board whose policy names one family, and a machine of it."""

    def __init__(self, family: Family, home: Path) -> None:
        self.hardware = create_simulated(family, home)
        evidence = self.hardware.collect(bytes(64))
        self.now = datetime.now(UTC).replace(microsecond=0)
        self.anchors = list(self.hardware.anchors)
        self.claims = verify_unbound(evidence, anchors=self.anchors, now=self.now).claims

    def found(self, attestation: dict[str, Any]) -> None:
        document = policy_json(services={"train": service_json(attestation=[attestation])})
        self.world = World.founded(anchors=self.anchors)
        self.world.start()
        for name in ("ann/records", "bob/records", "lab/code"):
            self.world.offer(name, terms=terms(not_after=self.now + timedelta(days=1)))
        self.world.enact_policy(document)
        self.challenges = Challenges(secrets.token_bytes)

    def ask(self, attest: Callable[[Binding], Evidence] | None = None) -> Decision:
        nonce, _ = self.challenges.issue(self.world.board, Purpose.RELEASE, now=self.now)
        keyset = Person.of("shield").keyset()
        binding = shield_binding(self.world.board, "train", "train", keyset, nonce)
        evidence = (attest or (lambda asked: self.hardware.collect(asked.report_data())))(binding)
        return decide(
            self.world.machine,
            ReleaseRequest(self.world.board, "train", "train", keyset, nonce, evidence),
            challenges=self.challenges,
            service_assurance=Assurance.ENCLAVE,
            now=self.now,
            entropy=secrets.token_bytes,
        )


@pytest.fixture(scope="module", params=ALONE, ids=str)
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(request.param, tmp_path_factory.mktemp("hardware"))


def test_the_named_environment_gets_a_release(place: Place) -> None:
    """Evidence of every family opens the gate, and the result says that it is simulated."""
    place.found(variant(place.claims))
    release = place.ask().release

    assert release.assurance is Assurance.SIMULATED
    assert release.result["accord.claims"]["family"] == place.claims.family.value


def test_another_program_on_the_same_machine_gets_nothing(place: Place) -> None:
    """One bit of difference in what the policy names is another program."""
    named = variant(place.claims)
    kind = "measurements" if "measurements" in named else "components"
    if kind == "measurements":
        name, (value,) = next(iter(named[kind].items()))
        named[kind][name] = [f"{int(value[0], 16) ^ 1:x}{value[1:]}"]
    else:
        value = named[kind][0]["digest"]
        named[kind][0]["digest"] = f"{int(value[0], 16) ^ 1:x}{value[1:]}"
    place.found(named)

    with pytest.raises(AppraisalError):
        place.ask()


def test_evidence_for_another_purpose_gets_nothing(place: Place) -> None:
    """What was made for one nonce never serves another."""
    place.found(variant(place.claims))

    with pytest.raises(BindingMismatchError):
        place.ask(lambda _: place.hardware.collect(bytes(64)))


def test_a_simulated_machine_is_not_hardware(place: Place) -> None:
    """A policy that does not say simulated refuses every simulator."""
    place.found(variant(place.claims) | {"simulated": False})

    with pytest.raises(AppraisalError, match="root_kind"):
        place.ask()
