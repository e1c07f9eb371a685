# SPDX-License-Identifier: Apache-2.0
"""A guest that speaks the Key Broker protocol, written from its text and not from our server."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap
from starlette.applications import Starlette

from accord.board import Genesis
from accord.collateral import CollateralCache, certify, recognise
from accord.evidence import Evidence, Role
from accord.identity import sign_statement
from accord.policy import Policy
from accord.service import create_app
from accord.service.kbs import KeyBroker
from accord.testing import SimulatedPlatform, SimulatedSNP
from tests.support.live import make_genesis
from tests.support.served import Served

SECRET = b"the guest's secret"
PATH = "/kbs/v0/resource/job/train/seed"
OAEP = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)

Collect = Callable[[bytes], Evidence]


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def data(given: str) -> bytes:
    return base64.urlsafe_b64decode(given + "=" * (-len(given) % 4))


def sorted_json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def quote_document(evidence: Evidence) -> dict[str, Any]:
    """What the TDX attester of guest components writes."""
    return {"cc_eventlog": None, "quote": base64.b64encode(evidence.blob).decode()}


def report_document(evidence: Evidence, *, newer: bool = False) -> dict[str, Any]:
    """What the SEV-SNP attester of guest components writes, in either spelling."""
    raw = evidence.blob

    def number(at: int, size: int) -> int:
        return int.from_bytes(raw[at : at + size], "little")

    def tcb(at: int) -> dict[str, Any]:
        names = {"bootloader": 0, "tee": 1, "snp": 6, "microcode": 7}
        found: dict[str, Any] = {name: raw[at + index] for name, index in names.items()}
        return {**found, "fmc": None} if newer else {**found, "_reserved": [0] * 4}

    def version(name: str, at: int) -> dict[str, Any]:
        parts = dict(zip(("build", "minor", "major"), raw[at : at + 3], strict=True))
        if newer:
            return {name: parts}
        return {f"{name}_{part}": value for part, value in parts.items()}

    report: dict[str, Any] = {
        "version": number(0, 4),
        "guest_svn": number(4, 4),
        "policy": number(8, 8),
        "vmpl": number(0x30, 4),
        "sig_algo": number(0x34, 4),
        "plat_info": number(0x40, 8),
        ("key_info" if newer else "_author_key_en"): number(0x48, 4),
        "cpuid_fam_id": raw[0x188],
        "cpuid_mod_id": raw[0x189],
        "cpuid_step": raw[0x18A],
        "launch_mit_vector": number(0x1F8, 8) or None,
        "current_mit_vector": number(0x200, 8) or None,
        "signature": {"r": [*raw[0x2A0:0x2E8]], "s": [*raw[0x2E8:0x330]]},
        **version("current", 0x1E8),
        **version("committed", 0x1EC),
    }
    for name, at in {
        "current": 0x38,
        "reported": 0x180,
        "committed": 0x1E0,
        "launch": 0x1F0,
    }.items():
        report[f"{name}_tcb"] = tcb(at)
    spans = {
        "family_id": (0x10, 16),
        "image_id": (0x20, 16),
        "report_data": (0x50, 64),
        "measurement": (0x90, 48),
        "host_data": (0xC0, 32),
        "id_key_digest": (0xE0, 48),
        "author_key_digest": (0x110, 48),
        "report_id": (0x140, 32),
        "report_id_ma": (0x160, 32),
        "chip_id": (0x1A0, 64),
    }
    report |= {name: [*raw[at : at + size]] for name, (at, size) in spans.items()}
    chain: list[dict[str, Any]] = [
        {"cert_type": name.upper(), "data": [*der]} for name, der in evidence.endorsements.items()
    ]
    chain.append({"cert_type": {"OTHER": "00000000-0000-0000-0000-000000000000"}, "data": [1]})
    return {"attestation_report": report, "cert_chain": chain}


@dataclass
class GuestBoard(Served):
    """A board whose service answers guests; two vendors' roots are trusted."""

    snp: SimulatedSNP | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.snp is not None:
            document = make_genesis(self.root / "both", self.hardware)[0].to_json()
            document["anchors"] += [self.snp.root_digest]
            self.root = self.root / "both"
            self.genesis = Genesis.from_json(document)
            signers = [self.identity(name).signer for name in ("ann", "bob")]
            self.envelope = sign_statement("genesis", document, signers)
            self.host = asyncio.run(self.service.found(self.envelope))
        self.app = self.make_app()

    def make_app(self) -> Starlette:
        """The application, with the endorsements of the simulated vendor."""
        cache = CollateralCache(self.root / "collateral")
        vendor = SimulatedPlatform.load(self.hardware.compute_host).vendor
        bundle = json.dumps(vendor.collateral.to_json()).encode()
        cache.add(certify(recognise(bundle, what="bundle"), anchors=[vendor.root_digest]))
        return self.make_app_with(cache)

    def make_app_with(self, cache: CollateralCache | None) -> Starlette:
        return create_app(self.service, broker=KeyBroker(self.service, self.board, cache=cache))

    def guests(self, **changes: Any) -> Policy:
        """Enacts a policy whose service hands ``seed``, which ann deposited, and ``made``."""
        if "ann/key" not in self.host.machine.board.assets:
            self.deposit("key", SECRET, max_uses=changes.pop("max_uses", 1000))
        secrets = {
            "seed": {"kind": "asset", "asset": "ann/key"},
            "made": {"kind": "binary", "size": 24},
            "other": {"kind": "ascii"},
        }
        train = {
            "channel": "L0",
            "environment": {"SEED": "{{ accord.seed }}", "MADE": "{{ accord.made }}"},
            **changes.pop("train", {}),
        }
        policy = self.policy(
            secrets={**secrets, **changes.pop("secrets", {})}, train=train, **changes
        )
        self.enact(policy)
        return policy

    def collect(self, report_data: bytes) -> Evidence:
        return self.hardware.attester(Role.SHIELD).collect(report_data)

    def call(
        self,
        method: str,
        path: str,
        document: object = None,
        *,
        cookie: str | None = None,
        **raw: Any,
    ) -> httpx.Response:
        headers = {} if cookie is None else {"Cookie": f"kbs-session-id={cookie}"}
        if document is not None:
            raw["content"] = json.dumps(document).encode()
            headers["Content-Type"] = "application/json"

        async def run() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="https://kbs") as client:
                return await client.request(method, path, headers=headers, **raw)

        return asyncio.run(run())


