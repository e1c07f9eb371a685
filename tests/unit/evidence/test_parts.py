# SPDX-License-Identifier: Apache-2.0
"""Composite evidence: a confidential VM, its vTPM and its GPUs, asked for together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.support.variants import variant

from accord.encoding import Digest, Fields
from accord.errors import AppraisalError, EvidenceMalformedError, MalformedError, PartMismatchError
from accord.evidence import Binding, Evidence, Purpose, Role, appraise, verify, verify_unbound
from accord.policy import AttestationVariant, Family
from accord.testing import Simulator, create_simulated

NOW = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=1)
BINDING = Binding(Purpose.RELEASE, Role.SHIELD, bytes(32), bytes(32), None, bytes(32))
PARTS = {"vtpm": Family.TPM, "gpu0": Family.NVIDIA, "gpu1": Family.NVIDIA}


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Simulator]:
    folder = tmp_path_factory.mktemp("composite")
    wanted = {"cpu": Family.TDX, **PARTS}
    return {name: create_simulated(family, folder / name) for name, family in wanted.items()}


@pytest.fixture(scope="module")
def anchors(machines: Mapping[str, Simulator]) -> list[Digest]:
    return [anchor for machine in machines.values() for anchor in machine.anchors]


def collect(machines: Mapping[str, Simulator], *names: str, **changes: Evidence) -> Evidence:
    """Evidence of the whole and of the parts ``names``, all asked for with one nonce."""
    report_data = BINDING.report_data()
    parts = {name: machines[name].collect(report_data) for name in names}
    return replace(machines["cpu"].collect(report_data), parts=parts | changes)


def check(evidence: Evidence, anchors: list[Digest]) -> Any:
    return verify(
        Evidence.from_bytes(evidence.to_bytes()), anchors=anchors, now=NOW, binding=BINDING
    )


def test_parts_that_were_asked_for_together_are_claimed(
    machines: Mapping[str, Simulator], anchors: list[Digest]
) -> None:
    """Each part has claims of its own, under its own root."""
    claims = check(collect(machines, *PARTS), anchors)

    assert {name: part.family for name, part in claims.parts.items()} == PARTS
    assert len({part.root for part in claims.parts.values()}) == 3


def test_a_host_without_a_tee_links_its_gpu_through_its_tpm(
    machines: Mapping[str, Simulator], anchors: list[Digest]
) -> None:
    """A TPM's slot is too small for report data; whoever knows them can still link the parts."""
    report_data = BINDING.report_data()
    gpu = {"gpu0": machines["gpu0"].collect(report_data)}
    host = replace(machines["vtpm"].collect(report_data), parts=gpu)

    assert check(host, anchors).parts["gpu0"].family is Family.NVIDIA
    with pytest.raises(PartMismatchError, match="gpu0"):
        verify_unbound(host, anchors=anchors, now=NOW)
    other = replace(host, parts={"gpu0": machines["gpu0"].collect(bytes(64))})
    with pytest.raises(PartMismatchError, match="gpu0"):
        check(other, anchors)


def test_a_report_made_for_another_nonce_is_no_part(
    machines: Mapping[str, Simulator], anchors: list[Digest]
) -> None:
    """A GPU's old report, or one made for another machine, is refused and named."""
    old = machines["gpu0"].collect(bytes(64))

    with pytest.raises(PartMismatchError, match="gpu0"):
        check(collect(machines, "vtpm", gpu0=old), anchors)


def test_one_gpu_is_not_two(machines: Mapping[str, Simulator], anchors: list[Digest]) -> None:
    """The same device under two names would fill a policy's places twice."""
    again = machines["gpu0"].collect(BINDING.report_data())

    with pytest.raises(EvidenceMalformedError, match="same device twice"):
        check(collect(machines, "gpu0", gpu1=again), anchors)


def test_a_part_of_an_unknown_vendor_spoils_the_whole(machines: Mapping[str, Simulator]) -> None:
    """A part is never skipped because it does not verify."""
    with pytest.raises(Exception, match="pinned trust anchors"):
        check(collect(machines, "gpu0"), list(machines["cpu"].anchors))


def test_parts_have_no_parts(machines: Mapping[str, Simulator], anchors: list[Digest]) -> None:
    """One level is all there is: no evidence hides below a part."""
    inner = collect(machines, "gpu0")

    with pytest.raises(MalformedError, match="parts"):
        check(collect(machines, vtpm=inner), anchors)


def test_a_policy_that_demands_a_gpu_gets_one(
    machines: Mapping[str, Simulator], anchors: list[Digest]
) -> None:
    """With the GPU the environment is admitted and linked by nonce; without it, refused."""
    whole = check(collect(machines, "gpu0"), anchors)
    gpu = variant(whole.parts["gpu0"])
    wanted = AttestationVariant.from_fields(Fields(variant(whole, parts={"gpu0": gpu}), "variant"))
    result = appraise(whole, [wanted], now=NOW)

    assert "nonce_linked" in str(result.to_json())
    with pytest.raises(AppraisalError, match="gpu0"):
        appraise(check(collect(machines), anchors), [wanted], now=NOW)
