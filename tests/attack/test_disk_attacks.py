# SPDX-License-Identifier: Apache-2.0
"""What the operator of the trust service finds on disk and in the process table."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.live import (
    Board,
    Hardware,
    ServiceProcess,
    accord,
    copy_state,
    found_board,
    store_key,
)
from tests.support.wire import raw_exchange, statuses

from accord.client import load_ring_entry
from accord.encoding import Fields, base64_encode, parse_json
from accord.errors import SimulatorStateError
from accord.service import SQLiteStore

pytestmark = pytest.mark.e2e


def spellings(secret: bytes) -> tuple[bytes, ...]:
    """A secret as bytes, base64 and hex."""
    hexed = secret.hex().encode()
    return secret, base64_encode(secret).encode(), hexed, hexed.upper()


def service_secrets(hardware: Hardware, state: Path, scratch: Path) -> Iterator[bytes]:
    """The key of the store, and the trust service's own keys inside it."""
    key = store_key(hardware)
    yield key
    shutil.copytree(state, scratch)
    store = SQLiteStore(scratch / "state.db", key)
    try:
        fields = Fields(parse_json(store.setting("service-keys") or b"", what="keys"), "keys")
    finally:
        store.close()
    yield fields.data("sign", size=32)
    yield fields.data("seal", size=32)


def owner_secrets(board: Board) -> Iterator[bytes]:
    for name in board.names:
        identity = board.member(name).identity
        yield identity.signer.private_key.private_bytes_raw()
        yield identity.seal_private_key.private_bytes_raw()
    yield load_ring_entry(board.home("ann"), "data").key.raw


def test_neither_disk_nor_process_table_shows_a_secret(
    service: ServiceProcess, hardware: Hardware, tmp_path: Path
) -> None:
    """No key, no plaintext and no member's name is in any file or process entry of the service."""
    board = found_board(tmp_path / "board", hardware, service.start().url, names=("ann", "zebedee"))
    board.offer("ann", "data", text="patient 4711 is well\n")
    board.enact({"ann/data": str(load_ring_entry(board.home("ann"), "data").tag)})
    process = Path(f"/proc/{service.pid}")
    table = b"\0".join((process / name).read_bytes() for name in ("cmdline", "comm"))
    if os.geteuid() == 0:  # Its own user may not even look.
        table += b"\0" + (process / "environ").read_bytes()
    service.kill()
    files = [path for path in service.folder.rglob("*") if path.is_file()]
    secrets = [*owner_secrets(board)]
    secrets += service_secrets(hardware, service.state, tmp_path / "scratch")

    assert {"state.db", "log", "url"} <= {path.name for path in files}
    assert len(secrets) == 8
    whole = table + b"\0".join(path.read_bytes() for path in files)
    for secret in secrets:
        assert not [spelling for spelling in spellings(secret) if spelling in whole]
    for words in (b"patient", b"zebedee", b"ann/data", b"data-owner", b"BEGIN PRIVATE"):
        assert words not in whole


def test_the_log_of_a_service_under_fire_stays_quiet(
    service: ServiceProcess, hardware: Hardware, tmp_path: Path
) -> None:
    """Refused requests leave nothing in the log: neither their content nor a traceback."""
    url = service.start().url
    refusals = {
        "/v1/attest": (413, 422),
        "/v1/boards": (413, 422),
        "/v1/boards/canary/runs": (404,),
        "/canary": (404,),
    }
    for path, expected in refusals.items():
        for body in (b"", b"canary", b'{"board":"canary"}', b"[" * 50_000):
            head = f"POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
            head += f"Content-Length: {len(body)}\r\n\r\n"
            assert statuses(raw_exchange(url, head.encode() + body))[0] in expected
    raw_exchange(url, b"canary\r\n\r\n")
    service.stop()
    said = service.log.read_text()

    assert [word for word in ("Traceback", "canary", "board", "Error") if word in said] == []


def test_core_dumps_are_off(shared_service: ServiceProcess) -> None:
    """A core file would hold every key: the process may not write one."""
    assert resource.prlimit(shared_service.pid, resource.RLIMIT_CORE) == (0, 0)


def test_the_state_of_one_machine_does_not_open_on_another(
    service: ServiceProcess, hardware: Hardware, tmp_path: Path
) -> None:
    """A copy of the state folder is worth nothing on a machine with another sealing secret."""
    found_board(tmp_path / "board", hardware, service.start().url)
    service.stop()
    copy_state(service, tmp_path / "stolen")
    refused = accord(
        *("service", "run", "--simulated", hardware.compute_host),
        *("--state", tmp_path / "stolen", "--listen", "127.0.0.1:0", "--json"),
    )

    assert (refused.exit_code, refused.document["code"]) == (4, "accord-SVC-004")


def test_two_services_do_not_share_a_state(service: ServiceProcess, hardware: Hardware) -> None:
    """A second service on the same state is refused while the first one runs."""
    service.start()
    refused = accord(
        *("service", "run", "--simulated", hardware.trust_host),
        *("--state", service.state, "--listen", "127.0.0.1:0", "--json"),
    )

    assert (refused.exit_code, refused.document["code"]) == (1, "accord-SVC-003")


def test_changed_state_is_refused_at_the_start(
    service: ServiceProcess, hardware: Hardware, tmp_path: Path
) -> None:
    """A flipped bit in a stored record keeps the service from starting, with a reason."""
    found_board(tmp_path / "board", hardware, service.start().url)
    service.stop()
    database = sqlite3.connect(service.state / "state.db")
    with contextlib.closing(database), database:
        (sealed,) = database.execute("SELECT sealed FROM entry WHERE place = 1").fetchone()
        flipped = sealed[:-1] + bytes([sealed[-1] ^ 1])
        database.execute("UPDATE entry SET sealed = ? WHERE place = 1", (flipped,))
    refused = accord(
        *("service", "run", "--simulated", hardware.trust_host),
        *("--state", service.state, "--listen", "127.0.0.1:0", "--json"),
    )

    assert (refused.exit_code, refused.document["code"]) == (7, "accord-SVC-002")


def test_a_platform_that_others_can_read_is_refused(hardware: Hardware, tmp_path: Path) -> None:
    """A simulated machine whose secrets are open to everybody is not used."""
    shutil.copytree(hardware.trust_host, tmp_path / "host")
    (tmp_path / "host" / "platform.secret.json").chmod(0o644)
    refused = accord(
        *("service", "run", "--simulated", tmp_path / "host"),
        *("--state", tmp_path / "state", "--listen", "127.0.0.1:0", "--json"),
    )

    assert (refused.exit_code, refused.document["code"]) == (4, "accord-ID-002")


def test_a_damaged_platform_is_refused_in_words(tmp_path: Path) -> None:
    """A folder that is no simulated machine is a usage error, not a failure."""
    refused = accord(
        *("service", "run", "--simulated", tmp_path),
        *("--state", tmp_path / "state", "--listen", "127.0.0.1:0", "--json"),
    )

    assert SimulatorStateError.code == refused.document["code"]