@dataclass
class GuestProgram:
    """A guest: its key, its cookie, and the four steps of the protocol."""

    board: GuestBoard
    collect: Collect
    tee: str = "tdx"
    version: str = "0.4.0"
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    document: Callable[[Evidence], Mapping[str, Any]] = quote_document
    devices: str = ""
    nonce: str = ""
    cookie: str | None = None

    def public(self) -> dict[str, str]:
        if isinstance(self.key, rsa.RSAPrivateKey):
            numbers = self.key.public_key().public_numbers()
            n = text(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8))
            return {"kty": "RSA", "alg": "RSA-OAEP-256", "n": n, "e": "AQAB"}
        point, size = self.key.public_key().public_numbers(), (self.key.curve.key_size + 7) // 8
        return {
            "kty": "EC",
            "crv": f"P-{self.key.curve.key_size}",
            "alg": "ECDH-ES+A256KW",
            "x": text(point.x.to_bytes(size)),
            "y": text(point.y.to_bytes(size)),
        }

    def keep(self, answer: httpx.Response) -> httpx.Response:
        self.cookie = answer.cookies.get("kbs-session-id", self.cookie)
        return answer

    def begin(self, extra: object = "") -> httpx.Response:
        request = {"version": self.version, "tee": self.tee, "extra-params": extra}
        answer = self.keep(self.board.call("POST", "/kbs/v0/auth", request))
        self.nonce = answer.json().get("nonce", "")
        return answer

    def attestation(self, **changes: Any) -> dict[str, Any]:
        """What the guest shows; ``changes`` replaces what the evidence is bound to."""
        runtime: dict[str, Any] = {"nonce": self.nonce, "tee-pubkey": self.public()}
        bound = {**runtime, **changes}
        if self.version == "0.4.0":
            bound["additional-evidence"] = self.devices
        digest = hashlib.sha384(sorted_json(bound)).digest()
        evidence = dict(self.document(self.collect(digest.ljust(64, b"\0"))))
        if self.version == "0.1.1":
            return {"tee-pubkey": self.public(), "tee-evidence": evidence}
        composite = {"primary_evidence": evidence, "additional_evidence": self.devices}
        return {"runtime-data": runtime, "tee-evidence": composite}

    def show(self, attestation: object) -> httpx.Response:
        return self.keep(self.board.call("POST", "/kbs/v0/attest", attestation, cookie=self.cookie))

    def attest(self) -> httpx.Response:
        assert self.begin().status_code == 200
        return self.show(self.attestation())

    def fetch(self, path: str = PATH) -> httpx.Response:
        return self.board.call("GET", path, cookie=self.cookie)

    def opened(self, answer: httpx.Response) -> bytes:
        """What a fetched resource holds, as the guest's library reads it."""
        message = answer.json()
        header = json.loads(data(message["protected"]))
        # The library writes the header anew: two names first, the others sorted, no spaces.
        named = {name: header.pop(name) for name in ("alg", "enc")}
        others = json.loads(sorted_json(header))
        again = json.dumps({**named, **others}, separators=(",", ":")).encode()
        wrapped = data(message["encrypted_key"])
        if isinstance(self.key, rsa.RSAPrivateKey):
            content_key = self.key.decrypt(wrapped, OAEP)
        else:
            content_key = aes_key_unwrap(self._agreed(header["epk"], named["alg"]), wrapped)
        sealed = data(message["ciphertext"]) + data(message["tag"])
        aad = text(again).encode()
        return AESGCM(content_key).decrypt(data(message["iv"]), sealed, aad)

    def _agreed(self, epk: Mapping[str, str], algorithm: str) -> bytes:
        """RFC 7518, 4.6.2, without party information."""
        assert isinstance(self.key, ec.EllipticCurvePrivateKey)
        x, y = (int.from_bytes(data(epk[name])) for name in ("x", "y"))
        public = ec.EllipticCurvePublicNumbers(x, y, self.key.curve).public_key()
        label = struct.pack(">I", len(algorithm)) + algorithm.encode()
        info = label + struct.pack(">III", 0, 0, 256)
        return ConcatKDFHash(hashes.SHA256(), 32, info).derive(self.key.exchange(ec.ECDH(), public))


def refused(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a refusal in the protocol's form."""
    document = answer.json()
    assert document.keys() == {"type", "detail"}
    return answer.status_code, document["type"].removeprefix("urn:accord:error:")
