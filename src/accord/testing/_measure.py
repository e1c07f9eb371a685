# SPDX-License-Identifier: Apache-2.0
"""What a simulated environment says it runs: digests of this program's own files.

Nothing enforces them, unlike in hardware; they make pins, upgrades and refusals behave as
they would there.
"""

from __future__ import annotations

import hashlib
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import accord
from accord.encoding import canonical_json
from accord.evidence import Role
from accord.testing._quote import TDX_REGISTERS

_RUNTIME = (
    "cbor2",
    "click",
    "cryptography",
    "httpx",
    "numpy",
    "rfc8785",
    "ruamel.yaml",
    "starlette",
    "uvicorn",
)
_ZERO = bytes(48)


@cache
def measure_code() -> bytes:
    """SHA-384 over path and SHA-256 of every Python file of this package: becomes MRTD."""
    root = Path(accord.__file__).parent
    files = sorted((path.relative_to(root).as_posix(), path) for path in root.rglob("*.py"))
    listed = [[name, hashlib.sha256(path.read_bytes()).hexdigest()] for name, path in files]
    return hashlib.sha384(canonical_json(listed)).digest()


@cache
def measure_runtime() -> bytes:
    """SHA-384 over interpreter and installed dependencies: extended into RTMR0.

    A dependency is taken by the digest of its RECORD, which lists the digest of every file;
    whether the files still match it is *not* checked.
    """
    interpreter = Path(sys.executable).resolve().read_bytes()
    listed = {
        "interpreter": hashlib.sha256(interpreter).hexdigest(),
        "python": sys.version,
        "distributions": [found for name in _RUNTIME if (found := _distribution(name))],
    }
    return hashlib.sha384(canonical_json(listed)).digest()


def _distribution(name: str) -> list[str] | None:
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return None
    record = found.read_text("RECORD") or ""
    return [name, found.version, hashlib.sha256(record.encode()).hexdigest()]


def simulated_measurements(role: Role) -> dict[str, bytes]:
    """The registers of this program in ``role``: what `SimulatedPlatform.attester` takes."""
    registers = dict.fromkeys(TDX_REGISTERS, _ZERO)
    registers["mrtd"] = measure_code()
    # RTMR extension, as the TDX module does it: SHA-384 of old value and new digest.
    registers["rtmr0"] = hashlib.sha384(_ZERO + measure_runtime()).digest()
    registers["mrconfigid"] = hashlib.sha384(f"accord/{role.value}".encode()).digest()
    return registers
