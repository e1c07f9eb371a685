# SPDX-License-Identifier: Apache-2.0
"""TPM, TXT and Azure collectors against a real software TPM, and the devices of the kernel."""

from __future__ import annotations

import base64
import json
import os
import struct
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from accord.attesters import (
    AzureVTPM,
    EndorsementKey,
    TPMCollector,
    answer,
    opened,
    read_keys,
)
from accord.attesters._azure import (
    AK_HANDLE,
    CERTIFICATION_PATH,
    REPORT_INDEX,
    TD_QUOTE_PATH,
    USER_DATA_INDEX,
)
from accord.attesters._tpm_commands import AK_RSA2048, ENDORSEMENT, OWNER, TPM, Transmit
from accord.encoding import sha256
from accord.errors import (
    InterfaceFailedError,
    InterfaceMissingError,
    ReportRaceError,
    TPMCommandError,
)
from accord.evidence import Evidence, link, verify_unbound
from accord.evidence.tpm import make_credential, parse_public, parse_tpm
from accord.policy import Family
from accord.testing import SimulatedSNP
from accord.testing._azure import SETTINGS, _runtime_data, write_hcl_report
from accord.testing._swtpm import SoftwareTPM

ASKED = bytes(range(64))
NOW = datetime.now(UTC)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[SoftwareTPM]:
    """A software TPM that is switched on."""
    with SoftwareTPM(tmp_path / "tpm") as switched_on:
        yield switched_on


def connected(transmit: Transmit) -> Callable[[], AbstractContextManager[Transmit]]:
    """How a collector reaches a TPM that is open already."""

    @contextmanager
    def connect() -> Iterator[Transmit]:
        yield transmit

    return connect


def anchors_of(evidence: Evidence) -> tuple[str, ...]:
    """The digest of the attestation key, as whoever enrolled it pins it."""
    return (sha256(parse_public(evidence.aux["ak_public"]).spki),)


def test_a_tpm_quotes_its_registers(machine: SoftwareTPM, tmp_path: Path) -> None:
    """The evidence verifies under its key, and is bound to what was asked."""
    collector = TPMCollector(connected(machine.transmit), logs={"event_log": tmp_path / "none"})
    evidence = collector.collect(ASKED)
    claims, bound = verify_unbound(evidence, anchors=anchors_of(evidence), now=NOW)  # type: ignore[arg-type]

    assert link("tpm", ASKED) == bound["tpm"]
    assert bytes(32) == claims.measurements["sha256.pcr0"]


def test_the_key_is_the_same_each_time_and_leaves_nothing(machine: SoftwareTPM) -> None:
    """A primary key: more collections than the TPM has slots for keys."""
    collector = TPMCollector(connected(machine.transmit), logs={})
    keys = {collector.collect(ASKED).aux["ak_public"] for _ in range(5)}

    assert len(keys) == 1


def test_logs_come_along_where_the_kernel_has_them(machine: SoftwareTPM, tmp_path: Path) -> None:
    """Whether they lead to the registers is the verifier's to say."""
    (tmp_path / "log").write_bytes(b"events")
    logs = {"event_log": tmp_path / "log", "ima_log": tmp_path / "none"}
    evidence = TPMCollector(connected(machine.transmit), logs=logs).collect(ASKED)

    assert {"ak_public", "pcrs", "event_log"} == set(evidence.aux)


def test_a_log_that_cannot_be_read_is_not_left_out(machine: SoftwareTPM, tmp_path: Path) -> None:
    """Evidence without a log that is there would look like that of another machine."""
    with pytest.raises(InterfaceFailedError, match="Is a directory"):
        TPMCollector(connected(machine.transmit), logs={"event_log": tmp_path}).collect(ASKED)


def test_a_certificate_in_the_tpm_is_an_endorsement(machine: SoftwareTPM) -> None:
    """Clouds put the certificate of their attestation key into an NV index."""
    machine.tpm.nv_define(0x01C10000, 4)
    machine.tpm.nv_write(0x01C10000, b"cert", authority=OWNER)
    evidence = TPMCollector(connected(machine.transmit), certificate=0x01C10000, logs={}).collect(
        ASKED
    )

    assert dict(evidence.endorsements) == {"ak_certificate": b"cert"}


