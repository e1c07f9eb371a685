# SPDX-License-Identifier: Apache-2.0
"""The semantic diff: every change of meaning shows, and nobody can draw in it."""

from typing import Any

import pytest
from tests.support.board import MRTD, OTHER_MRTD, digest, policy_json, service_json, variant_json

from accord.policy import Change, Policy, diff

OLD = Policy.from_json(policy_json())
INPUTS, OUTPUT = service_json()["inputs"], service_json()["outputs"][0]


def changed(**changes: Any) -> Policy:
    return Policy.from_json(policy_json(services={"train": service_json(**changes)}))


def test_first_version_shows_everything() -> None:
    """With no policy before, every sentence is new."""
    changes = diff(None, OLD)

    assert {change.sign for change in changes} == {"+"}
    assert Change("+", "network", "service train reaches the network: none") in changes
    assert Change("+", "name", "the policy is called train") in changes


def test_equal_policies_have_no_difference() -> None:
    """Also where only the predecessor differs: it says which version this one replaces."""
    assert diff(OLD, OLD) == ()
    assert diff(OLD, Policy.from_json(policy_json(predecessor=OLD.digest))) == ()


@pytest.mark.parametrize(
    ("new", "shown"),
    [
        (changed(command=["/bin/sh"]), "service train runs /bin/sh"),
        (changed(environment={"EPOCHS": "4"}), "service train sees EPOCHS=4"),
        (changed(workdir="/in/code"), "service train starts in /in/code and ends within 60 s"),
        (changed(timeout_s=61), "service train starts in /tmp and ends within 61 s"),
        (
            changed(inputs=[INPUTS[1]]),
            f"service train reads ann/records at /in/records, version {digest('ann/records')}",
        ),
        (
            changed(inputs=[INPUTS[0], {**INPUTS[1], "tag": digest("evil")}]),
            f"service train reads lab/code at /in/code, version {digest('evil')}",
        ),
        (
            changed(outputs=[{**OUTPUT, "readers": ["clinic", "lab"]}]),
            "service train lets clinic, lab read its output model (/out/model)",
        ),
        (
            changed(attestation=[variant_json(simulated=False)]),
            f"service train may run in tdx with mrtd {MRTD.hex()} (TCB UpToDate, at least 0)",
        ),
        (
            changed(attestation=[variant_json(), variant_json(mrtd=OTHER_MRTD)]),
            (
                f"service train may run in SIMULATED tdx with mrtd {OTHER_MRTD.hex()}"
                " (TCB UpToDate, at least 0)"
            ),
        ),
        (
            changed(attestation=[variant_json(tcb_statuses=["UpToDate", "OutOfDate"])]),
            (
                f"service train may run in SIMULATED tdx with mrtd {MRTD.hex()}"
                " (TCB UpToDate/OutOfDate, at least 0)"
            ),
        ),
        (Policy.from_json(policy_json(purpose="sales")), "the purpose is sales"),
        (Policy.from_json(policy_json(name="other")), "the policy is called other"),
    ],
    ids=range(12),
)
def test_change_is_shown_in_a_sentence(new: Policy, shown: str) -> None:
    """What a voter must see is there, in full."""
    assert shown in {change.sentence for change in (*diff(OLD, new), *diff(new, OLD))}


@pytest.mark.parametrize(
    "new",
    [
        changed(inputs=INPUTS[::-1]),
        changed(attestation=[variant_json(), variant_json()]),
    ],
    ids=["order", "repetition"],
)
def test_change_of_wording_alone_is_said_to_be_one(new: Policy) -> None:
    """Another digest with the same meaning is not passed over in silence."""
    assert [change.subject for change in diff(OLD, new)] == ["order"]


@pytest.mark.parametrize(
    "value",
    [
        "3\n+ service train reaches the network: all",
        "3\r\n- service train runs x",
        "3\\n",
        "a' b",
        "3\tsees HOME=/root",
    ],
)
def test_value_cannot_draw_a_line(value: str) -> None:
    """A line break in a value is shown as one, and is not one."""
    for new in (changed(environment={"EPOCHS": value}), changed(command=["/bin/sh", value])):
        sentences = [change.sentence for change in diff(OLD, new)]
        assert all(sentence.isprintable() for sentence in sentences)
        assert len(sentences) == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (changed(command=["a", "b"]), changed(command=["a b"])),
        (changed(command=["a\n"]), changed(command=["a\\n"])),
        (changed(environment={"A": "x\ty"}), changed(environment={"A": "x\\ty"})),
        (
            changed(workdir="/x and ends within 7 s", timeout_s=60),
            changed(workdir="/x", timeout_s=7),
        ),
        (
            changed(inputs=[{**INPUTS[0], "at": f"/in/x, version {digest('y')}"}]),
            changed(inputs=[{**INPUTS[0], "at": "/in/x", "tag": digest("y")}]),
        ),
    ],
    ids=range(5),
)
def test_two_meanings_never_share_a_sentence(one: Policy, other: Policy) -> None:
    """What differs is shown differently, however it was chosen."""
    assert diff(one, other)


def test_change_in_json() -> None:
    """As other programs read it."""
    expected = {"sign": "+", "subject": "purpose", "sentence": "the purpose is sales"}

    assert expected == diff(OLD, Policy.from_json(policy_json(purpose="sales")))[0].to_json()
