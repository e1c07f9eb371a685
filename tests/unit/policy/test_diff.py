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


def whole(**changes: Any) -> Policy:
    return Policy.from_json(policy_json(**changes))


TOKEN = {"token": {"kind": "ascii"}}


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
        (
            changed(network="open"),
            "service train reaches the network: OPEN, IT MAY SEND WHAT IT READS TO ANYBODY",
        ),
        (
            changed(outputs=[{**OUTPUT, "max_bytes": 9}]),
            "service train lets clinic read its output model (/out/model), at most 9 bytes",
        ),
        (
            changed(files=[{"at": "/run/a b", "content": "x\ny", "mode": "0440"}]),
            "service train gets the file '/run/a b', mode 0440: 'x\\ny'",
        ),
        (
            changed(channel="L2"),
            "service train is given secrets only where evidence proves the very connection (L2)",
        ),
        (
            changed(channel="L0"),
            "service train gives secrets ALSO TO GUESTS WHOSE EVIDENCE NAMES NO POLICY (L0)",
        ),
        (
            changed(singleton=True),
            "service train starts only with an instance token, good for one start",
        ),
        (changed(lease_s=60), "service train must show fresh evidence every 60 s"),
        (
            whole(
                secrets={"door": {"kind": "binary"}},
                services={"train": service_json(totp="door")},
            ),
            "service train starts only with a one-time password of secret door",
        ),
        (
            whole(authority=True, services={"train": service_json(identity=True)}),
            "service train gets a short-lived certificate of the policy's authority",
        ),
        (whole(authority=True), "the policy has a certificate authority of its own"),
        (
            whole(not_after="2027-01-01T00:00:00Z"),
            "nothing is released under the policy from 2027-01-01T00:00:00Z on",
        ),
        (whole(salt="0f" * 16), f"its digest is salted with {'0f' * 16}"),
        (whole(access={"read": ["anyone"]}), "ANYBODY may read the policy without being a member"),
        (
            whole(access={"list": [f"key:{digest('k')}"]}),
            f"the holder of key:{digest('k')} may see that the policy exists",
        ),
        (
            whole(
                access={"update": {"any": ["member:ann", {"at_least": {"n": 2, "of": "role:x"}}]}}
            ),
            "the next version also needs any of (member ann; at least 2 of (everyone with role x))",
        ),
        (
            whole(access={"create": {"weighted": {"min": 3, "of": "affected_owners"}}}),
            "a new policy in its namespace also needs weight 3 of (every owner of what is used)",
        ),
        (whole(secrets=TOKEN), "secret token is random letters and digits: rotate 0, size 20"),
        (
            whole(secrets=TOKEN, exports=[{"secret": "token", "to": "a/b", "namespace": True}]),
            "the policy gives its secret token to all policies in and at a/b",
        ),
    ],
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


# --- versions --------------------------------------------------------------------------------

CHILD = policy_json(name="lab/train", namespace=digest("parent"))


def test_namespace_is_shown_where_it_is_chosen() -> None:
    """On the first version; the next one is in it still, and does not leave it."""
    first = Policy.from_json(CHILD)
    next_ = Policy.from_json(policy_json(name="lab/train", predecessor=first.digest))
    sentence = f"it is in the namespace of lab, version {digest('parent')}"

    assert Change("+", "namespace", sentence) in diff(None, first)
    assert diff(first, next_) == ()
    assert diff(first, Policy.from_json({**CHILD, "namespace": digest("other")})) != ()


# --- values ----------------------------------------------------------------------------------

KEY = {"kind": "key", "algorithm": "p256"}
OLD_SECRETS = {
    "text": {"kind": "ascii"},
    "kept-key": {**KEY, "migrate": True},
    "lost-key": KEY,
    "root": {"kind": "x509-ca", "common_name": "root"},
    "gone": {"kind": "binary"},
    "given": {"kind": "asset", "asset": "ann/password"},
    "turned": {"kind": "binary"},
}
NEW_SECRETS = {
    **{name: spec for name, spec in OLD_SECRETS.items() if name != "gone"},
    "turned": {"kind": "asset", "asset": "ann/password"},
    "more": {"kind": "binary"},
}


def values(old: Any, new: Any, **changes: Any) -> dict[str, str]:
    """What `diff` says would happen to values, by subject."""
    before = Policy.from_json(policy_json(secrets=old, **changes))
    after = Policy.from_json(policy_json(secrets=new, predecessor=before.digest, **changes))
    return {item.subject: item.sentence for item in diff(before, after) if item.sign == "~"}


def test_values_that_would_change_are_said_before_they_do() -> None:
    """Keys that are not kept, certificates, what is gone; nothing of what stays, or is new."""
    assert values(OLD_SECRETS, NEW_SECRETS) == {
        "secret lost-key": "secret lost-key gets a new value",
        "secret root": "secret root is issued anew",
        "secret gone": "secret gone is gone, with its value",
        "secret turned": "secret turned has the value that its owner deposited",
    }


def test_version_that_says_nothing_new_still_issues_certificates() -> None:
    """Two policies that differ in their predecessor alone are two versions."""
    assert values(OLD_SECRETS, OLD_SECRETS) == {
        "secret lost-key": "secret lost-key gets a new value",
        "secret root": "secret root is issued anew",
    }
    same = Policy.from_json(policy_json(secrets=OLD_SECRETS))
    assert diff(same, same) == ()


def test_rotation_is_said() -> None:
    """Another number under `rotate`, another value."""
    assert values(TOKEN, {"token": {"kind": "ascii", "rotate": 1}}) == {
        "secret token": "secret token gets a new value"
    }


def test_authority_is_made_anew() -> None:
    """The policy's own certificate authority does not outlive the version."""
    assert values({}, {}, authority=True) == {
        "authority": "the policy's certificate authority is made anew"
    }


def test_lease_is_shown_with_its_bound() -> None:
    """What a rollback may cost is what members vote on."""
    old = Policy.from_json(policy_json(freshness={"mode": "strict"}))
    lease = {"mode": "lease", "max_uses": 7, "ttl_s": 60}
    new = Policy.from_json(policy_json(freshness=lease, predecessor=old.digest))
    added, removed = diff(old, new)

    assert (added.sign, added.subject) == ("+", "freshness")
    assert "up to 7 releases of each service within 60 s" in added.sentence
    assert "MAY BE IN NO LOG" in added.sentence
    assert (removed.sign, removed.subject) == ("-", "freshness")


def test_solo_is_shown_as_what_it_is() -> None:
    """Whoever approves it should know that nobody watches."""
    (change,) = (
        item
        for item in diff(None, Policy.from_json(policy_json(freshness={"mode": "solo"})))
        if item.subject == "freshness"
    )

    assert "NO WITNESS" in change.sentence
