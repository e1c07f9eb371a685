# SPDX-License-Identifier: Apache-2.0
"""Gramine's pseudo-files, the Nitro module's ioctl, NVIDIA's library, the metadata service."""

from __future__ import annotations

import ctypes
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cbor2
import pytest
from tests.unit.attesters.attributes import Attributes

from accord.attesters import (
    NVML,
    Collector,
    Gramine,
    NitroSecurityModule,
    collect_composite,
    metadata_service,
)
from accord.attesters._collector import read_all, read_optional
from accord.attesters._nsm import IOCTL_RAW, MAX_RESPONSE_BYTES, Message
from accord.errors import InterfaceFailedError, InterfaceMissingError
from accord.evidence import Evidence, link
from accord.policy import Family

ASKED = bytes(range(64))


# --- Gramine --------------------------------------------------------------------------------


class Enclave:
    """What Gramine shows below /dev/attestation."""

    def __init__(self, root: Path, *, kind: bytes = b"dcap", quote: bytes = b"quote of ") -> None:
        self.asked = b""
        self._quote = quote
        root.mkdir()
        self.files = Attributes(
            root,
            readable={"attestation_type": lambda: kind, "quote": self._make},
            writable={"user_report_data": self._ask},
        )

    def _ask(self, data: bytes) -> None:
        self.asked = data

    def _make(self) -> bytes:
        return self._quote + self.asked if self._quote else b""


def test_an_enclave_quotes_what_it_is_given(tmp_path: Path) -> None:
    """Report data in, quote out."""
    enclave = Enclave(tmp_path / "attestation")
    with enclave.files:
        evidence = Gramine(tmp_path / "attestation").collect(ASKED)

    assert (evidence.family, evidence.blob) == (Family.SGX, b"quote of " + ASKED)


def test_an_enclave_without_dcap_is_told_what_to_set(tmp_path: Path) -> None:
    """EPID, or no attestation at all."""
    enclave = Enclave(tmp_path / "attestation", kind=b"none")
    with enclave.files, pytest.raises(InterfaceMissingError, match=r"sgx\.remote_attestation"):
        Gramine(tmp_path / "attestation")


def test_an_empty_quote_is_a_failure(tmp_path: Path) -> None:
    """The quoting enclave did not answer."""
    enclave = Enclave(tmp_path / "attestation", quote=b"")
    with enclave.files, pytest.raises(InterfaceFailedError, match="empty"):
        Gramine(tmp_path / "attestation").collect(ASKED)


def test_outside_an_enclave_there_is_no_interface(tmp_path: Path) -> None:
    """No folder, no Gramine; a folder without a quote fails when it is asked."""
    with pytest.raises(InterfaceMissingError, match="does not exist"):
        Gramine(tmp_path / "attestation")
    (tmp_path / "attestation").mkdir()
    (tmp_path / "attestation" / "attestation_type").write_text("dcap\n")
    with pytest.raises(InterfaceMissingError):
        Gramine(tmp_path / "attestation").collect(ASKED)


# --- Nitro ----------------------------------------------------------------------------------


class Module:
    """The driver of the Nitro Security Module: reads and writes the caller's memory."""

    def __init__(self, answer: Callable[[Any], bytes], *, size: int | None = None) -> None:
        self.asked: Any = None
        self._answer, self._size = answer, size

    def ioctl(self, _: int, code: int, message: bytearray) -> int:
        assert code == IOCTL_RAW
        assert len(message) == 32
        raw = Message.from_buffer(message)
        self.asked = cbor2.loads(ctypes.string_at(raw.request, raw.request_bytes))
        answer = self._answer(self.asked)
        assert raw.response_bytes == MAX_RESPONSE_BYTES
        ctypes.memmove(raw.response, answer, len(answer))
        raw.response_bytes = len(answer) if self._size is None else self._size
        return 0


def nsm(path: Path, module: Module) -> NitroSecurityModule:
    path.touch()
    return NitroSecurityModule(path, ioctl=module.ioctl)


