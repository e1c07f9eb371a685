# SPDX-License-Identifier: Apache-2.0
"""The Key Broker protocol over real TLS, and as an option of the service's process."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import httpx
import pytest
from tests.support.kbs import PATH, SECRET, GuestBoard, GuestProgram
from tests.support.live import ACCORD, Hardware, running_app

START_TIMEOUT_S = 30


def test_a_client_with_a_cookie_jar_over_tls(hardware: Hardware, tmp_path: Path) -> None:
    """As guests do: the jar keeps a secure cookie, sends it back, and takes the second one."""
    board = GuestBoard(hardware, tmp_path)
    board.guests()
    guest = GuestProgram(board, board.collect)
    with running_app(board.app, board.tls) as url, httpx.Client(verify=False, base_url=url) as web:  # noqa: S501 - the protocol's secrets do not rest on TLS
        request = {"version": "0.4.0", "tee": "tdx", "extra-params": ""}
        guest.nonce = web.post("/kbs/v0/auth", json=request).json()["nonce"]
        attested = web.post("/kbs/v0/attest", json=guest.attestation())
        fetched = [web.get(PATH) for _ in range(2)]

    assert attested.status_code == 200
    assert [guest.opened(answer) for answer in fetched] == [SECRET, SECRET]


@pytest.mark.e2e
@pytest.mark.parametrize("on", [True, False])
def test_the_operator_switches_it_on(hardware: Hardware, tmp_path: Path, *, on: bool) -> None:
    """Without ``--kbs-board`` the routes are not there."""
    url_file, log = tmp_path / "url", tmp_path / "log"
    command = [*ACCORD, "service", "run", "--simulated", hardware.trust_host]
    command += ["--state", tmp_path / "state", "--listen", "127.0.0.1:0", "--url-file", url_file]
    if on:
        command += ["--kbs-board", "sha256:" + "0" * 64, "--kbs-collateral", tmp_path / "cache"]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*map(str, command)], stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )
        try:
            deadline = time.monotonic() + START_TIMEOUT_S
            while not url_file.exists():
                assert time.monotonic() < deadline, log.read_text()
                assert process.poll() is None, log.read_text()
                time.sleep(0.05)
            request = {"version": "0.4.0", "tee": "tdx", "extra-params": ""}
            with httpx.Client(verify=False, base_url=url_file.read_text()) as web:  # noqa: S501
                begun = web.post("/kbs/v0/auth", json=request)
                nowhere = web.post("/kbs/v0/attest", json={})
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=20)

    assert [begun.status_code, nowhere.status_code] == ([200, 422] if on else [404, 404])
