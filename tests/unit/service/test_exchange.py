# SPDX-License-Identifier: Apache-2.0
"""Two trust services exchange a secret: both boards agree, each service attests the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.support.live import Hardware
from tests.support.served import Served

from accord.client import TrustSession
from accord.encoding import Digest, Envelope, base64_encode, sha256
from accord.errors import (
    AccordError,
    AppraisalError,
    ExecutionStoppedError,
    ExportWithdrawnError,
    MalformedError,
    NotAttestedError,
    PeerExchangeError,
    SealedMessageError,
    SecretValueError,
    SignatureInvalidError,
)
from accord.evidence import Evidence, Purpose, Role
from accord.identity import KeySigner, open_sealed, seal, sign_statement
from accord.policy import Policy
from accord.release import (
    EXPORT_PURPOSE,
    ExchangeRequest,
    ExportedSecret,
    Importer,
    exchange_context,
)


@dataclass
class Pair:
    """The exporter shares ``key`` of its policy ``job``; the importer's ``job`` imports it."""

    exporter: Served
    importer: Served

    def share(self, **changes: Any) -> Policy:
        """The exporting policy, enacted."""
        peer = {"board": self.importer.board, "log_key": log_key(self.importer)}
        export = {"secret": "key", "to": "job", "service": peer, **changes}
        before = self.exporter.host.machine.board.policy("job")
        policy = self.exporter.policy(
            secrets={"key": {"kind": "binary"}, "other": {"kind": "binary"}},
            exports=[export],
            **({"predecessor": before.digest} if before else {}),
        )
        self.exporter.enact(policy)
        return policy

    def take(self, url: str, **changes: Any) -> Policy:
        """The importing policy, enacted."""
        peer = {"board": self.exporter.board, "log_key": log_key(self.exporter), "url": url}
        spec = {"kind": "import", "policy": "job", "secret": "key", "service": peer, **changes}
        before = self.importer.host.machine.board.policy("job")
        policy = self.importer.policy(
            secrets={"shared": spec},
            train={"environment": {"KEY": "{{ accord.shared:hex }}"}},
            **({"predecessor": before.digest} if before else {}),
        )
        self.importer.enact(policy)
        return policy


def log_key(served: Served) -> str:
    return base64_encode(served.service.keyset.verify_key.raw)


@pytest.fixture
def pair(hardware: Hardware, tmp_path: Path) -> Pair:
    return Pair(Served(hardware, tmp_path / "exporter"), Served(hardware, tmp_path / "importer"))


def test_a_secret_crosses_between_two_services_and_both_logs_say_so(pair: Pair) -> None:
    """The shield of the importing policy gets the exporter's value, over real TLS."""
    exporting = pair.share()
    with pair.exporter.over_http() as url:
        importing = pair.take(url)
        grant = pair.importer.release()

    stored = pair.exporter.store.secret(pair.exporter.board, f"secret/{exporting.digest}/key")
    assert stored == grant.secrets["shared"]
    (record,) = pair.exporter.statements("export")
    assert (importing.digest, pair.importer.board) == (
        record["importer"]["policy_digest"],
        record["importer"]["board"],
    )
    (release,) = pair.importer.statements("release")
    assert [
        {
            "name": "shared",
            "source": f"peer:{pair.exporter.board}:job",
            "version": exporting.digest,
        }
    ] == release["secrets"]


@pytest.mark.parametrize(
    "flaw", ["another log key", "another policy", "another version", "not exported", "withdrawn"]
)
def test_without_the_exporters_consent_nothing_crosses(pair: Pair, flaw: str) -> None:
    """The export names board, log key and policy, in the version in force at each use."""
    changes: dict[str, dict[str, Any]] = {
        "another log key": {
            "service": {
                "board": pair.importer.board,
                "log_key": base64_encode(KeySigner(Ed25519PrivateKey.generate()).verify_key.raw),
            }
        },
        "another policy": {"to": "train"},
        "another version": {"pin": sha256(b"another version")},
        "not exported": {"secret": "other"},
    }
    pair.share(**changes.get(flaw, {}))
    if flaw == "withdrawn":
        pair.share(to="train")
    with pair.exporter.over_http() as url:
        pair.take(url)
        with pytest.raises(PeerExchangeError) as refused:
            pair.importer.release()

    assert refused.value.refusal
    assert refused.value.details["detail"] == ExportWithdrawnError.code
    assert dict(pair.importer.host.machine.runs) == {}
    assert pair.exporter.statements("export") == []


