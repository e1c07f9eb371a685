# SPDX-License-Identifier: Apache-2.0
"""Keystone reports: vectors, the simulator, attacks."""

import dataclasses
import importlib.util
import json
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord import errors
from accord.encoding import sha256
from accord.errors import (
    AccordError,
    AnchorUnknownError,
    AppraisalError,
    BindingMismatchError,
    EvidenceMalformedError,
    EvidenceSignatureError,
    SimulatorStateError,
)
from accord.evidence import (
    Binding,
    Evidence,
    Purpose,
    Role,
    RootKind,
    appraise,
    parse,
    verify,
    verify_unbound,
)
from accord.evidence.keystone import Report, expand_seed, public_key
from accord.policy import FAMILIES, Assurance, AttestationVariant, Family
from accord.testing import SimulatedKeystone
from accord.testing._keystone import ENCLAVE, SECURITY_MONITOR, write_report

VECTORS = Path(__file__).parents[3] / "vectors" / "keystone"
DOCUMENT = json.loads((VECTORS / "vectors.json").read_text())
KEYS = DOCUMENT["keys"]
NOW = datetime(2026, 1, 15, tzinfo=UTC)
BINDING = Binding(Purpose.RELEASE, Role.SHIELD, bytes(32), bytes(32), None, bytes(32))
DEVICE, MONITOR = (expand_seed(bytes((number,)) * 32) for number in (1, 2))
ANCHORS = (sha256(public_key(DEVICE)),)
PADDING = range(72 + 64, 72 + 1024)
FEW = settings(max_examples=60, deadline=None)


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("keystone_vectors", VECTORS / "generate.py")
    if spec is None or spec.loader is None:
        raise RuntimeError(VECTORS)
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["keystone_vectors"] = module
    spec.loader.exec_module(module)
    return module


def evidence(blob: bytes) -> Evidence:
    return Evidence(Family.KEYSTONE, blob)


GOOD = write_report(DEVICE, MONITOR, BINDING.report_data(), ENCLAVE, SECURITY_MONITOR)


def test_the_vectors_are_what_their_generator_makes() -> None:
    """Nobody edits them by hand."""
    assert (VECTORS / "vectors.json").read_text() == load_generator().document()


def test_the_published_secret_key_has_the_published_public_key() -> None:
    """Sanctum's own code made this pair, with its own arithmetic."""
    assert public_key(bytes.fromhex(KEYS["device_secret"])).hex() == KEYS["device_public"]


@pytest.mark.parametrize("vector", DOCUMENT["vectors"], ids=lambda vector: vector["name"])
def test_every_vector_has_its_outcome(vector: dict[str, str]) -> None:
    """A name that ends in _fail says that it is refused, by exactly one kind of error."""
    blob = bytes.fromhex(vector["report"])
    assert vector["name"].endswith("_fail") == (vector["outcome"] != "ok")
    if vector["outcome"] == "ok":
        claims, bound = verify_unbound(evidence(blob), anchors=[KEYS["anchor"]], now=NOW)
        assert claims.measurements["enclave"].hex() == KEYS["enclave"]
        assert claims.measurements["security_monitor"].hex() == KEYS["security_monitor"]
        assert len(bound["report_data"]) == int.from_bytes(blob[64:72], "little")
        return
    with pytest.raises(AccordError) as caught:
        verify_unbound(evidence(blob), anchors=[KEYS["anchor"]], now=NOW)
    assert type(caught.value) is getattr(errors, vector["outcome"])


def test_a_good_report_proves_enclave_monitor_and_device() -> None:
    """Both hashes, the device as instance, and no more than a simulation under a bare key."""
    claims = verify(evidence(GOOD), anchors=ANCHORS, now=NOW, binding=BINDING)
    assert dict(claims.measurements) == {"enclave": ENCLAVE, "security_monitor": SECURITY_MONITOR}
    assert claims.instance_id == public_key(DEVICE)
    assert claims.root == ANCHORS[0]
    assert claims.root_kind is RootKind.TEST
    assert claims.assurance is Assurance.SIMULATED
    assert not claims.debug
    assert claims.collateral_expires is None
    assert [link.what for link in claims.chain] == ["security monitor", "device key"]


def test_claims_have_exactly_the_names_that_a_policy_can_use() -> None:
    """Nothing that is claimed goes unnamed, and nothing is named in vain."""
    claims = verify_unbound(evidence(GOOD), anchors=ANCHORS, now=NOW).claims
    fields = FAMILIES[Family.KEYSTONE]
    assert claims.measurements.keys() == fields.measurements.keys()
    assert claims.attributes.keys() == fields.attributes.keys()
    assert all(
        len(claims.measurements[name]) in fields.measurements[name] for name in fields.measurements
    )


def test_a_report_for_other_data_is_refused() -> None:
    """Replay: the data are what the binding demands, all 64 bytes."""
    other = dataclasses.replace(BINDING, nonce=b"\1" * 32)
    with pytest.raises(BindingMismatchError):
        verify(evidence(GOOD), anchors=ANCHORS, now=NOW, binding=other)