def test_user_data_carries_the_report_data(tmp_path: Path) -> None:
    """Nonce and public key stay empty: everything is in the user data."""
    module = Module(lambda _: cbor2.dumps({"Attestation": {"document": b"signed"}}))
    evidence = nsm(tmp_path / "nsm", module).collect(ASKED)

    assert (evidence.family, evidence.blob) == (Family.NITRO, b"signed")
    asked = {"user_data": ASKED, "nonce": None, "public_key": None}
    assert {"Attestation": asked} == module.asked


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\xff",
        cbor2.dumps({}),
        cbor2.dumps({"Error": "InputTooLarge"}),
        cbor2.dumps({"Attestation": {"document": b""}}),
        cbor2.dumps({"Attestation": {"document": b"x", "more": 1}}),
        cbor2.dumps({"Attestation": {"document": b"x"}, "Error": "none"}),
        cbor2.dumps({"Attestation": {"document": b"x"}}) + b"x",
        cbor2.dumps("Attestation"),
    ],
)
def test_any_other_answer_of_the_module_is_a_failure(tmp_path: Path, answer: bytes) -> None:
    """Its response is read strictly: one document and nothing else."""
    with pytest.raises(InterfaceFailedError, match="Nitro Security Module"):
        nsm(tmp_path / "nsm", Module(lambda _: answer)).collect(ASKED)


def test_a_module_that_wrote_too_much_is_a_failure(tmp_path: Path) -> None:
    """Nobody reads beyond the buffer."""
    module = Module(lambda _: b"x", size=MAX_RESPONSE_BYTES + 1)
    with pytest.raises(InterfaceFailedError, match="12289 bytes"):
        nsm(tmp_path / "nsm", module).collect(ASKED)


def test_outside_a_nitro_enclave_there_is_no_module(tmp_path: Path) -> None:
    """The device is missing, or is another one and refuses the ioctl."""
    with pytest.raises(InterfaceMissingError):
        NitroSecurityModule(tmp_path / "nsm").collect(ASKED)
    (tmp_path / "file").touch()
    with pytest.raises(InterfaceFailedError, match=r"ioctl|Inappropriate"):
        NitroSecurityModule(tmp_path / "file").collect(ASKED)


# --- NVIDIA ---------------------------------------------------------------------------------


class FakeNVMLError(Exception):
    """pynvml.NVMLError."""


class FakeNVML:
    """pynvml, as far as it is used."""

    NVMLError = FakeNVMLError

    def __init__(self, *, report: bytes = b"report", error: str = "") -> None:
        self.nonce = b""
        self.balance = 0
        self._report, self._error = report, error

    def nvmlInit(self) -> None:  # noqa: N802 - NVML's own names
        self.balance += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.balance -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        if self._error:
            raise FakeNVMLError(self._error)
        return index

    def nvmlDeviceGetConfComputeGpuAttestationReport(  # noqa: N802
        self, _: int, nonce: bytes
    ) -> SimpleNamespace:
        self.nonce = nonce
        buffer = (ctypes.c_uint8 * 0x2000)(*self._report)
        return SimpleNamespace(attestationReport=buffer, attestationReportSize=len(self._report))

    def nvmlDeviceGetConfComputeGpuCertificate(self, _: int) -> SimpleNamespace:  # noqa: N802
        buffer = (ctypes.c_uint8 * 0x1400)(*b"chain")
        return SimpleNamespace(attestationCertChain=buffer, attestationCertChainSize=5)


def test_a_gpu_is_asked_with_a_linked_nonce() -> None:
    """32 bytes that follow from the report data; report and chain come back at their size."""
    nvml = FakeNVML()
    evidence = NVML(1, nvml=nvml).collect(ASKED)

    assert link("nvidia", ASKED) == nvml.nonce
    assert (
        evidence.blob,
        dict(evidence.endorsements),
    ) == (b"report", {"certificate_chain": b"chain"})
    assert NVML(nvml=nvml).count() == 2
    assert nvml.balance == 0


def test_a_gpu_without_confidential_computing_is_a_failure() -> None:
    """An error of the library, or an empty report; the library is closed all the same."""
    refusing, empty = FakeNVML(error="Not Supported"), FakeNVML(report=b"")
    with pytest.raises(InterfaceFailedError, match="Not Supported"):
        NVML(nvml=refusing).collect(ASKED)
    with pytest.raises(InterfaceFailedError, match="confidential-computing mode"):
        NVML(nvml=empty).collect(ASKED)

    assert (refusing.balance, empty.balance) == (0, 0)


