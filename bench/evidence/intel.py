# SPDX-License-Identifier: Apache-2.0
"""SGX and TDX quotes with their collateral: our own verifier, and dcap-qvl as engine."""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from accord.evidence import Evidence, _certificate, _chain, _der
from accord.evidence.intel import (
    Collateral,
    _chains,
    _endorsements,
    _engine,
    _pck,
    _tcb,
    verify_sgx,
    verify_tdx,
    verify_with_dcap_qvl,
)
from accord.testing import SimulatedSGX, SimulatedTDX
from bench.evidence import Case

_OWN_MS, _ENGINE_MS = 6.0, 1.0
_DATA = bytes(range(64))
_MODULES: tuple[ModuleType, ...] = (
    _certificate,
    _chain,
    _chains,
    _der,
    _endorsements,
    _engine,
    _pck,
    _tcb,
)
_CACHED = tuple(
    item
    for module in _MODULES
    for item in vars(module).values()
    if hasattr(item, "cache_clear") and item.__module__ == module.__name__
)


def _forget() -> None:
    for function in _CACHED:
        function.cache_clear()


def cases() -> Iterator[Case]:
    with tempfile.TemporaryDirectory() as folder:
        td, enclave = SimulatedTDX.create(Path(folder)), SimulatedSGX.create(Path(folder))
    now, anchors = datetime.now(UTC), td.anchors
    root = td.platform.vendor.certificates.root.public_bytes(Encoding.DER)
    shown: dict[str, tuple[Evidence, Collateral, Callable[..., Any]]] = {
        "sgx": (enclave.collect(_DATA), enclave.collateral, verify_sgx),
        "tdx": (td.collect(_DATA), td.collateral, verify_tdx),
        "tdx-v5": (td.collect(_DATA, version=5, td_report="1.5"), td.collateral, verify_tdx),
    }
    for name, (evidence, collateral, verify) in shown.items():
        theirs = _theirs(evidence, collateral, root, int(now.timestamp()))

        def known(evidence: Evidence = evidence, verify: Any = verify) -> object:
            return verify(evidence, anchors=anchors, now=now)

        def fresh(known: Callable[[], object] = known) -> object:
            _forget()
            return known()

        def engine(evidence: Evidence = evidence) -> object:
            return verify_with_dcap_qvl(evidence, anchors=anchors, now=now)

        note = "nothing remembered; reference: dcap-qvl"
        yield Case(name, fresh, target=_OWN_MS, reference=theirs, note=note)
        yield Case(f"{name}.known", known, reference=theirs, note="vendor's texts seen before")
        if theirs is not None:
            note = "dcap-qvl as engine, with all our claims"
            yield Case(f"{name}.engine", engine, target=_ENGINE_MS, reference=theirs, note=note)


def _theirs(
    evidence: Evidence, collateral: Collateral, root: bytes, at: int
) -> Callable[[], object] | None:
    """The bare library: status and advisories, no claims."""
    try:
        library = importlib.import_module("dcap_qvl")
    except ImportError:
        return None
    document = library.QuoteCollateralV3(
        collateral.pck_crl_issuer_chain,
        collateral.root_ca_crl,
        collateral.pck_crl,
        collateral.tcb_info_issuer_chain,
        collateral.tcb_info,
        collateral.tcb_info_signature,
        collateral.qe_identity_issuer_chain,
        collateral.qe_identity,
        collateral.qe_identity_signature,
    )
    return lambda: library.verify_with_root_ca(evidence.blob, document, root, at)