@pytest.mark.parametrize("size", [0, 63, 65, 1024])
def test_data_of_another_length_bind_nothing(size: int) -> None:
    """A prefix, or more than was asked for, is not what was asked for."""
    data = BINDING.report_data().ljust(size, b"\0")[:size]
    blob = write_report(DEVICE, MONITOR, data, ENCLAVE, SECURITY_MONITOR)
    with pytest.raises(BindingMismatchError):
        verify(evidence(blob), anchors=ANCHORS, now=NOW, binding=BINDING)


def test_a_look_alike_device_is_refused() -> None:
    """All of the report is right but the device's key."""
    other = expand_seed(bytes(32))
    blob = write_report(other, MONITOR, BINDING.report_data(), ENCLAVE, SECURITY_MONITOR)
    with pytest.raises(AnchorUnknownError):
        verify(evidence(blob), anchors=ANCHORS, now=NOW, binding=BINDING)


def test_a_monitor_that_the_device_did_not_sign_is_refused() -> None:
    """Swapping in another device's monitor leaves its signature behind."""
    other = write_report(
        expand_seed(bytes(32)), MONITOR, BINDING.report_data(), ENCLAVE, SECURITY_MONITOR
    )
    with pytest.raises(EvidenceSignatureError, match="security monitor"):
        verify(
            evidence(other[:-32] + public_key(DEVICE)), anchors=ANCHORS, now=NOW, binding=BINDING
        )


@pytest.mark.parametrize(
    "more",
    [
        Evidence(Family.KEYSTONE, GOOD, endorsements={"x": b""}),
        Evidence(Family.KEYSTONE, GOOD, aux={"x": b""}),
    ],
)
def test_attachments_are_refused(more: Evidence) -> None:
    """Nothing comes along that the family does not define."""
    with pytest.raises(EvidenceMalformedError, match="attachments"):
        verify_unbound(more, anchors=ANCHORS, now=NOW)


def test_a_hardware_policy_refuses_it_and_a_simulated_one_admits_it() -> None:
    """No Keystone device has a production root."""
    claims = verify_unbound(evidence(GOOD), anchors=ANCHORS, now=NOW).claims
    variant = AttestationVariant(
        family=Family.KEYSTONE,
        simulated=True,
        measurements={"enclave": (ENCLAVE,), "security_monitor": (SECURITY_MONITOR,)},
        tcb_statuses=(),
        min_tcb_evaluation_number=0,
    )
    assert appraise(claims, [variant], now=NOW).variant == 0
    with pytest.raises(AppraisalError):
        appraise(claims, [dataclasses.replace(variant, simulated=False)], now=NOW)


def test_explain_takes_a_report_apart() -> None:
    """Nothing is verified to be shown."""
    report = parse(evidence(GOOD))
    assert isinstance(report, Report)
    assert report.enclave.data == BINDING.report_data()
    assert report.device_key == public_key(DEVICE)


@FEW
@given(at=st.integers(0, len(GOOD) - 1).filter(lambda at: at not in PADDING), bit=st.integers(0, 7))
def test_every_signed_byte_counts(at: int, bit: int) -> None:
    """Changing any of them is refused; only memory behind the data is nobody's."""
    changed = bytearray(GOOD)
    changed[at] ^= 1 << bit
    with pytest.raises(AccordError):
        verify(evidence(bytes(changed)), anchors=ANCHORS, now=NOW, binding=BINDING)


@FEW
@given(blob=st.binary(max_size=1400) | st.binary(min_size=1352, max_size=1352))
def test_any_bytes_are_refused_by_our_own_errors(blob: bytes) -> None:
    """The parser raises nothing else."""
    with pytest.raises(AccordError):
        verify_unbound(evidence(blob), anchors=ANCHORS, now=NOW)


def test_the_simulator_keeps_its_device(tmp_path: Path) -> None:
    """Created twice, it is the same device; its evidence passes the same verifier."""
    device = SimulatedKeystone.create(tmp_path)
    again = SimulatedKeystone.create(tmp_path)
    assert device.root_digest == again.root_digest
    claims = verify(
        again.collect(BINDING.report_data()), anchors=device.anchors, now=NOW, binding=BINDING
    )
    assert claims.assurance is Assurance.SIMULATED


def test_two_simulated_devices_differ(tmp_path: Path) -> None:
    """One installation's test root is not another's."""
    one, other = (SimulatedKeystone.create(tmp_path / name) for name in ("one", "other"))
    with pytest.raises(AnchorUnknownError):
        verify_unbound(other.collect(bytes(64)), anchors=one.anchors, now=NOW)


def test_the_simulator_takes_no_more_than_a_report_holds(tmp_path: Path) -> None:
    """More than 1024 bytes is a bug of the caller."""
    with pytest.raises(ValueError, match="1024"):
        SimulatedKeystone.create(tmp_path).collect(bytes(1025))


def test_a_damaged_simulator_is_refused(tmp_path: Path) -> None:
    """Its folder is whole, or it is deleted."""
    SimulatedKeystone.create(tmp_path)
    (tmp_path / "keystone.secret.json").write_text('{"schema": "x"}')
    with pytest.raises(SimulatorStateError):
        SimulatedKeystone.load(tmp_path)