def test_a_register_that_changes_is_read_again(machine: SoftwareTPM) -> None:
    """Values and quote are of the same moment; a register without rest is an error."""
    left = [1]

    def extending(command: bytes) -> bytes:
        response = machine.transmit(command)
        if command[6:10] == struct.pack(">I", 0x17E) and left[0]:  # TPM2_PCR_Read
            left[0] -= 1
            machine.tpm.pcr_extend(10, {"sha256": bytes(32)})
        return response

    collector = TPMCollector(connected(extending), logs={})
    evidence = collector.collect(ASKED)
    assert verify_unbound(evidence, anchors=anchors_of(evidence), now=NOW)  # type: ignore[arg-type]
    left[0] = 1000
    with pytest.raises(ReportRaceError, match="the TPM was used"):
        collector.collect(ASKED)


def test_a_late_launch_is_quoted_with_its_registers(machine: SoftwareTPM) -> None:
    """TXT: PCR 17 and 18 are among them, and the nonce is TXT's."""
    machine.late_launch(b"SINIT")
    machine.set_locality(2)
    machine.tpm.pcr_extend(18, {"sha256": bytes(32)})
    machine.set_locality(0)
    evidence = TPMCollector(connected(machine.transmit), family=Family.TXT, logs={}).collect(ASKED)
    claims, bound = verify_unbound(evidence, anchors=anchors_of(evidence), now=NOW)  # type: ignore[arg-type]

    assert link("txt", ASKED) == bound["txt"]
    assert claims.measurements["sha256.pcr17"] != bytes(32)


# --- the character device -------------------------------------------------------------------


def test_a_device_is_written_and_read_whole(tmp_path: Path) -> None:
    """One write is a command, one read its response: a terminal stands for the device."""
    controller, terminal = os.openpty()
    tty.setraw(terminal)

    def answer() -> None:
        os.write(controller, b"answer to " + os.read(controller, 4096))

    answers = threading.Thread(target=answer)
    answers.start()
    with opened(Path(os.ttyname(terminal))) as transmit:
        assert transmit(b"command") == b"answer to command"
    answers.join()
    os.close(controller)
    os.close(terminal)


def test_a_device_that_is_missing_or_no_tpm_is_an_error(tmp_path: Path) -> None:
    """No device; a file that answers nothing; a folder."""
    with pytest.raises(InterfaceMissingError, match="does not exist"), opened(tmp_path / "none"):
        pass
    (tmp_path / "file").touch()
    with (
        opened(tmp_path / "file") as transmit,
        pytest.raises(TPMCommandError),
    ):
        TPM(transmit).nv_size(1)
    with pytest.raises(InterfaceFailedError, match="directory"), opened(tmp_path):
        pass
    with (
        opened(Path("/dev/full")) as transmit,
        pytest.raises(InterfaceFailedError, match="No space"),
    ):
        transmit(b"command")


# --- Azure ----------------------------------------------------------------------------------


class Paravisor:
    """Writes a report into the vTPM some time after the guest wrote its user data."""

    def __init__(self, machine: SoftwareTPM, hardware: SimulatedSNP, *, lazy: bool = False) -> None:
        self.naps = 0
        self._machine, self._hardware, self._lazy = machine, hardware, lazy
        tpm = machine.tpm
        self._public, key = tpm.create_primary(ENDORSEMENT, AK_RSA2048)
        self._persist(key)
        tpm.flush(key)
        self._write(b"")

    def transmit(self, command: bytes) -> bytes:
        """The report's index is larger than any that a software TPM has: this answers for it."""
        code, first, second = struct.unpack(">6xIII", command[:18].ljust(18, b"\0"))
        if (code, first) == (0x169, REPORT_INDEX):  # TPM2_NV_ReadPublic
            public = struct.pack(">IHIHH", REPORT_INDEX, 0x000B, 0, 0, len(self._blob))
            body = struct.pack(">H", len(public)) + public + bytes(2)
            return struct.pack(">HII", 0x8001, 10 + len(body), 0) + body
        if (code, second) == (0x14E, REPORT_INDEX):  # TPM2_NV_Read
            assert first == OWNER
            size, offset = struct.unpack(">HH", command[-4:])
            data = self._blob[offset : offset + size]
            body = struct.pack(">IH", 2 + len(data), len(data)) + data + bytes(5)
            return struct.pack(">HII", 0x8002, 10 + len(body), 0) + body
        return self._machine.transmit(command)

    def _persist(self, key: int) -> None:
        """TPM2_EvictControl (part 3, 28.5), which no collector needs."""
        password = struct.pack(">IHBH", 0x40000009, 0, 0, 0)
        body = struct.pack(">III", OWNER, key, len(password)) + password
        body += struct.pack(">I", AK_HANDLE)
        command = struct.pack(">HII", 0x8002, 10 + len(body), 0x120) + body
        assert self._machine.transmit(command)[6:10] == bytes(4)

    def _write(self, user_data: bytes) -> None:
        runtime = _runtime_data(self._public, SETTINGS, user_data)
        bound = bytes.fromhex(sha256(runtime).removeprefix("sha256:")).ljust(64, b"\0")
        self.report = self._hardware.collect(bound)
        self._blob = write_hcl_report(Family.SNP, self.report.blob, runtime)

    def sleep(self, _: float) -> None:
        self.naps += 1
        if not self._lazy:
            self._write(self._machine.tpm.nv_read(USER_DATA_INDEX))


