# SPDX-License-Identifier: Apache-2.0
"""Lint: each thing that is allowed and probably not meant is found, and nothing else."""

from typing import Any

import pytest
from tests.support.board import MRTD, digest, policy_json, service_json, variant_json

from accord.policy import Finding, Policy, Severity, lint

JSON = dict[str, Any]

MEMBERS = {
    "ann": frozenset({"data-owner"}),
    "lab": frozenset({"code-owner"}),
    "clinic": frozenset[str](),
}
HARDWARE: JSON = {
    "family": "tdx",
    "measurements": {name: [MRTD.hex()] for name in ("mrtd", "rtmr1", "rtmr2")},
}


def service(**changes: Any) -> JSON:
    return service_json(attestation=[HARDWARE], **changes)


def policy(**changes: Any) -> Policy:
    """A policy that lint has nothing to say about, but for ``changes``."""
    usual = {"not_after": "2027-01-01T00:00:00Z", "services": {"train": service()}}
    return Policy.from_json(policy_json(**{**usual, **changes}))


def with_service(**changes: Any) -> Policy:
    secrets = changes.pop("secrets", {})
    return policy(services={"train": service(**changes)}, secrets=secrets)


def with_variant(**changes: Any) -> Policy:
    return policy(services={"train": service_json(attestation=[{**HARDWARE, **changes}])})


def with_access(**changes: Any) -> Policy:
    return policy(access=changes)


def codes(found: tuple[Finding, ...]) -> dict[str, str]:
    return {item.code: item.severity.value for item in found}


GOOD = policy()
TOKEN = {"token": {"kind": "ascii"}}
GIVEN = {"given": {"kind": "asset", "asset": "ann/password"}}
TAKEN = {"taken": {"kind": "import", "policy": "keys", "secret": "token", "pin": digest("keys")}}
TEMPLATE = {"at": "/run/x", "content": "{{ accord.token }}"}


def test_nothing_is_found_where_nothing_is_amiss() -> None:
    """Without and with everything that can be given."""
    assert lint(GOOD) == ()
    assert lint(GOOD, members=MEMBERS, policies={}) == ()


@pytest.mark.parametrize(
    ("found_in", "expected"),
    [
        (policy(not_after="2027-01-01T00:00:00Z", authority=True), {"authority-unused": "note"}),
        (Policy.from_json(policy_json(services={"t": service()})), {"no-expiry": "note"}),
        (with_access(list=["anyone"]), {"unsalted": "warning"}),
        (with_access(read=["anyone"]), {}),
        (policy(access={"list": ["anyone"]}, salt="00" * 16), {}),
        (
            with_service(network="open"),
            {"network-open": "warning", "no-lease": "warning"},
        ),
        (with_service(network="open", lease_s=60), {"network-open": "warning"}),
        (with_service(channel="L0"), {"channel-open": "warning"}),
        (
            with_service(secrets=GIVEN, environment={"A": "{{ accord.given }}"}),
            {"no-lease": "warning"},
        ),
        (with_service(secrets=GIVEN, environment={"A": "{{ accord.given }}"}, lease_s=60), {}),
        (
            with_service(secrets=TOKEN, command=["x", "{{ accord.token }}"]),
            {"secret-in-command": "warning"},
        ),
        (with_service(secrets=TOKEN, files=[TEMPLATE]), {}),
        (with_service(secrets=TOKEN), {"secret-unused": "warning"}),
        (
            with_service(
                secrets={"door": {"kind": "binary"}},
                totp="door",
                files=[{"at": "/run/x", "content": "{{ accord.door }}"}],
            ),
            {"shared-second-factor": "warning"},
        ),
        (with_service(secrets={"door": {"kind": "binary"}}, totp="door"), {}),
        (
            policy(authority=True, services={"t": service(identity=True)}),
            {"identity-unused": "note"},
        ),
        (
            with_service(secrets=TAKEN, environment={"A": "{{ accord.taken }}"}, lease_s=60),
            {},
        ),
        (
            with_service(
                secrets={"taken": {"kind": "import", "policy": "keys", "secret": "token"}},
                environment={"A": "{{ accord.taken }}"},
                lease_s=60,
            ),
            {"unpinned-import": "warning"},
        ),
        (
            policy(secrets=TOKEN, exports=[{"secret": "token", "to": "a"}]),
            {"unpinned-export": "note"},
        ),
        (
            policy(secrets=TOKEN, exports=[{"secret": "token", "to": "a", "namespace": True}]),
            {"unpinned-export": "note"},
        ),
        (policy(secrets=TOKEN, exports=[{"secret": "token", "to": "a", "pin": digest("a")}]), {}),
        (
            policy(
                secrets={"pair": {"kind": "key", "algorithm": "p256"}},
                exports=[{"secret": "pair", "to": "public"}],
            ),
            {},
        ),
    ],
)
def test_policy_and_services(found_in: Policy, expected: dict[str, str]) -> None:
    """Exactly what is amiss is found."""
    assert codes(lint(found_in)) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"simulated": True}, {"simulated": "warning"}),
        ({"tcb_statuses": ["UpToDate", "OutOfDate"]}, {"tcb-tolerated": "warning"}),
        ({"tcb_statuses": ["UpToDate", "SWHardeningNeeded"]}, {"tcb-tolerated": "note"}),
        ({"tcb_grace": {"OutOfDate": "2027-01-01T00:00:00Z"}}, {"tcb-grace": "note"}),
        ({"attributes": {"perfmon": [True, False]}}, {"weakened": "warning"}),
        ({"attributes": {"perfmon": [False]}}, {}),
        ({"measurements": {"mrtd": [MRTD.hex()]}}, {"firmware-alone": "warning"}),
        (
            {"measurements": {"mrtd": [MRTD.hex()]}, "components": [{"digest": "0f"}]},
            {},
        ),
        (
            {"measurements": {**HARDWARE["measurements"], "mrtd": ["00" * 48]}},
            {"zeros": "warning"},
        ),
        ({"measurements": {**HARDWARE["measurements"], "mrconfigid": ["00" * 48]}}, {}),
        (
            {"measurements": {**HARDWARE["measurements"], "td_attributes": ["01" + "00" * 7]}},
            {"debug": "warning"},
        ),
        (
            {
                "parts": {
                    "gpu0": {
                        "family": "nvidia",
                        "simulated": True,
                        "attributes": {"driver_version": ["1"], "vbios_version": ["1"]},
                    }
                }
            },
            {"simulated": "warning"},
        ),
    ],
)
def test_environments(changes: JSON, expected: dict[str, str]) -> None:
    """What is tolerated, and what names too little."""
    assert codes(lint(with_variant(**changes))) == expected


