# SPDX-License-Identifier: Apache-2.0
"""Real parts for system tests: simulated machines, trust services, boards and their members."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from starlette.types import ASGIApp

from accord.board import Choice, EnactPolicy, Genesis, Terms, WitnessPolicy
from accord.channel import TLSIdentity
from accord.client import (
    AttestedService,
    MemberHome,
    ServiceClaim,
    ServicePins,
    TrustSession,
    find_proposal,
    offer_asset,
    propose,
    seal_asset,
    vote,
)
from accord.encoding import Envelope, Fields, canonical_json, format_time
from accord.evidence import Role
from accord.identity import (
    FileIdentity,
    Keyset,
    KeySigner,
    PublicIdentity,
    SealKey,
    sign_statement,
)
from accord.policy import AttestationVariant, Policy
from accord.release import ReleaseRequest, shield_binding
from accord.service import (
    STORE_LABEL,
    MemoryStore,
    MonotonicCounter,
    Store,
    TrustService,
    create_app,
)
from accord.service._server import server_config
from accord.testing import (
    SimulatedPlatform,
    SimulatedTDX,
    SimulatedVendor,
    simulated_measurements,
)

ACCORD = (sys.executable, "-m", "accord")
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 15.0
EVERYBODY = {"policy.enact": {"all": ["affected_owners", "role:code-owner"]}}


@dataclass(frozen=True)
class Finished:
    """How a command ended, and everything that it said."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """Standard output as the one JSON document that it must be."""
        return json.loads(self.stdout)


def accord(
    *arguments: object,
    cwd: Path | None = None,
    stdin: str | None = None,
    environment: Mapping[str, str] | None = None,
    program: tuple[str, ...] = ACCORD,
) -> Finished:
    """Runs ``accord …`` as a process of its own."""
    done = subprocess.run(
        [*program, *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        input=stdin if stdin is not None else "",
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    return Finished(done.returncode, done.stdout, done.stderr)


@dataclass(frozen=True)
class Hardware:
    """One simulated vendor and two machines of it, in folders."""

    root: Path

    @classmethod
    def create(cls, root: Path) -> Hardware:
        SimulatedVendor.create(root / "vendor")
        for name in ("trust-host", "compute-host"):
            SimulatedPlatform.create(root / name, root / "vendor")
        return cls(root)

    @property
    def trust_host(self) -> Path:
        return self.root / "trust-host"

    @property
    def compute_host(self) -> Path:
        return self.root / "compute-host"

    def attester(self, role: Role, **registers: bytes) -> SimulatedTDX:
        """An environment of this installation's code, with some registers changed."""
        home = self.trust_host if role is Role.SERVICE else self.compute_host
        measured = {**simulated_measurements(role), **registers}
        return SimulatedPlatform.load(home).attester(measured)


def reference(hardware: Hardware, role: Role) -> dict[str, Any]:
    """What `accord attest reference` prints: trust anchor and variant of this installation."""
    measured = simulated_measurements(role)
    named = {name: [measured[name].hex()] for name in ("mrtd", "rtmr0", "mrconfigid")}
    anchor = SimulatedPlatform.load(hardware.trust_host).vendor.root_digest
    variant = {"family": "tdx", "simulated": True, "measurements": named}
    return {"anchors": [anchor], "attestation": [variant]}


@dataclass
class ServiceProcess:
    """A trust service as its operator runs it, in a folder that the operator can read."""

    hardware: Hardware
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    url: str = ""
    claims: bool = True
    """Whether its owner, whose home is below its folder, claims it as soon as it runs."""

    database: str | None = None
    """PostgreSQL's connection string, instead of a folder for its state."""

    options: tuple[str, ...] = ()
    """More words for its command line."""

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def pid(self) -> int:
        if self.process is None:
            message = "the service was not started"
            raise RuntimeError(message)
        return self.process.pid

    def start(self) -> ServiceProcess:
        """Starts it, waits until it accepts connections, and has its owner claim it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        url_file = self.folder / "url"
        url_file.unlink(missing_ok=True)
        arguments = ["service", "run", "--simulated", str(self.hardware.trust_host)]
        arguments += (
            ["--database", self.database] if self.database else ["--state", str(self.state)]
        )
        arguments += ["--listen", "127.0.0.1:0", "--allow-private-peers", *self.options]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*ACCORD, *arguments, "--url-file", str(url_file)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not url_file.exists():
            if time.monotonic() > deadline or self.process.poll() is not None:
                message = f"the service did not start: {self.log.read_text()}"
                raise RuntimeError(message)
            time.sleep(0.02)
        self.url = url_file.read_text()
        if self.claims:
            claim(self.url, self.hardware, self.folder / "owner")
        return self

    def end(self, number: signal.Signals) -> int:
        """Sends it a signal and waits for its end."""
        if self.process is None:
            return 0
        self.process.send_signal(number)
        return self.process.wait(timeout=STOP_TIMEOUT_S)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.end(signal.SIGINT)

    def kill(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.end(signal.SIGKILL)

    def restart(self) -> None:
        """Stops it and starts it again, at another address."""
        self.stop()
        self.start()


def service_pins(hardware: Hardware) -> ServicePins:
    """What anybody can know of a trust service of this installation's code."""
    known = reference(hardware, Role.SERVICE)
    variants = [
        AttestationVariant.from_fields(Fields(item, "service")) for item in known["attestation"]
    ]
    return ServicePins(tuple(known["anchors"]), tuple(variants))