@pytest.fixture(scope="module")
def hardware(tmp_path_factory: pytest.TempPathFactory) -> SimulatedSNP:
    """An SNP machine; its RSA keys take a second."""
    return SimulatedSNP.create(tmp_path_factory.mktemp("snp") / "snp")


def test_an_azure_vm_proves_hardware_and_vtpm(machine: SoftwareTPM, hardware: SimulatedSNP) -> None:
    """Report, user data, quote; the certificates come from the metadata service."""
    paravisor = Paravisor(machine, hardware)
    asked: list[str] = []

    def ask(path: str, body: bytes | None) -> bytes:
        asked.append(path)
        assert body is None
        vcek, *above = _pem(paravisor.report)
        return json.dumps(
            {"vcekCert": vcek, "certificateChain": "".join(above), "tcbm": "0", "cacheControl": "1"}
        ).encode()

    collector = AzureVTPM(connected(paravisor.transmit), ask=ask, logs={}, sleep=paravisor.sleep)
    evidence = collector.collect(ASKED)
    _, bound = verify_unbound(evidence, anchors=hardware.anchors, now=NOW)

    assert {"report_data": ASKED, "azure": link("azure", ASKED)} == dict(bound)
    assert asked == [CERTIFICATION_PATH]
    # The index of the user data is there now, and is written again.
    assert collector.collect(bytes(63) + b"1").blob != evidence.blob


def _pem(evidence: Evidence) -> list[str]:
    """The certificates of SNP evidence as the metadata service writes them."""
    from accord.collateral._pieces import to_pem
    from accord.evidence import load_certificates

    leaf = load_certificates(evidence.endorsements["vcek"], what="vcek")[:1]
    above = [
        certificate
        for name in ("ask", "ark", "cert_chain")
        if name in evidence.endorsements
        for certificate in load_certificates(evidence.endorsements[name], what=name)
    ]
    return [to_pem([certificate]).decode() for certificate in (*leaf, *above)]


def test_nothing_leaves_the_vm_unless_it_may(
    machine: SoftwareTPM, hardware: SimulatedSNP, tmp_path: Path
) -> None:
    """Without `ask` there are no certificates, and nobody is asked; logs come along."""
    paravisor = Paravisor(machine, hardware)
    (tmp_path / "log").write_bytes(b"events")
    logs = {"event_log": tmp_path / "log", "ima_log": tmp_path / "none"}
    collector = AzureVTPM(connected(paravisor.transmit), logs=logs, sleep=paravisor.sleep)
    evidence = collector.collect(ASKED)

    assert evidence.aux["event_log"] == b"events"
    assert dict(evidence.endorsements) == {}


def test_a_paravisor_that_never_answers_is_a_failure(
    machine: SoftwareTPM, hardware: SimulatedSNP
) -> None:
    """An old report would be bound to somebody else's question."""
    paravisor = Paravisor(machine, hardware, lazy=True)
    collector = AzureVTPM(connected(paravisor.transmit), logs={}, sleep=paravisor.sleep)
    with pytest.raises(InterfaceFailedError, match="after 10 attempts"):
        collector.collect(ASKED)

    assert paravisor.naps == 9


def test_a_metadata_service_that_sends_nonsense_is_a_failure(
    machine: SoftwareTPM, hardware: SimulatedSNP
) -> None:
    """Its answer is read strictly."""
    paravisor = Paravisor(machine, hardware)
    collector = AzureVTPM(
        connected(paravisor.transmit), ask=lambda *_: b"{}", logs={}, sleep=paravisor.sleep
    )
    with pytest.raises(InterfaceFailedError, match="metadata service"):
        collector.collect(ASKED)


def test_a_td_report_is_turned_into_a_quote() -> None:
    """The host's quoting service: base64url in and out."""
    from accord.attesters._azure import _td_quote

    def ask(path: str, body: bytes | None) -> bytes:
        assert path == TD_QUOTE_PATH
        report = json.loads(body or b"")["report"]
        quote = base64.urlsafe_b64decode(report + "==")[::-1]
        return json.dumps({"quote": base64.urlsafe_b64encode(quote).decode().rstrip("=")}).encode()

    assert _td_quote(ask, b"\xfb\xff report") == b"troper \xff\xfb"
    with pytest.raises(InterfaceFailedError, match="metadata service"):
        _td_quote(lambda *_: b"[]", b"")