def test_without_the_package_there_is_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package to install is named; where it is there, it is used."""
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(InterfaceMissingError, match="nvidia-ml-py"):
        NVML()
    monkeypatch.setitem(sys.modules, "pynvml", FakeNVML())
    assert NVML().count() == 2


# --- a whole machine ------------------------------------------------------------------------


def test_every_part_is_asked_with_the_same_report_data(tmp_path: Path) -> None:
    """CPU and GPUs in one document."""
    module = Module(lambda _: cbor2.dumps({"Attestation": {"document": b"cpu"}}))
    gpus: dict[str, Collector] = {f"gpu{index}": NVML(index, nvml=FakeNVML()) for index in (0, 1)}
    evidence = collect_composite(nsm(tmp_path / "nsm", module), gpus, ASKED)

    assert (evidence.blob, list(evidence.parts)) == (b"cpu", ["gpu0", "gpu1"])
    assert evidence == Evidence.from_bytes(evidence.to_bytes())


# --- Azure's metadata service ---------------------------------------------------------------


@pytest.fixture
def service() -> Iterator[tuple[str, list[Any]]]:
    """A metadata service on loopback, and what it was asked."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self, body: bytes) -> None:
            asked.append((self.path, self.headers["Metadata"], body))
            data = b"x" * (2 << 20) if self.path == "/large" else json.dumps({"a": 1}).encode()
            self.send_response(200 if self.path != "/missing" else 404)
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            self.answer(b"")

        def do_POST(self) -> None:
            self.answer(self.rfile.read(int(self.headers["Content-Length"])))

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def test_the_metadata_service_is_asked_as_it_demands(service: tuple[str, list[Any]]) -> None:
    """With its header, by GET or POST, and through no proxy."""
    base, asked = service
    ask = metadata_service(base)

    assert ask("/a", None) == b'{"a": 1}'
    assert ask("/b", b"{}") == b'{"a": 1}'
    assert asked == [("/a", "true", b""), ("/b", "true", b"{}")]


def test_a_metadata_service_that_fails_is_a_failure(service: tuple[str, list[Any]]) -> None:
    """No such page, an answer without end, nobody there."""
    base, _ = service
    for path, words in (("/missing", "404"), ("/large", "more than")):
        with pytest.raises(InterfaceFailedError, match=words):
            metadata_service(base)(path, None)
    with pytest.raises(InterfaceFailedError):
        metadata_service("http://127.0.0.1:1")("/a", None)


@pytest.fixture
def raw_service() -> Iterator[Callable[[bytes, float], str]]:
    """A host that answers every connection with these bytes, and a pause after each."""
    listeners: list[socket.socket] = []

    def start(answer: bytes, pause: float) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def serve() -> None:
            with suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(4096)
                    step = 1 if pause else len(answer)
                    for at in range(0, len(answer), step):
                        connection.sendall(answer[at : at + step])
                        time.sleep(pause)

        threading.Thread(target=serve, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield start
    for listener in listeners:
        listener.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf",
        b"what is this\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70000 + b"\r\n\r\n",
    ],
    ids=["cut", "cut-chunk", "no-http", "long-line"],
)
def test_a_metadata_service_that_breaks_http_is_a_failure(
    raw_service: Callable[[bytes, float], str], answer: bytes
) -> None:
    """Never half an answer, and no error but ours."""
    with pytest.raises(InterfaceFailedError):
        metadata_service(raw_service(answer, 0.0))("/a", None)


def test_a_metadata_service_that_drips_for_ever_is_left(
    raw_service: Callable[[bytes, float], str],
) -> None:
    """Each byte starts the socket's timeout anew; the whole answer has one too."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + b"x" * 9999
    base = raw_service(answer, 0.001)
    with pytest.raises(InterfaceFailedError, match=r"takes too long|timed out"):
        metadata_service(base, deadline_s=0.2)("/a", None)


def test_files_of_the_kernel_are_read_whole_and_bounded(tmp_path: Path) -> None:
    """Whatever size they say they have; more than the limit is not read."""
    (tmp_path / "file").write_bytes(bytes(100))
    assert len(read_all(tmp_path / "file")) == 100
    with pytest.raises(OSError, match="more than 99 bytes"):
        read_all(tmp_path / "file", limit=99)
    assert read_optional(tmp_path / "file" / "below") is None