def claim(url: str, hardware: Hardware, home: Path) -> FileIdentity:
    """Claims the service for an owner in ``home``; again, nothing happens."""
    owner = FileIdentity.create(home, "owner")
    with AttestedService.attest(url, service_pins(hardware)) as service:
        service.claim(owner)
    return owner


@dataclass
class Board:
    """A founded board: its members' homes, its storage, and where its trust service is."""

    root: Path
    hardware: Hardware
    url: str
    genesis: Genesis
    names: tuple[str, ...]
    envelope: Envelope
    storage: Path = field(init=False)

    def __post_init__(self) -> None:
        self.storage = self.root / "storage"

    @property
    def path(self) -> str:
        return "/v1/boards/" + self.genesis.digest.removeprefix("sha256:")

    def home(self, name: str) -> Path:
        return self.root / name

    def member(self, name: str) -> MemberHome:
        return MemberHome.load(self.home(name), service=self.url)

    def offer(self, owner: str, name: str, *, max_uses: int = 1000, text: str = "1,2,3\n") -> str:
        """Seals an asset of one file and offers it; returns its tag."""
        source = self.root / f"source-{owner}-{name}"
        source.mkdir(exist_ok=True)
        (source / "file.txt").write_text(text)
        version = seal_asset(self.home(owner), name, source, self.storage)
        member = self.member(owner)
        with member.connect() as session:
            _, machine, _ = member.read(session)
            offer_asset(member, session, machine, name, terms(max_uses=max_uses), volume=name)
        return str(version.tag)

    def policy(self, tags: Mapping[str, str], *, command: tuple[str, ...] = ("true",)) -> Policy:
        """A policy named ``job`` over these assets, for this installation's shield."""
        document = {
            "schema": "accord.policy.v1",
            "name": "job",
            "purpose": "testing",
            "services": {
                "train": {
                    "attestation": reference(self.hardware, Role.SHIELD)["attestation"],
                    "command": list(command),
                    "environment": {},
                    "network": "none",
                    "timeout_s": 60,
                    "inputs": [
                        {"asset": asset, "tag": tag, "at": "/in/" + asset.replace("/", "-")}
                        for asset, tag in tags.items()
                    ],
                    "outputs": [
                        {"name": "model", "at": "/out/model", "readers": [self.names[0]]},
                    ],
                }
            },
        }
        return Policy.from_json(document)

    def propose(self, author: str, policy: Policy, *, title: str = "a job") -> str:
        """Proposes a policy and returns the proposal's id."""
        member, now = self.member(author), datetime.now(UTC)
        with member.connect() as session:
            _, machine, _ = member.read(session)
            return propose(
                member,
                session,
                machine,
                actions=(EnactPolicy(policy),),
                title=title,
                now=now,
                expires=now + timedelta(days=1),
            )

    def vote(self, proposal: str, *voters: str, choice: Choice = Choice.APPROVE) -> None:
        for name in voters:
            member = self.member(name)
            with member.connect() as session:
                _, machine, _ = member.read(session)
                vote(member, session, find_proposal(machine, proposal), choice)

    def enact(self, tags: Mapping[str, str], *, command: tuple[str, ...] = ("true",)) -> Policy:
        """Proposes a policy over these assets and lets everybody approve it."""
        policy = self.policy(tags, command=command)
        self.vote(self.propose(self.names[0], policy), *self.names)
        return policy

    def request(self, session: TrustSession, *, nonce: bytes | None = None) -> ReleaseRequest:
        """An honest shield's request for the service ``train`` of the policy ``job``."""
        return release_request(self, self.hardware.attester(Role.SHIELD), session, nonce=nonce)


def release_request(
    board: Board, attester: SimulatedTDX, session: TrustSession, *, nonce: bytes | None = None
) -> ReleaseRequest:
    """A request by ``attester``; its keys are made here and thrown away."""
    signer = KeySigner(Ed25519PrivateKey.generate())
    seal = SealKey(X25519PrivateKey.generate().public_key().public_bytes_raw())
    keyset = Keyset(signer.verify_key, seal)
    nonce = nonce if nonce is not None else session.challenge()
    binding = shield_binding(board.genesis.digest, "job", "train", keyset, nonce)
    evidence = attester.collect(binding.report_data())
    return ReleaseRequest(board.genesis.digest, "job", "train", keyset, nonce, evidence)