def test_enclaves_of_a_signer() -> None:
    """Whoever signs decides what runs."""
    variant = {
        "family": "sgx",
        "measurements": {"mrsigner": ["0f" * 32], "attributes": ["06" + "00" * 15]},
        "attributes": {"isv_prod_id": [1], "isv_svn": [2]},
    }
    found = lint(policy(services={"t": service_json(attestation=[variant])}))

    assert codes(found) == {"debug": "warning", "signer-alone": "note"}


# --- rules -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("stoppers", {"lock-out": "error"}),
        ({"at_least": {"n": 2, "of": "member:ann"}}, {"lock-out": "error"}),
        ({"all": ["member:ann", "stoppers"]}, {"lock-out": "error"}),
        ({"any": ["member:ann", "stoppers"]}, {}),
        ({"at_least": {"n": 2, "of": "role:data-owner"}}, {}),
    ],
)
def test_rule_that_never_holds_is_found_without_the_board(rule: Any, expected: JSON) -> None:
    """A member counts once, and nobody stops executions by a policy."""
    assert codes(lint(with_access(update=rule))) == expected


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("member:eve", {"lock-out": "error", "unknown-member": "warning"}),
        ("role:judge", {"lock-out": "error", "unknown-role": "warning"}),
        ({"at_least": {"n": 2, "of": "role:data-owner"}}, {"lock-out": "error"}),
        ({"weighted": {"min": 2, "of": "role:data-owner"}}, {"lock-out": "error"}),
        ("member:ann", {"depends-on-one": "note"}),
        ("role:data-owner", {"depends-on-one": "note"}),
        ({"any": ["member:ann", "member:lab"]}, {}),
        ("affected_owners", {}),
        ({"any": ["member:ann", "role:judge", "member:lab"]}, {"unknown-role": "warning"}),
    ],
)
def test_rule_that_the_members_cannot_satisfy_is_found(rule: Any, expected: JSON) -> None:
    """A policy that nobody could replace locks everybody out."""
    assert codes(lint(with_access(update=rule), members=MEMBERS)) == expected


def test_rule_for_the_namespace_is_judged_by_itself() -> None:
    """It locks nobody out of the policy; and is not told twice where it is the same rule."""
    access = {"update": {"any": ["member:ann", "member:lab"]}, "create": "stoppers"}

    assert codes(lint(with_access(**access))) == {"unsatisfiable-rule": "error"}
    assert len(lint(with_access(update="stoppers"))) == 1


def test_people_who_are_no_members_are_found() -> None:
    """Readers, owners of assets; once each."""
    found = lint(GOOD, members={"lab": MEMBERS["lab"]})

    assert [item.sentence for item in found] == [
        "output is for clinic, who is no member",
        "it uses assets of ann, who is no member",
    ]
    assert codes(found) == {"unknown-member": "error"}


# --- versions --------------------------------------------------------------------------------


def updated(previous: Policy, **changes: Any) -> Policy:
    return policy(predecessor=previous.digest, **changes)


def test_update_of_another_version_is_found() -> None:
    """Of another policy, too."""
    assert lint(updated(GOOD), previous=GOOD) == ()
    assert codes(lint(GOOD, previous=GOOD)) == {"stale": "error"}
    assert codes(lint(updated(GOOD, name="other"), previous=GOOD)) == {"other-name": "error"}


def test_version_in_force_that_locks_everybody_out_is_found() -> None:
    """Whatever the new version says, its predecessor decides."""
    old = with_access(update={"any": ["member:eve", "role:judge"]})
    new = updated(old, access={"update": {"any": ["member:ann", "member:lab"]}})
    found = lint(new, previous=old, members=MEMBERS)

    assert codes(found) == {"locked": "error"}


