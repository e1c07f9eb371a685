# SPDX-License-Identifier: Apache-2.0
"""What waiting for witnesses adds to a release, by how many wait together."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.support.crash_load import enact_small_policy
from tests.support.crash_process import Nursery
from tests.support.live import ACCORD, Board, Hardware, claim, make_genesis, service_pins

from accord.board import Witness, WitnessPolicy
from accord.client import AttestedService, Founding, MemberHome, TrustSession
from accord.encoding import Fields
from accord.identity import KeySigner, VerifyKey
from accord.ledger import AddCheckpoint, Checkpoint, MerkleTree, leaf_hash, sign_checkpoint, vkey
from accord.release import log_origin
from bench.report import Report, median
from bench.trust.scene import Place

TOGETHER = (1, 4, 16, 64)
NAMES = ("wit-a", "wit-b", "wit-c")
QUORUM = 2
WINDOW_MS = 20.0


def run(report: Report, folder: Path, hardware: Hardware, *, rounds: int) -> dict[int, float]:
    """Three witnesses, two of them a quorum, over loopback; a board without as the reference."""
    added = {}
    with ExitStack() as stack:
        server = stack.enter_context(Nursery(hardware.trust_host, folder / "strict"))
        url = server.start()
        _open_to_all(url, hardware, folder / "strict-owner")
        places = _places(stack, folder, hardware, url)
        round_trip = _round_trip_ms(folder)
        for together in TOGETHER:
            found: dict[str, list[float]] = {"strict": [], "solo": []}
            for kind in ("strict", "solo", "solo", "strict") * rounds:
                found[kind] += _releases(places[kind], together)
            samples = len(found["strict"])
            strict, solo = median(found["strict"]), median(found["solo"])
            added[together] = strict - solo
            samples = len(found["strict"])
            report.add_timing(
                f"strict.release.{together}",
                strict,
                unit="ms",
                samples=samples,
                reference=solo,
                target=None,
                note=f"median, {together} at a time; against a board without witnesses",
            )
            report.add(
                f"strict.added.{together}",
                added[together],
                unit="ms",
                samples=samples,
                target=WINDOW_MS + round_trip if together == 1 else None,
                note=f"round trip to the second of three witnesses: {round_trip:.1f} ms",
            )
    return added


def _open_to_all(url: str, hardware: Hardware, home: Path) -> None:
    owner = claim(url, hardware, home)
    with AttestedService.attest(url, service_pins(hardware)) as service:
        service.configure(owner, founding=Founding.ANYONE, max_boards=10, requests_per_s=1_000_000)


def _places(stack: ExitStack, folder: Path, hardware: Hardware, url: str) -> dict[str, Place]:
    ports = [_free_port() for _ in NAMES]
    policy = WitnessPolicy(
        tuple(
            Witness(name, name, _init(folder / name, name), f"http://127.0.0.1:{port}")
            for name, port in zip(NAMES, ports, strict=True)
        ),
        QUORUM,
        0,
    )
    places = {}
    for kind, witnesses in (("solo", None), ("strict", policy)):
        root = folder / f"board-{kind}"
        genesis, envelope = make_genesis(root, hardware, witnesses=witnesses)
        with TrustSession.attest(url, genesis) as session:
            if witnesses is not None:
                origin, key = log_origin(genesis.digest), session.keyset.verify_key
                for name, port in zip(NAMES, ports, strict=True):
                    _accord(
                        *("witness", "add", folder / name),
                        *("--vkey", vkey(origin, key), "--origin", origin),
                    )
                    stack.enter_context(_witness(folder / name, port))
            session.found(envelope)
        for name in ("ann", "bob"):
            MemberHome.join(root / name, genesis, url)
        enact_small_policy(Board(root, hardware, url, genesis, ("ann", "bob"), envelope))
        places[kind] = Place(url, genesis.digest, hardware.root)
    return places


def _init(home: Path, name: str) -> VerifyKey:
    _accord("witness", "init", home, "--name", name)
    fields = Fields(json.loads((home / "witness.json").read_bytes()), "witness")
    return VerifyKey(fields.data("key", size=32))


def _accord(*words: object) -> None:
    subprocess.run([*ACCORD, *map(str, words)], check=True, stdout=subprocess.DEVNULL)


@contextmanager
def _witness(home: Path, port: int) -> Iterator[None]:
    ready = home / "url"
    command = [*ACCORD, "witness", "serve", str(home), "--listen", f"127.0.0.1:{port}"]
    with subprocess.Popen([*command, "--url-file", str(ready)], stderr=sys.stderr) as process:
        deadline = time.monotonic() + 30
        while not ready.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        try:
            yield
        finally:
            process.send_signal(signal.SIGINT)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _releases(place: Place, together: int) -> list[float]:
    """So many shields at a time, over kept connections; each asks a few times."""
    times: list[float] = []
    barrier = threading.Barrier(together)

    def visit() -> None:
        shield = place.shield()
        with shield.connect() as session:
            shield.release(session)
            barrier.wait()
            for _ in range(max(3, 16 // together)):
                start = time.perf_counter()
                shield.release(session)
                times.append(1000 * (time.perf_counter() - start))

    threads = [threading.Thread(target=visit) for _ in range(together)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times


def _round_trip_ms(folder: Path) -> float:
    """What a witness takes here to check a tree that grew and to write it to its disk."""
    signer = KeySigner(Ed25519PrivateKey.generate())
    origin, tree, times = "bench.example/log", MerkleTree(), []
    home = folder / "wit-alone"
    _init(home, "wit-alone")
    port = _free_port()
    _accord(
        *("witness", "add", home, "--vkey", vkey(origin, signer.verify_key)),
        *("--origin", origin),
    )
    with _witness(home, port):
        http = HTTPConnection("127.0.0.1", port)
        for size in range(21):
            tree.append(leaf_hash(bytes(size)))
            head = Checkpoint(origin, size + 1, tree.root())
            note = sign_checkpoint(head, name=head.origin, signer=signer)
            body = AddCheckpoint(size, tree.consistency_proof(size), note).to_bytes()
            start = time.perf_counter()
            http.request("POST", "/add-checkpoint", body)
            http.getresponse().read()
            times.append(1000 * (time.perf_counter() - start))
        http.close()
    return median(times[1:])
