# SPDX-License-Identifier: Apache-2.0
"""Where everything of the demo lies, and the three documents that its people write."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

POLICY = "hospitals"
PURPOSE = "breast-cancer-screening"

MEMBERS = {
    "hospital-a": "data-owner",
    "hospital-b": "data-owner",
    "lab": "code-owner",
    "clinic": "result-user",
}

ASSETS = {
    "hospital-a": ("records", "records"),
    "hospital-b": ("records", "records"),
    "lab": ("train", "program"),
}
"""Of each owner: the asset's name, and the folder it is sealed from."""

VENDOR = "simulated-hardware/vendor"
TRUST_HOST = "simulated-hardware/trust-host"
COMPUTE_HOST = "simulated-hardware/compute-host"

SERVICE_OWNER = "service-owner"
"""The identity that claims the trust service."""

SPLIT = (
    "constructed: real patients, dealt so that hospital A has nearly only benign and hospital B"
    " nearly only malignant cases (seed 0); with an even split the gain is small"
)

READ_ME = """\
What is where

  hospital-a/ hospital-b/ lab/ clinic/   one folder per stakeholder: keys and plaintext
  operator/            all that storage, the trust service's host and the compute host keep
  board/               public: the genesis, its signatures, the constitution
  bundle/              the proof of the run: accord bundle verify bundle --genesis DIGEST
  simulated-hardware/  stands for silicon and its vendor: what no operator could read of a
                       real TEE. Whoever has this folder can forge evidence and open the
                       trust service's state: the assurance of all this is SIMULATED.

To look around later, start the trust service again, here:

  accord service run --simulated simulated-hardware/trust-host --state operator/trust-service
  ACCORD_SERVICE=<the URL it prints> accord job list --home clinic
"""

CONSTITUTION = """\
# Every owner whose asset a policy touches must agree, and so must everybody else here.
policy.enact:
  all:
    - affected_owners
    - role:code-owner
    - role:result-user
"""


@dataclass(frozen=True)
class Layout:
    """The folders below ``root``."""

    root: Path

    @property
    def programs(self) -> Path:
        return Path(str(files("accord.demo") / "programs"))

    @property
    def operator(self) -> Path:
        return self.root / "operator"

    @property
    def storage(self) -> Path:
        return self.operator / "storage"

    @property
    def trust_service(self) -> Path:
        return self.operator / "trust-service"

    @property
    def compute_host(self) -> Path:
        return self.operator / "compute-host"

    @property
    def old_head(self) -> Path:
        """The operator's copy of the head of hospital A's first version."""
        return self.operator / "old-version" / "head"

    @property
    def public(self) -> Path:
        return self.root / "board"

    @property
    def bundle(self) -> Path:
        return self.root / "bundle"

    def home(self, name: str) -> Path:
        return self.root / name


def seal_command(owner: str, name: str, folder: str) -> str:
    where = f"--home {owner} --storage operator/storage"
    return f"accord volume seal {owner}/{folder} --name {name} {where} --if-changed"


def register_command(owner: str, name: str) -> str:
    return f"accord asset register {name} --terms {owner}/terms.yaml --home {owner}"


def terms_text() -> str:
    """The terms of all three owners: JSON is YAML."""
    terms = {
        "policies": [POLICY],
        "purposes": [PURPOSE],
        "readers": ["clinic"],
        "min_assurance": "simulated",
        "network": "none",
        "max_uses": 1000,
        "not_after": "2100-01-01T00:00:00Z",
    }
    return json.dumps(terms, indent=2) + "\n"


def policy_text(tags: dict[str, str], attestation: Any, predecessor: str | None) -> str:
    """The lab's policy over the assets in exactly these versions."""
    places = {
        "lab/train": "/in/program",
        "hospital-a/records": "/in/hospital-a",
        "hospital-b/records": "/in/hospital-b",
    }
    program = ["python", "/in/program/train.py", "--out", "/out/model/model.npz"]
    records = ["/in/hospital-a/records.csv", "/in/hospital-b/records.csv"]
    document = {
        "schema": "accord.policy.v1",
        "name": POLICY,
        "purpose": PURPOSE,
        "services": {
            "train": {
                "attestation": attestation,
                "command": [*program, *records],
                "environment": {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                "network": "none",
                "timeout_s": 300,
                "inputs": [{"asset": a, "tag": tags[a], "at": at} for a, at in places.items()],
                "outputs": [{"name": "model", "at": "/out/model", "readers": ["clinic"]}],
            }
        },
    }
    if predecessor is not None:
        document["predecessor"] = predecessor
    return json.dumps(document, indent=2) + "\n"