def terms(*, max_uses: int = 1000) -> Terms:
    return Terms.from_fields(Fields(terms_document(max_uses=max_uses), "terms"))


def terms_document(*, max_uses: int = 1000) -> dict[str, Any]:
    return {
        "policies": ["job"],
        "purposes": ["testing"],
        "readers": ["ann"],
        "min_assurance": "simulated",
        "network": "none",
        "max_uses": max_uses,
        "not_after": "2100-01-01T00:00:00Z",
    }


def make_genesis(
    root: Path,
    hardware: Hardware,
    *,
    names: tuple[str, ...] = ("ann", "bob"),
    constitution: Mapping[str, Any] = EVERYBODY,
    extra: Mapping[str, Mapping[str, Any]] | None = None,
    witnesses: WitnessPolicy | None = None,
) -> tuple[Genesis, Envelope]:
    """Identities below ``root`` and the genesis that all of them signed; nothing is founded.

    ``extra`` holds, by member, further fields of a charter's member.
    """
    people = [FileIdentity.create(root / name, name) for name in names]
    known = reference(hardware, Role.SERVICE)
    roles = ["data-owner", *["code-owner"] * (len(names) - 1)]
    genesis = Genesis.from_json(
        {
            "schema": "accord.genesis.v1",
            "name": "board",
            "founded": format_time(datetime.now(UTC)),
            "members": [
                {
                    "identity": person.public.to_json(),
                    "roles": [role],
                    **(extra or {}).get(person.public.name, {}),
                }
                for person, role in zip(people, roles, strict=True)
            ],
            "constitution": dict(constitution),
            "anchors": known["anchors"],
            "service": known["attestation"],
            **(
                {"freshness": "solo"}
                if witnesses is None
                else {"freshness": "witnessed", "witnesses": witnesses.to_json()}
            ),
        }
    )
    envelope = sign_statement("genesis", genesis.to_json(), [item.signer for item in people])
    return genesis, envelope


def found_board(
    root: Path, hardware: Hardware, url: str, *, names: tuple[str, ...] = ("ann", "bob")
) -> Board:
    """A new board at the service at ``url``, with the members' homes below ``root``."""
    genesis, envelope = make_genesis(root, hardware, names=names)
    with TrustSession.attest(url, genesis) as session:
        session.found(envelope)
    for name in names:
        MemberHome.join(root / name, genesis, url)
    return Board(root, hardware, url, genesis, names, envelope)


def make_service(
    attester: SimulatedTDX,
    *,
    store: Store | None = None,
    tls_spki_sha256: bytes = bytes(32),
    claimed: bool = True,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    counter: MonotonicCounter | None = None,
) -> TrustService:
    """A trust service in this process."""
    service = TrustService(
        store=store or MemoryStore(),
        attester=attester,
        tls_spki_sha256=tls_spki_sha256,
        clock=clock,
        entropy=os.urandom,
        allow_private_peers=True,
        counter=counter,
    )
    if claimed:
        asyncio.run(service.claim(owner_claim(service)))
    return service


OWNER = KeySigner(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
"""Owns every service in this process, so that a restarted one finds its owner again."""


def owner_claim(service: TrustService, signer: KeySigner = OWNER) -> Envelope:
    """The claim of a service by the holder of ``signer``."""
    seal = SealKey(
        X25519PrivateKey.from_private_bytes(bytes(range(32))).public_key().public_bytes_raw()
    )
    owner = PublicIdentity("owner", signer.verify_key, seal)
    now = datetime.now(UTC).replace(microsecond=0)
    document = ServiceClaim(service.keyset.verify_key.key_id, owner, now)
    return sign_statement("service-claim", document.to_json(), [signer])


@contextlib.contextmanager
def service_in_thread(
    attester: SimulatedTDX, *, claimed: TLSIdentity | None = None
) -> Iterator[str]:
    """A trust service of any code over real TLS; ``claimed`` is the key its evidence names."""
    tls = TLSIdentity.generate()
    service = make_service(attester, tls_spki_sha256=(claimed or tls).spki_sha256)
    with running_app(create_app(service), tls) as url:
        yield url


@contextlib.contextmanager
def running_app(app: ASGIApp, tls: TLSIdentity, *, port: int = 0) -> Iterator[str]:
    """The application over real TLS, served by a thread, at the URL."""
    server = uvicorn.Server(server_config(app, tls))
    with socket.create_server(("127.0.0.1", port)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def store_key(hardware: Hardware) -> bytes:
    """The key of the trust service's store, as only its TEE can derive it."""
    return hardware.attester(Role.SERVICE).seal_key(STORE_LABEL)


def copy_state(service: ServiceProcess, target: Path) -> None:
    """The operator keeps a copy of everything that a stopped service has on its disk."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(service.state, target)


def canonical(value: object) -> bytes:
    return canonical_json(value)
