# SPDX-License-Identifier: Apache-2.0
"""The main job: two hospitals train one model, and neither sees the other's patients.

Every step is a command of the public interface, run as its own process; every one of them may
be repeated, so that a run that was killed goes on when the demo is started again.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accord.demo import _attacks
from accord.demo._commands import Commands, Finished
from accord.demo._data import HospitalSplit, split, write_records
from accord.demo._layout import (
    CONSTITUTION,
    MEMBERS,
    POLICY,
    READ_ME,
    Layout,
    policy_text,
    terms_text,
)
from accord.errors import StepFailedError

START_TIMEOUT_S = 30

TRUST_HOST = "simulated-hardware/trust-host"
COMPUTE_HOST = "simulated-hardware/compute-host"

SPLIT = (
    "constructed: real patients, dealt so that hospital A has nearly only benign and hospital B"
    " nearly only malignant cases (seed 0); with an even split the gain is small"
)


@dataclass
class Demo:
    """One run of the demo in the folder ``layout.root``."""

    layout: Layout
    show: Callable[[str], None]
    commands: Commands = field(init=False)
    data: HospitalSplit = field(init=False)
    url: str = ""
    board: str = ""

    def __post_init__(self) -> None:
        self.commands = Commands(self.layout.root, self.show)
        self.data = split()

    def run(self) -> dict[str, Any]:
        """Runs everything and returns the result document."""
        started = time.monotonic()
        self._prepare()
        with self._trust_service():
            self._found_board()
            self._seal_assets()
            refused = self._vote_on_policy()
            attestation = self.commands.accord("service", "attest", "--home", "clinic").document
            run = self._train()
            models = self._evaluate(run["run"])
            bundle = self._prove(run["run"])
            attacks = _attacks.try_all(self)
        return {
            "schema": "accord.demo.v1",
            "assurance": run["assurance"],
            "board": self.board,
            "run": run["run"],
            "split": SPLIT,
            **models,
            "missing_vote": refused,
            "attacks": attacks,
            "stakeholders": self._stakeholders(),
            "measurements": {
                "trust_service": run["service_measurements"]["mrtd"],
                "shield": run["shield_measurements"]["mrtd"],
                "trust_service_seen_by_clinic": attestation["assurance"],
            },
            "bundle": {"path": str(self.layout.bundle), "not_proven": bundle["not_proven"]},
            "release_timing": run["release_timing"],
            "seconds": round(time.monotonic() - started, 2),
        }

    def heading(self, words: str) -> None:
        self.show("")
        self.show(f"── {words}")

    def _prepare(self) -> None:
        """What every party has before they meet: its data, its program, its machines."""
        self.heading("before: everybody has a folder of their own; the split is constructed")
        layout = self.layout
        _attacks.undo_rollback(layout)
        for path in (layout.storage, layout.trust_service, layout.compute_host, layout.public):
            path.mkdir(parents=True, exist_ok=True)
        for name, rows in (
            ("hospital-a", self.data.hospital_a),
            ("hospital-b", self.data.hospital_b),
        ):
            folder = layout.home(name) / "records"
            folder.mkdir(parents=True, exist_ok=True)
            write_records(folder / "records.csv", rows)
        layout.home("clinic").mkdir(exist_ok=True)
        write_records(layout.home("clinic") / "unseen.csv", self.data.clinic)
        program = layout.home("lab") / "program"
        program.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(layout.programs / "train.py", program / "train.py")
        shutil.copyfile(layout.programs / "evaluate.py", layout.home("clinic") / "evaluate.py")
        (layout.root / "README.txt").write_text(READ_ME)
        self.commands.accord("sim", "vendor", "simulated-hardware/vendor")
        self.commands.together(
            (
                "sim",
                "platform",
                f"simulated-hardware/{host}",
                "--vendor",
                "simulated-hardware/vendor",
            )
            for host in ("trust-host", "compute-host")
        )

    @contextmanager
    def _trust_service(self) -> Iterator[None]:
        """The operator's trust service, a process of its own, killed at the end of the demo."""
        url_file = self.layout.trust_service / "url"
        url_file.unlink(missing_ok=True)
        arguments = ["service", "run", "--simulated", TRUST_HOST]
        arguments += ["--state", "operator/trust-service", "--listen", "127.0.0.1:0"]
        arguments += ["--url-file", "operator/trust-service/url"]
        self.show("$ accord " + " ".join(arguments) + " &")
        with (self.layout.trust_service / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "accord", *arguments],
                cwd=self.layout.root,
                env=self.commands.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self.url = self._wait_for(url_file, process)
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _wait_for(self, url_file: Path, process: subprocess.Popen[bytes]) -> str:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and process.poll() is None:
            if url_file.exists():
                return url_file.read_text()
            time.sleep(0.02)
        raise StepFailedError(
            command="accord service run", exit_code=process.poll(), expected="a URL"
        )

    def _found_board(self) -> None:
        self.heading("1. identities, and a board that four stakeholders found")
        accord, together = self.commands.accord, self.commands.together
        together(("member", "new", name, "--home", name) for name in MEMBERS)
        if not (self.layout.public / "genesis.json").exists():
            reference = accord(
                "attest",
                "reference",
                "--role",
                "service",
                "--simulated",
                TRUST_HOST,
            ).document
            (self.layout.public / "service.json").write_text(json.dumps(reference))
            (self.layout.public / "constitution.yaml").write_text(CONSTITUTION)
            members = [f"--member={name}/identity.json={role}" for name, role in MEMBERS.items()]
            accord(
                "board", "new", "screening", *members,
                "--constitution", "board/constitution.yaml",
                "--trust", "board/service.json", "--out", "board/genesis.json",
            )  # fmt: skip
        signatures = [f"board/{name}.signature.json" for name in MEMBERS]
        together(
            (
                "board",
                "sign",
                "board/genesis.json",
                "--home",
                name,
                "--service",
                self.url,
                "--out",
                signature,
            )
            for name, signature in zip(MEMBERS, signatures, strict=True)
        )
        founded = accord("board", "found", *signatures, "--service", self.url)
        self.board = founded.document["digest"]

    def _seal_assets(self) -> None:
        self.heading("2. each owner seals its asset; the operator stores ciphertext")
        ring = self.layout.home("hospital-a") / "volumes" / "records.secret.json"
        if not ring.exists() or not self.layout.old_head.exists():
            # Hospital A's first export lacked its last patients; the operator keeps a copy of it.
            first = self.layout.home("hospital-a") / "first-export"
            first.mkdir(exist_ok=True)
            write_records(first / "records.csv", self.data.hospital_a[:-6])
            self._seal("hospital-a", "records", "hospital-a/first-export")
            _attacks.keep_old_version(self.layout)
        sources = (
            ("hospital-a", "records", "hospital-a/records"),
            ("hospital-b", "records", "hospital-b/records"),
            ("lab", "train", "lab/program"),
        )
        self.commands.together(self._seal_command(*source) for source in sources)
        for name in ("hospital-a", "hospital-b", "lab"):
            (self.layout.home(name) / "terms.yaml").write_text(terms_text())
        self.commands.together(self.register_command(owner, name) for owner, name, _ in sources)

    def _seal_command(self, owner: str, name: str, source: str) -> tuple[str, ...]:
        where = ("--home", owner, "--storage", "operator/storage")
        return ("volume", "seal", source, "--name", name, *where, "--if-changed")

    def _seal(self, owner: str, name: str, source: str) -> Finished:
        return self.commands.accord(*self._seal_command(owner, name, source))

    def register_command(self, owner: str, name: str, *more: str) -> tuple[str, ...]:
        terms = ("--terms", f"{owner}/terms.yaml", "--home", owner)
        return ("asset", "register", name, *terms, *more)

    def _vote_on_policy(self) -> dict[str, Any] | None:
        self.heading("3. a policy is proposed, reviewed and voted on")
        accord = self.commands.accord
        assets = accord("asset", "list", "--home", "lab").document["assets"]
        tags = {item["asset"]: item["tag"] for item in assets}
        shield = accord(
            "attest",
            "reference",
            "--role",
            "shield",
            "--simulated",
            COMPUTE_HOST,
        ).document
        current = accord("proposal", "list", "--home", "lab").document["proposals"]
        enacted = [item["digest"] for item in current if item["status"] == "enacted"]
        for predecessor in (*enacted[:-1], None):
            text = policy_text(tags, shield["attestation"], predecessor)
            (self.layout.home("lab") / "policy.yaml").write_text(text)
            if accord("policy", "check", "lab/policy.yaml").document["digest"] in enacted[-1:]:
                self.show("this policy is in force already: the votes of the last run stand")
                return None
        text = policy_text(tags, shield["attestation"], enacted[-1] if enacted else None)
        (self.layout.home("lab") / "policy.yaml").write_text(text)
        proposal = accord(
            "proposal",
            "create",
            "lab/policy.yaml",
            "--title",
            "One model of two hospitals",
            "--home",
            "lab",
        ).document
        for change in accord(
            "proposal", "show", proposal["proposal"], "--home", "hospital-b"
        ).document["changes"]:
            self.show(f"    {change['sign']} {change['sentence']}")
        for name in ("hospital-a", "lab", "clinic"):
            self._approve(name, proposal)
        refused = None
        if not enacted:
            refused = self.launch(expect=6).document
            self.show(f"    refused: {refused['message']}")
        self._approve("hospital-b", proposal)
        return refused

    def _approve(self, name: str, proposal: dict[str, Any]) -> None:
        self.commands.accord(
            "proposal",
            "vote",
            proposal["proposal"],
            "--approve",
            "--digest",
            proposal["digest"],
            "--home",
            name,
        )

    def launch(self, *, expect: int = 0) -> Finished:
        """The operator starts a shield on the compute host."""
        return self.commands.accord(
            "shield", "run", "--service-url", self.url, "--board", self.board,
            "--policy", POLICY, "--service", "train", "--storage", "operator/storage",
            "--simulated", COMPUTE_HOST,
            expect=expect,
            environment={"TMPDIR": str(self.layout.compute_host)},
        )  # fmt: skip

    def _train(self) -> dict[str, Any]:
        self.heading("4, 5. service and shield attest one another; keys are released; training")
        document: dict[str, Any] = self.launch().document
        return document

    def _evaluate(self, run: str) -> dict[str, Any]:
        self.heading("6. the model is for the clinic alone, which tries it on unseen patients")
        model = self.layout.home("clinic") / f"model-{run}"
        if not model.exists():
            self.commands.accord(
                "job", "fetch", run, "model", "--to", f"clinic/{model.name}",
                "--home", "clinic", "--storage", "operator/storage",
            )  # fmt: skip
        self.show("   for comparison, outside of accord: what each hospital reaches alone")
        for name in ("hospital-a", "hospital-b"):
            self.commands.python(
                "lab/program/train.py", "--out", f"{name}/alone.npz", f"{name}/records/records.csv"
            )
        files = {
            "joint": f"clinic/{model.name}/model.npz",
            "hospital_a": "hospital-a/alone.npz",
            "hospital_b": "hospital-b/alone.npz",
        }
        return {
            who: self.commands.python("clinic/evaluate.py", "--model", file, "clinic/unseen.csv")
            for who, file in files.items()
        }

    def _prove(self, run: str) -> dict[str, Any]:
        self.heading("7. the proof, checked offline against the genesis digest alone")
        accord = self.commands.accord
        accord("bundle", "create", run, "--out", "bundle", "--home", "clinic")
        verified = accord("bundle", "verify", "bundle", "--genesis", self.board)
        document: dict[str, Any] = verified.document
        return document

    def _stakeholders(self) -> list[dict[str, Any]]:
        data = self.data
        return [
            {"name": "hospital-a", "has": f"{len(data.hospital_a)} patients (screening clinic)"},
            {"name": "hospital-b", "has": f"{len(data.hospital_b)} patients (referral centre)"},
            {"name": "lab", "has": "the training program"},
            {"name": "clinic", "has": f"{len(data.clinic)} unseen patients; reads the model"},
            {"name": "operator", "has": "storage and hosts; ciphertext only"},
        ]


def run_hospitals(out: Path, show: Callable[[str], None]) -> dict[str, Any]:
    """Runs the demo in ``out``. Raises ``StepFailedError`` where a step goes wrong."""
    root = Path(os.path.abspath(out))  # noqa: PTH100 - a link in the path stays a link
    root.mkdir(parents=True, exist_ok=True)
    return Demo(Layout(root), show).run()