def test_a_pin_that_moved_ends_the_import(pair: Pair) -> None:
    """The importer trusts one version of the exporting policy, if it says so."""
    first = pair.share()
    second = pair.share(namespace=True)
    with pair.exporter.over_http() as url:
        pair.take(url, pin=first.digest)
        with pytest.raises(ExportWithdrawnError):
            pair.importer.release()
        pair.take(url, pin=second.digest)
        assert pair.importer.release().secrets.keys() == {"shared"}


def test_an_exporter_with_another_log_key_is_not_believed(pair: Pair) -> None:
    """Genuine code is not enough: it must be the service that the importing policy names."""
    pair.share()
    other = base64_encode(KeySigner(Ed25519PrivateKey.generate()).verify_key.raw)
    with pair.exporter.over_http() as url:
        pair.take(
            url,
            service={"board": pair.exporter.board, "log_key": other, "url": url},
        )
        with pytest.raises(PeerExchangeError):
            pair.importer.release()
    assert pair.exporter.statements("export") == []


def test_a_peer_that_does_not_answer_releases_nothing(pair: Pair) -> None:
    """What cannot be fetched is not released, and no use is counted."""
    pair.share()
    pair.take("https://127.0.0.1:1")
    with pytest.raises(PeerExchangeError) as refused:
        pair.importer.release()
    assert refused.value.refusal


# --- requests byte by byte ------------------------------------------------------------------


@dataclass
class Asking:
    """Somebody with the importer's log key, or another, who asks the exporter directly."""

    pair: Pair
    session: TrustSession
    importing: Policy

    def request(self, **changes: Any) -> ExchangeRequest:
        importer = self.pair.importer
        usual = ExchangeRequest(
            self.pair.exporter.board,
            "job",
            "key",
            Importer(importer.board, "job", self.importing.digest),
            importer.service.keyset,
            changes.pop("nonce", None) or self.session.challenge(Purpose.EXCHANGE),
        )
        return replace(usual, **changes)

    def sign(self, request: ExchangeRequest) -> Envelope:
        return self.pair.importer.service._parts.sign("exchange-request", request.to_json())

    def evidence(self, request: ExchangeRequest, **registers: bytes) -> Evidence:
        attester = self.pair.importer.hardware.attester(Role.SERVICE, **registers)
        return attester.collect(request.binding.report_data())


@pytest.fixture
def asking(pair: Pair) -> Iterator[Asking]:
    importing = pair.importer.policy()
    pair.share()
    with (
        pair.exporter.over_http() as url,
        TrustSession.attest(url, pair.exporter.genesis) as session,
    ):
        yield Asking(pair, session, importing)


def test_the_answer_is_for_the_importers_service_alone(asking: Asking) -> None:
    """It is sealed to the keys in the evidence, for this very request."""
    request = asking.request()
    envelope = asking.sign(request)
    sealed = asking.session.exchange(envelope, asking.evidence(request))
    keys, other = asking.pair.importer.service._parts.keys, asking.pair.exporter.service._parts.keys

    def opened(key: Any, of: Digest) -> bytes:
        return open_sealed(sealed, key, purpose=EXPORT_PURPOSE, context=exchange_context(of))

    message = opened(keys.seal_private_key, envelope.statement_digest)
    assert b"exported-secret" in message
    with pytest.raises(SealedMessageError):
        opened(other.seal_private_key, envelope.statement_digest)
    with pytest.raises(SealedMessageError):
        opened(keys.seal_private_key, sha256(b"another request"))


Flaw = Callable[[Asking], tuple[Envelope, Evidence]]


def _replayed(asking: Asking) -> tuple[Envelope, Evidence]:
    request = asking.request()
    envelope, evidence = asking.sign(request), asking.evidence(request)
    asking.session.exchange(envelope, evidence)
    return envelope, evidence


def _with(asking: Asking, **changes: Any) -> tuple[Envelope, Evidence]:
    request = asking.request(**changes)
    return asking.sign(request), asking.evidence(request)


def _other_evidence(asking: Asking) -> tuple[Envelope, Evidence]:
    return asking.sign(asking.request()), asking.evidence(asking.request())


def _other_code(asking: Asking) -> tuple[Envelope, Evidence]:
    request = asking.request()
    return asking.sign(request), asking.evidence(request, mrtd=bytes(48))


def _other_signer(asking: Asking) -> tuple[Envelope, Evidence]:
    request = asking.request()
    thief = KeySigner(Ed25519PrivateKey.generate())
    return sign_statement("exchange-request", request.to_json(), [thief]), asking.evidence(request)