def test_rule_that_is_dropped_is_found() -> None:
    """A version that gives up its own protection."""
    old = with_access(update={"any": ["member:ann", "member:lab"]})

    assert codes(lint(updated(old), previous=old)) == {"access-dropped": "warning"}


def test_key_that_changes_unasked_is_found() -> None:
    """Only where both versions say so is it kept; and rotating it is asking."""
    exports = [{"secret": "pair", "to": "public"}]

    def keyed(**spec: Any) -> JSON:
        return {
            "secrets": {"pair": {"kind": "key", "algorithm": "p256", **spec}},
            "exports": exports,
        }

    old = policy(**keyed())
    kept = policy(**keyed(migrate=True))

    assert codes(lint(updated(old, **keyed(migrate=True)), previous=old)) == {
        "key-made-anew": "warning"
    }
    assert lint(updated(old, **keyed(rotate=1)), previous=old) == ()
    assert lint(updated(kept, **keyed(migrate=True)), previous=kept) == ()


# --- imports ---------------------------------------------------------------------------------


def importing(pin: str) -> Policy:
    return policy(
        name="train",
        secrets={"taken": {**TAKEN["taken"], "pin": pin}},
        services={"train": service(environment={"A": "{{ accord.taken }}"}, lease_s=60)},
    )


def exporting(**export: Any) -> Policy:
    return policy(name="keys", secrets=TOKEN, exports=[{"secret": "token", **export}])


@pytest.mark.parametrize(
    ("exporter", "problem"),
    [
        (None, "there is no policy keys"),
        (policy(name="keys"), "keys has no secret token"),
        (exporting(to="other"), "keys does not export it to this version"),
        (exporting(to="train", pin=digest("other")), "keys does not export it to this version"),
        (exporting(to="train"), None),
        (exporting(to="train", namespace=True), None),
    ],
)
def test_import_that_would_fail_is_found(exporter: Policy | None, problem: str | None) -> None:
    """Both sides must agree, today."""
    pin = exporter.digest if exporter is not None else digest("keys")
    found = lint(importing(pin), policies={"keys": exporter} if exporter is not None else {})

    expected = [] if problem is None else [f"taken cannot be imported: {problem}"]
    assert [item.sentence for item in found] == expected


def test_import_of_another_version_than_the_one_in_force_is_found() -> None:
    """A pin that nobody meets."""
    exporter = exporting(to="train")
    found = lint(importing(digest("older")), policies={"keys": exporter})

    assert codes(found) == {"import-unavailable": "error"}
    assert exporter.digest in found[0].sentence


def test_errors_come_first_and_are_told_in_json() -> None:
    """As other programs read them."""
    found = lint(
        policy(not_after="2027-01-01T00:00:00Z", access={"update": "stoppers"}, authority=True)
    )

    assert [item.severity for item in found] == [Severity.ERROR, Severity.NOTE]
    assert found[0].to_json() == {
        "code": "lock-out",
        "severity": "error",
        "where": "policy.access.update",
        "sentence": "nobody could ever replace this version: everybody who stopped it never holds",
        "hint": found[0].hint,
    }


def test_simulated_firmware_is_the_program() -> None:
    """What matters on hardware is no finding about a simulation."""
    found = lint(policy(services={"t": service_json(attestation=[variant_json()])}))

    assert codes(found) == {"simulated": "warning"}


# --- freshness -------------------------------------------------------------------------------

LEASE = {"mode": "lease", "max_uses": 5, "ttl_s": 60}


@pytest.mark.parametrize(
    ("freshness", "witnessed", "expected"),
    [
        ({"mode": "strict"}, True, {}),
        ({"mode": "strict"}, None, {}),
        ({"mode": "strict"}, False, {"no-witnesses": "error"}),
        ({"mode": "solo"}, True, {"solo-on-witnessed": "error"}),
        ({"mode": "solo"}, False, {"solo": "warning"}),
        ({"mode": "solo"}, None, {"solo": "warning"}),
        (LEASE, True, {}),
        (LEASE, False, {"no-witnesses": "error"}),
        ({**LEASE, "ttl_s": 3600}, True, {}),
        ({**LEASE, "ttl_s": 3601}, True, {"lease-long": "warning"}),
    ],
)
def test_freshness_fits_the_board(
    *, freshness: JSON, witnessed: bool | None, expected: dict[str, str]
) -> None:
    """Modes that the board cannot have, and leases that promise little."""
    assert expected == codes(lint(policy(freshness=freshness), witnessed=witnessed))


@pytest.mark.parametrize("change", [{"singleton": True}, {"totp": "door"}])
def test_lease_of_what_exists_once_is_told(change: JSON) -> None:
    """Its starts wait anyway; authors may have expected otherwise."""
    found = lint(
        policy(
            freshness=LEASE,
            services={"train": service(**change)},
            secrets={"door": {"kind": "binary"}} if "totp" in change else {},
        )
    )

    assert codes(found) == {"lease-unused": "note"}