def test_the_blob_is_what_the_tpm_signed(machine: SoftwareTPM) -> None:
    """`parse` shows the same nonce."""
    evidence = TPMCollector(connected(machine.transmit), logs={}).collect(ASKED)
    assert link("tpm", ASKED) == parse_tpm(evidence).quote.attest.extra_data


# --- a TPM that lies, and the keys of one that does not ---------------------------------------


def _pcr_answer(bank: int, bits: int, values: int) -> bytes:
    """A response to TPM2_PCR_Read."""
    body = struct.pack(">IIHB", 1, 1, bank, 3) + bits.to_bytes(3, "little")
    body += struct.pack(">I", values)
    body += b"".join(struct.pack(">H", 32) + bytes(32) for _ in range(values))
    return struct.pack(">HII", 0x8001, 10 + len(body), 0) + body


@pytest.mark.parametrize(
    ("response", "words"),
    [
        (_pcr_answer(0x000B, 1 << 23, 1), "answers for other registers"),
        (_pcr_answer(0x000B, 3, 1), "1 values for 2 registers"),
        (_pcr_answer(0x000B, 1, 2), "2 values for 1 registers"),
        (_pcr_answer(0x000C, 1, 1), "answers for another bank"),
    ],
)
def test_a_tpm_that_answers_for_others_does_not_keep_us_for_ever(
    response: bytes, words: str
) -> None:
    """What it says of registers that nobody asked for never ends the asking."""
    with pytest.raises(TPMCommandError, match=words):
        TPM(lambda _: response).pcr_read({"sha256": range(16)})


def test_registers_beside_those_asked_for_are_left_aside() -> None:
    """What comes along unasked is no claim."""
    values = TPM(lambda _: _pcr_answer(0x000B, 0b111, 3)).pcr_read({"sha256": [1, 2]})
    assert sorted(values) == [("sha256", 1), ("sha256", 2)]


def test_padding_behind_a_certificate_is_left_aside(machine: SoftwareTPM) -> None:
    """Makers define NV indices larger than the certificates in them."""
    certificate = b"\x30\x82\x01\x00" + bytes(256)
    machine.tpm.nv_define(0x01C10000, 512)
    machine.tpm.nv_write(0x01C10000, certificate + b"\xff" * 252, authority=OWNER)
    evidence = TPMCollector(connected(machine.transmit), certificate=0x01C10000, logs={}).collect(
        ASKED
    )
    assert evidence.endorsements["ak_certificate"] == certificate


def test_the_keys_of_a_tpm_are_shown_with_the_certificate_it_holds(machine: SoftwareTPM) -> None:
    """By default the endorsement key that has one; else the first of all."""
    connect = connected(machine.transmit)
    bare = read_keys(connect)
    machine.tpm.nv_define(0x01C00002, 4)
    machine.tpm.nv_write(0x01C00002, b"cert", authority=OWNER)
    certified = read_keys(connect)

    assert (bare.kind, bare.ek_certificate) == (EndorsementKey.P256, b"")
    assert (certified.kind, certified.ek_certificate) == (EndorsementKey.RSA2048, b"cert")
    assert certified.ak_public == bare.ak_public
    assert read_keys(connect, kind=EndorsementKey.P384).kind is EndorsementKey.P384


@pytest.mark.parametrize("kind", EndorsementKey)
def test_a_credential_is_activated_again_and_again(
    machine: SoftwareTPM, kind: EndorsementKey
) -> None:
    """By each endorsement key; keys and sessions are gone afterwards."""
    connect = connected(machine.transmit)
    keys = read_keys(connect, kind=kind)
    name = parse_public(keys.ak_public).name
    for secret in (b"1" * 32, b"2" * 32, b"3" * 32, b"4" * 32):
        made = make_credential(keys.ek_public, name, secret, entropy=os.urandom)
        assert answer(made, connect, kind=kind) == secret


def test_a_credential_for_another_key_is_not_activated(machine: SoftwareTPM) -> None:
    """The TPM refuses the challenge for a key that it does not hold under that name."""
    connect = connected(machine.transmit)
    keys = read_keys(connect)
    made = make_credential(keys.ek_public, b"\0\x0b" + bytes(32), bytes(32), entropy=os.urandom)
    for _ in range(4):
        with pytest.raises(TPMCommandError, match="ActivateCredential"):
            answer(made, connect, kind=keys.kind)
    assert read_keys(connect) == keys