def _shield(asking: Asking) -> tuple[Envelope, Evidence]:
    request = asking.request()
    attester = asking.pair.importer.hardware.attester(Role.SHIELD)
    return asking.sign(request), attester.collect(request.binding.report_data())


FLAWS: dict[str, tuple[Flaw, type[AccordError]]] = {
    "replayed": (_replayed, NotAttestedError),
    "a nonce of nobody": (lambda a: _with(a, nonce=bytes(32)), NotAttestedError),
    "a nonce of a release": (lambda a: _with(a, nonce=a.session.challenge()), NotAttestedError),
    "evidence of another request": (_other_evidence, NotAttestedError),
    "another board": (lambda a: _with(a, board=sha256(b"another")), NotAttestedError),
    "other code": (_other_code, AppraisalError),
    "a shield's evidence": (_shield, AppraisalError),
    "somebody else's signature": (_other_signer, SignatureInvalidError),
    "no such secret": (lambda a: _with(a, secret="nothing"), ExportWithdrawnError),
    "no such policy": (lambda a: _with(a, policy="nothing"), ExportWithdrawnError),
    "another importing policy": (
        lambda a: _with(a, importer=Importer(a.pair.importer.board, "eve", a.importing.digest)),
        ExportWithdrawnError,
    ),
    "another importing board": (
        lambda a: _with(a, importer=Importer(sha256(b"eve"), "job", a.importing.digest)),
        ExportWithdrawnError,
    ),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_request_that_is_not_the_importers_own_gets_nothing(asking: Asking, flaw: str) -> None:
    """Replayed, relayed or invented: refused, and the log has nothing new."""
    make, error = FLAWS[flaw]
    envelope, evidence = make(asking)
    with pytest.raises(error):
        asking.session.exchange(envelope, evidence)


def test_a_stop_of_the_exporting_policy_stops_the_exchange(pair: Pair) -> None:
    """Whoever stops the policy stops what leaves it for other services, too."""
    from accord.board import ExecutionStop

    pair.share()
    exporter = pair.exporter
    stop = ExecutionStop(
        exporter.board, "ann", "policy:job", "wait", exporter.now().replace(microsecond=0)
    )
    exporter.submit(
        sign_statement("execution-stop", stop.to_json(), [exporter.identity("ann").signer])
    )
    with exporter.over_http() as url:
        pair.take(url)
        with pytest.raises(PeerExchangeError) as refused:
            pair.importer.release()
    assert refused.value.details["detail"] == ExecutionStoppedError.code


def test_a_stopped_importer_asks_nobody(pair: Pair) -> None:
    """What would be refused anyway makes no other service speak, and its log gains nothing."""
    from accord.board import ExecutionStop

    pair.share()
    importer = pair.importer
    with pair.exporter.over_http() as url:
        pair.take(url)
        stop = ExecutionStop(
            importer.board, "ann", "board", "wait", importer.now().replace(microsecond=0)
        )
        importer.submit(
            sign_statement("execution-stop", stop.to_json(), [importer.identity("ann").signer])
        )
        size = pair.exporter.host.head.size
        with pytest.raises(ExecutionStoppedError):
            importer.release()

        assert size == pair.exporter.host.head.size


def test_an_answer_to_another_request_is_refused(pair: Pair) -> None:
    """A peer that answers with an older answer of its own is not believed."""
    exporting, importer, exporter = pair.share(), pair.importer, pair.exporter
    asked = ExchangeRequest(
        exporter.board,
        "job",
        "key",
        Importer(importer.board, "job", sha256(b"policy")),
        importer.service.keyset,
        bytes(32),
    )
    envelope = importer.service._parts.sign("exchange-request", asked.to_json())
    answer = ExportedSecret(exporter.board, "job", exporting.digest, "key", bytes(range(32)), b"{}")
    sealed = seal(
        exporter.service._parts.sign("exported-secret", answer.to_json()).to_bytes(),
        importer.service.keyset.seal_key,
        purpose=EXPORT_PURPOSE,
        context=exchange_context(envelope.statement_digest),
    )
    with pytest.raises(MalformedError, match="answers another request"):
        importer.service._exchange._opened(
            asked, envelope, sealed, exporter.service.keyset.verify_key
        )


def test_a_value_that_the_exporter_lost_is_not_replaced(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is not there is said to be missing."""
    pair.share()
    monkeypatch.setattr(pair.exporter.store, "secret", lambda *_: None)
    with pair.exporter.over_http() as url:
        pair.take(url)
        with pytest.raises(PeerExchangeError, match=SecretValueError.code):
            pair.importer.release()
