# SPDX-License-Identifier: Apache-2.0
"""Makes the evidence vectors: one flaw per folder, from a fixed seed, byte for byte again.

``python tests/vectors/evidence/generate.py`` writes them; a test fails where they differ.
The keys follow from the seed below and are public: they protect nothing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from accord.encoding import Digest, format_time, sha256
from accord.evidence import Binding, Evidence, Purpose, Role
from accord.evidence.intel import Collateral
from accord.policy import Family
from accord.testing import _pki, _quote

HERE = Path(__file__).parent
NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
ISSUED = NOW - timedelta(days=1)
PPID = bytes(range(16))
INTEL_ROOT = Digest("sha256:44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3")


def test_key(label: str) -> ec.EllipticCurvePrivateKey:
    """A P-256 key that anybody can derive."""
    seed = hashlib.sha256(f"accord evidence vectors, test key {label}".encode()).digest()
    return ec.derive_private_key(int.from_bytes(seed, "big") >> 1, ec.SECP256R1())


@dataclass(frozen=True)
class World:
    """A vendor and one of its platforms."""

    keys: _pki.VendorKeys
    certificates: _pki.VendorCertificates
    pck: ec.EllipticCurvePrivateKey
    attestation: ec.EllipticCurvePrivateKey
    pck_chain: bytes

    @classmethod
    def make(cls, name: str) -> World:
        roles = ("root", "pck_ca", "tcb_signer")
        keys = _pki.VendorKeys(*(test_key(f"{name}/{role}") for role in roles))
        certificates = _pki.VendorCertificates.issue(keys, now=ISSUED)
        pck = test_key(f"{name}/pck")
        chain = _pki.issue_pck(keys, certificates, pck, ppid=PPID, now=ISSUED)
        return cls(keys, certificates, pck, test_key(f"{name}/attestation"), chain)

    @property
    def root(self) -> Digest:
        return sha256(self.certificates.root.public_bytes(Encoding.DER))

    def collateral(self, **changes: Any) -> Collateral:
        return _pki.issue_collateral(self.keys, self.certificates, **{"now": ISSUED, **changes})

    def certification(self, tee: Family = Family.TDX) -> bytes:
        return _quote.certify(self.pck, self.attestation, self.pck_chain, tee=tee)

    def sgx_quote(self, report_data: bytes, **changes: Any) -> bytes:
        return _quote.write_sgx_quote(
            _quote.sgx_report(enclave(), report_data, **changes),
            attestation=self.attestation,
            certification=self.certification(Family.SGX),
        )

    def quote(self, report_data: bytes, **changes: Any) -> bytes:
        certification = changes.pop("certification", self.certification())
        return _quote.write_quote(
            changes.pop("measurements", measurements()),
            report_data,
            attestation=self.attestation,
            certification=certification,
            **changes,
        )

    def sign_again(self, collateral: Collateral, field: str, old: str, new: str) -> Collateral:
        """``collateral`` in which the vendor itself wrote something else."""
        text = getattr(collateral, field)
        if old not in text:
            raise LookupError(old)
        text = text.replace(old, new)
        signature = _pki.raw_signature(self.keys.tcb_signer, text.encode())
        return dataclasses.replace(collateral, **{field: text, f"{field}_signature": signature})


def measurements() -> dict[str, bytes]:
    return {
        name: hashlib.sha384(f"vector {name}".encode()).digest() for name in _quote.TDX_REGISTERS
    }


def enclave() -> dict[str, bytes]:
    """What an enclave is measured by."""
    return {
        name: hashlib.sha256(f"vector {name}".encode()).digest()
        for name in ("mrenclave", "mrsigner")
    }


def binding(**changes: Any) -> Binding:
    fields: dict[str, Any] = {
        "purpose": Purpose.RELEASE,
        "role": Role.SHIELD,
        "nonce": bytes(range(32)),
        "spki_sha256": hashlib.sha256(b"vector key").digest(),
        "tls_exporter": None,
        "claims_digest": bytes(32),
    }
    return Binding(**{**fields, **changes})


@dataclass(frozen=True)
class Vector:
    """Evidence, what a verifier was asked, and the only right answer."""

    name: str
    text: str
    evidence: Evidence
    anchors: tuple[Digest, ...]
    binding: Binding
    expected: dict[str, str]
    now: datetime = NOW

    @property
    def collateral(self) -> Collateral:
        return Collateral.from_endorsements(self.evidence.endorsements)

    def files(self) -> dict[str, bytes]:
        request = {
            "anchors": list(self.anchors),
            "now": format_time(self.now),
            "binding": {
                "purpose": self.binding.purpose.value,
                "role": self.binding.role.value,
                "nonce": self.binding.nonce.hex(),
                "spki_sha256": self.binding.spki_sha256.hex(),
                "tls_exporter": self.binding.tls_exporter and self.binding.tls_exporter.hex(),
                "claims_digest": self.binding.claims_digest.hex(),
                "report_data": self.binding.report_data().hex(),
            },
            "expected": self.expected,
        }
        return {
            "README.md": f"# {self.name}\n\n{self.text}\n".encode(),
            "evidence.json": self.evidence.to_bytes(),
            "request.json": json.dumps(request, indent=2).encode() + b"\n",
        }


class Maker:
    """Makes vectors that differ from the good one in one thing."""

    def __init__(self) -> None:
        self.world, self.other = World.make("vendor"), World.make("look-alike vendor")
        self.data = binding().report_data()

    def vector(self, name: str, text: str, error: str, **changes: Any) -> Vector:
        """``error`` is the code's number, or the TCB status where the evidence is good."""
        world = changes.get("world", self.world)
        good = not error.isdigit()
        family = changes.get("family", Family.TDX)
        return Vector(
            name=name if good else f"{name}_fail",
            text=text,
            evidence=Evidence(
                family,
                changes.get("blob", world.quote(self.data)),
                changes.get("collateral", world.collateral(tee=family)).to_endorsements(),
            ),
            anchors=changes.get("anchors", (self.world.root,)),
            binding=changes.get("binding", binding()),
            expected={"tcb_status": error} if good else {"error": f"accord-ATT-{error}"},
        )

    def good(self) -> Iterator[Vector]:
        make, world = self.vector, self.world
        yield make("valid", "Everything is right.", "UpToDate")
        padded = world.quote(self.data) + bytes(39)
        yield make(
            "zero_padding", "Zeros follow the quote: platforms do that.", "UpToDate", blob=padded
        )
        old = world.quote(self.data, tee_tcb_svn=bytes((2, *_pki.TEE_TCB_SVN[1:])))
        yield make("old_tdx_module", "The TDX module is out of date.", "OutOfDate", blob=old)
        tls = binding(tls_exporter=bytes(32))
        yield make(
            "tls_exporter",
            "Bound to a TLS connection as well.",
            "UpToDate",
            blob=world.quote(tls.report_data()),
            binding=tls,
        )

    def bodies(self) -> Iterator[Vector]:
        """Everything else that verifies; whether it suffices is appraisal's to say."""
        make, world = self.vector, self.world
        blob = world.quote(self.data)
        yield make("trailing_bytes", "Text follows the quote.", "UpToDate", blob=blob + b"text")
        older = world.quote(self.data, version=5)
        yield make("version_5_body_10", "Quote version 5, TD report 1.0.", "UpToDate", blob=older)
        newer = world.quote(self.data, version=5, td_report="1.5")
        yield make("version_5_body_15", "Quote version 5, TD report 1.5.", "UpToDate", blob=newer)
        served = world.quote(self.data, version=5, td_report="1.5", mrservicetd=b"\1" * 48)
        yield make("service_td", "A service TD may act on it: a claim.", "UpToDate", blob=served)
        relaunch = world.quote(
            self.data,
            version=5,
            td_report="1.5",
            tee_tcb_svn=bytes((2, *_pki.TEE_TCB_SVN[1:])),
        )
        yield make(
            "relaunch_advised",
            "The TDX module was updated under the running environment.",
            "TDRelaunchAdvised",
            blob=relaunch,
        )
        weak = world.quote(self.data, td_attributes=0)
        yield make("sept_ve_enabled", "The host can inject #VE: a claim.", "UpToDate", blob=weak)
        moving = world.quote(self.data, td_attributes=_quote.SEPT_VE_DISABLE | 1 << 29)
        yield make("migratable", "It can move to another host: a claim.", "UpToDate", blob=moving)

    def enclaves(self) -> Iterator[Vector]:
        make, world, sgx = self.vector, self.world, Family.SGX
        blob = world.sgx_quote(self.data)
        yield make("sgx_valid", "An SGX enclave.", "UpToDate", blob=blob, family=sgx)
        yield make(
            "sgx_tdx_collateral",
            "The vendor's collateral for TDX does not serve SGX.",
            "009",
            blob=blob,
            family=sgx,
            collateral=world.collateral(),
        )
        debug = (_quote.SGX_FLAGS | _quote.SGX_DEBUG).to_bytes(16, "little")
        yield make(
            "sgx_debug",
            "The host can read the enclave's memory.",
            "008",
            blob=world.sgx_quote(self.data, attributes=debug),
            family=sgx,
        )
        reserved = (_quote.SGX_FLAGS | 1 << 63).to_bytes(16, "little")
        yield make(
            "sgx_reserved_attribute",
            "Nobody knows what bit 63 allows.",
            "010",
            blob=world.sgx_quote(self.data, attributes=reserved),
            family=sgx,
        )
        signer = enclave()["mrsigner"]
        tampered = blob.replace(signer, bytes((signer[0] ^ 1,)) + signer[1:])
        yield make(
            "sgx_tampered_mrsigner",
            "One bit of MRSIGNER was changed.",
            "006",
            blob=tampered,
            family=sgx,
        )
        yield make("sgx_as_tdx", "An enclave passed off as a TD.", "001", blob=blob)

    def bindings(self) -> Iterator[Vector]:
        make = self.vector
        cases: dict[str, tuple[str, dict[str, Any]]] = {
            "wrong_nonce": ("Made for another nonce: replayed.", {"nonce": bytes(32)}),
            "wrong_purpose": ("Made for a release, shown for the log.", {"purpose": Purpose.LOG}),
            "wrong_role": ("Made by a shield, shown by a service.", {"role": Role.SERVICE}),
            "wrong_key": ("Made for another key: relayed.", {"spki_sha256": bytes(32)}),
            "wrong_connection": ("Not made on this connection.", {"tls_exporter": bytes(32)}),
            "wrong_claims": ("Made for other claims.", {"claims_digest": b"\1" * 32}),
        }
        for name, (text, changes) in cases.items():
            yield make(name, text, "007", binding=binding(**changes))

    def roots(self) -> Iterator[Vector]:
        make, world, other = self.vector, self.world, self.other
        yield make("wrong_root", "Another root is pinned.", "002", anchors=(INTEL_ROOT,))
        yield make("look_alike_root", "Same names, other keys.", "002", world=other)
        yield make("no_anchor", "Nobody is trusted.", "002", anchors=())
        mixed = dataclasses.replace(
            world.collateral(),
            tcb_info_issuer_chain=other.collateral().tcb_info_issuer_chain,
            tcb_info_signature=other.collateral().tcb_info_signature,
        )
        yield make(
            "tcb_info_of_other_root", "TCB info under a look-alike root.", "002", collateral=mixed
        )
        ca = other.certificates.pck_ca.public_bytes(Encoding.PEM)
        chain = world.pck_chain.replace(world.certificates.pck_ca.public_bytes(Encoding.PEM), ca)
        blob = world.quote(
            self.data, certification=_quote.certify(world.pck, world.attestation, chain)
        )
        yield make(
            "foreign_intermediate", "A look-alike PCK CA below the right root.", "003", blob=blob
        )
        pck_pem = world.pck_chain.decode().split("-----END")[0] + "-----END CERTIFICATE-----\n"
        root_pem = world.certificates.root.public_bytes(Encoding.PEM).decode()
        stolen = dataclasses.replace(
            world.collateral(),
            tcb_info_issuer_chain=pck_pem + root_pem,
            tcb_info_signature=_pki.raw_signature(world.pck, world.collateral().tcb_info.encode()),
        )
        yield make(
            "tcb_info_by_pck", "A platform signs its own TCB info.", "003", collateral=stolen
        )

    def collaterals(self) -> Iterator[Vector]:
        make, world = self.vector, self.world
        serial = x509.load_pem_x509_certificate(world.pck_chain).serial_number
        yield make(
            "revoked_pck",
            "The platform's certificate is revoked.",
            "004",
            collateral=world.collateral(revoked=(serial,)),
        )
        good, late = world.collateral(), world.collateral(now=NOW - timedelta(days=31))
        early = world.collateral(now=NOW + timedelta(days=1))
        pick: Callable[..., Collateral] = dataclasses.replace
        yield make(
            "expired_crl",
            "The PCK revocation list is a month old.",
            "005",
            collateral=pick(good, pck_crl=late.pck_crl),
        )
        yield make(
            "expired_root_crl",
            "The root's revocation list is a month old.",
            "005",
            collateral=pick(good, root_ca_crl=late.root_ca_crl),
        )
        tcb = {"tcb_info": late.tcb_info, "tcb_info_signature": late.tcb_info_signature}
        yield make(
            "expired_tcb_info", "TCB info is a month old.", "005", collateral=pick(good, **tcb)
        )
        yield make("expired_collateral", "All collateral is a month old.", "005", collateral=late)
        yield make("future_collateral", "Collateral is of tomorrow.", "005", collateral=early)
        newer = good.tcb_info.replace('"OutOfDate"', '"UpToDate"')
        yield make(
            "tampered_tcb_info",
            "A status in TCB info was changed after signing.",
            "006",
            collateral=pick(good, tcb_info=newer),
        )
        yield make(
            "swapped_crl",
            "The root's revocation list stands in for the PCK CA's.",
            "006",
            collateral=pick(good, pck_crl=good.root_ca_crl),
        )
        fmspc, foreign = _pki.FMSPC.hex().upper(), "00906ED50000"
        yield make(
            "swapped_collateral",
            "The vendor's collateral for another platform.",
            "009",
            collateral=world.sign_again(good, "tcb_info", fmspc, foreign),
        )
        signer = _pki.QE_MRSIGNER[Family.TDX].hex().upper()
        yield make(
            "other_quoting_enclave",
            "The quoting enclave is not the vendor's.",
            "009",
            collateral=world.sign_again(good, "qe_identity", signer, "00" * 32),
        )
        yield make(
            "revoked_tcb",
            "The vendor revoked the platform's TCB level.",
            "011",
            collateral=world.sign_again(
                good, "tcb_info", '"tcbStatus":"UpToDate"', '"tcbStatus":"Revoked"'
            ),
        )
        ancient = world.quote(self.data, tee_tcb_svn=bytes((1, *_pki.TEE_TCB_SVN[1:])))
        yield make("unknown_tdx_module", "Older than every known module.", "011", blob=ancient)

    def quotes(self) -> Iterator[Vector]:
        make, world = self.vector, self.world
        blob = world.quote(self.data)
        mrtd = measurements()["mrtd"]
        tampered = blob.replace(mrtd, bytes((mrtd[0] ^ 1,)) + mrtd[1:])
        yield make("tampered_mrtd", "One bit of MRTD was changed.", "006", blob=tampered)
        debug = world.quote(self.data, td_attributes=_quote.SEPT_VE_DISABLE | _quote.DEBUG)
        yield make("debug", "The host can read the environment's memory.", "008", blob=debug)
        unknown = world.quote(self.data, td_attributes=_quote.SEPT_VE_DISABLE | 1 << 40)
        yield make("reserved_attribute", "Nobody knows what bit 40 allows.", "010", blob=unknown)
        yield make("truncated", "The last byte is missing.", "001", blob=blob[:-1])
        yield make("relabelled", "Version 4, labelled 5.", "001", blob=b"\5" + blob[1:])
        yield make("version_6", "An unknown version.", "001", blob=b"\6" + blob[1:])
        stranger = _quote.certify(world.pck, test_key("stranger"), world.pck_chain)
        key_bytes = _pki.raw_public_key(world.attestation)
        certification = key_bytes + stranger[len(key_bytes) :]
        forged = world.quote(self.data, certification=certification)
        yield make(
            "qe_report_data_mismatch",
            "The quoting enclave vouches for another attestation key.",
            "006",
            blob=forged,
        )
        self_made = _quote.certify(test_key("stranger"), world.attestation, world.pck_chain)
        yield make(
            "qe_report_by_stranger",
            "The quoting enclave's report is not signed by the PCK key.",
            "006",
            blob=world.quote(self.data, certification=self_made),
        )


def vectors() -> list[Vector]:
    maker = Maker()
    parts = (
        maker.good,
        maker.bodies,
        maker.enclaves,
        maker.bindings,
        maker.roots,
        maker.collaterals,
        maker.quotes,
    )
    return [vector for part in parts for vector in part()]


def files() -> dict[str, bytes]:
    """Every file below this folder, by its path."""
    return {
        f"{vector.name}/{name}": data
        for vector in vectors()
        for name, data in vector.files().items()
    }


def main() -> None:
    for name, data in files().items():
        path = HERE / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)


if __name__ == "__main__":
    main()
