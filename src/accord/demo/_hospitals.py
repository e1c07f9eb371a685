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
from pathlib import Path
from typing import Any

from accord.demo import _attacks
from accord.demo._data import write_records
from accord.demo._layout import (
    ASSETS,
    COMPUTE_HOST,
    CONSTITUTION,
    MEMBERS,
    POLICY,
    READ_ME,
    SERVICE_OWNER,
    SPLIT,
    TRUST_HOST,
    VENDOR,
    Layout,
    policy_text,
    register_command,
    seal_command,
    terms_text,
)
from accord.demo._stage import Stage
from accord.errors import StepFailedError

START_TIMEOUT_S = 30


class Demo(Stage):
    """The main job, step by step, and then the attacks on it."""

    def run(self) -> dict[str, Any]:
        """Runs everything and returns the result document."""
        started = time.monotonic()
        self._prepare()
        with self._trust_service():
            self._found_board()
            tags, attestation = self._offer_assets()
            refused = self._vote_on_policy(tags, attestation)
            self.heading("4, 5. service and shield attest one another; keys are released; training")
            seen = self.commands.accord("service attest --home clinic")
            run = self.launch()
            self.show(f"    {run['run']}: each verified the other's evidence; keys were released")
            models, bundle = self._evaluate_and_prove(run["run"])
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
                "trust_service_role": run["service_measurements"]["mrconfigid"],
                "trust_service_assurance": seen["assurance"],
                "shield": run["shield_measurements"]["mrtd"],
                "shield_role": run["shield_measurements"]["mrconfigid"],
                "shield_assurance": run["assurance"],
            },
            "bundle": {"path": str(self.layout.bundle), "not_proven": bundle["not_proven"]},
            "release_timing": run["release_timing"],
            "seconds": round(time.monotonic() - started, 2),
        }

    def _prepare(self) -> None:
        """What every party has before they meet: its data, its program, its machines."""
        self.heading("before: everybody has a folder of their own; the split is constructed")
        layout = self.layout
        _attacks.undo_rollback(layout)
        for path in (layout.storage, layout.trust_service, layout.compute_host, layout.public):
            path.mkdir(parents=True, exist_ok=True)
        records = {"hospital-a": self.data.hospital_a, "hospital-b": self.data.hospital_b}
        for name, rows in records.items():
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
        self.commands.accord(f"sim vendor {VENDOR}")
        self.commands.together(
            f"accord sim platform {platform} --vendor {VENDOR}"
            for platform in (TRUST_HOST, COMPUTE_HOST)
        )

    @contextmanager
    def _trust_service(self) -> Iterator[None]:
        """The operator's trust service, a process of its own, ended with the demo."""
        url_file = self.layout.trust_service / "url"
        url_file.unlink(missing_ok=True)
        command = (
            f"service run --simulated {TRUST_HOST} --state operator/trust-service"
            " --listen 127.0.0.1:0 --url-file operator/trust-service/url"
        )
        self.show(f"$ accord {command} &")
        with (self.layout.trust_service / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "accord", *command.split(), "--until-eof"],
                cwd=self.layout.root,
                env=self.commands.environment,
                stdin=subprocess.PIPE,  # It ends with the demo, also when that is killed.
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
        said = (self.layout.trust_service / "log").read_text(errors="replace")
        reason = next((line for line in said.splitlines() if "error:" in line), "no error")
        raise StepFailedError(
            command="accord service run",
            exit_code=f"{process.poll()} ({reason})",
            expected="a URL",
        )

    def _found_board(self) -> None:
        self.heading("1. identities, and a board that four stakeholders found")
        accord, together = self.commands.accord, self.commands.together
        together(f"accord member new {name} --home {name}" for name in MEMBERS)
        # Whoever pays for the service owns it, which gives no access to anything on it.
        accord(f"member new owner --home {SERVICE_OWNER}")
        if not (self.layout.public / "service.json").exists():
            reference = accord(f"attest reference --role service --simulated {TRUST_HOST}")
            (self.layout.public / "service.json").write_text(json.dumps(reference))
        accord(f"service claim --url {self.url} --trust board/service.json --home {SERVICE_OWNER}")
        if not (self.layout.public / "genesis.json").exists():
            (self.layout.public / "constitution.yaml").write_text(CONSTITUTION)
            members = [f"--member {name}/identity.json={role}" for name, role in MEMBERS.items()]
            accord(
                f"board new screening {' '.join(members)} --constitution board/constitution.yaml"
                " --trust board/service.json --out board/genesis.json"
            )
        digest = accord("board check board/genesis.json")["digest"]
        together(
            f"accord board sign board/genesis.json --digest {digest} --home {name}"
            f" --service {self.url} --out board/{name}.signature.json"
            for name in MEMBERS
        )
        signatures = " ".join(f"board/{name}.signature.json" for name in MEMBERS)
        self.board = accord(f"board found {signatures} --service {self.url}")["digest"]

    def _offer_assets(self) -> tuple[dict[str, str], Any]:
        """Everything sealed and on offer; the tags, and what shields measure as here."""
        self.heading("2. each owner seals its asset; the operator stores ciphertext")
        ring = self.layout.home("hospital-a") / "volumes" / "records.secret.json"
        if not ring.exists() or not self.layout.old_head.exists():
            # Hospital A's first export lacked its last patients; the operator keeps a copy of it.
            first = self.layout.home("hospital-a") / "first-export"
            first.mkdir(exist_ok=True)
            write_records(first / "records.csv", self.data.hospital_a[:-6])
            self.commands.together([seal_command("hospital-a", "records", "first-export")])
            _attacks.keep_old_version(self.layout)
        together = self.commands.together
        together(seal_command(owner, name, folder) for owner, (name, folder) in ASSETS.items())
        for owner in ASSETS:
            (self.layout.home(owner) / "terms.yaml").write_text(terms_text())
        reference = f"accord attest reference --role shield --simulated {COMPUTE_HOST}"
        registers = (register_command(owner, name) for owner, (name, _) in ASSETS.items())
        *offers, shield = together((*registers, reference))
        tags = {item["offer"]["name"]: item["offer"]["tag"] for item in offers}
        return tags, shield["attestation"]

    def _vote_on_policy(self, tags: dict[str, str], attestation: Any) -> dict[str, Any] | None:
        """The policy enacted; returns how the job was refused while one vote was missing."""
        self.heading("3. a policy is proposed, reviewed and voted on")
        accord = self.commands.accord
        listed = accord("proposal list --home lab")["proposals"]
        enacted = [item for item in listed if item["status"] == "enacted"]
        if enacted and self._in_force(enacted[-1]["digest"], tags, attestation):
            self.show("this policy is in force already: the votes of the last run stand")
            return None
        self._write_policy(tags, attestation, enacted[-1]["digest"] if enacted else None)
        title = "'One model of two hospitals'"
        proposal = accord(f"proposal create lab/policy.yaml --title {title} --home lab")
        review = accord(f"proposal show {proposal['proposal']} --home hospital-b")
        for change in review["changes"]:
            self.show(f"    {change['sign']} {change['sentence']}")
        self._approve(proposal, "hospital-a", "lab", "clinic")
        refused = None
        if not enacted:
            refused = self.launch(expect=6)
            self.show(f"    refused: {refused['message']}")
        self._approve(proposal, "hospital-b")
        return refused

    def _write_policy(self, tags: dict[str, str], attestation: Any, before: str | None) -> None:
        text = policy_text(tags, attestation, before)
        (self.layout.home("lab") / "policy.yaml").write_text(text)

    def _in_force(self, digest: str, tags: dict[str, str], attestation: Any) -> bool:
        """Whether the policy that the lab would propose is the one with this digest."""
        shown = self.commands.accord(f"policy show {POLICY} --home lab")
        self._write_policy(tags, attestation, shown["policy"].get("predecessor"))
        return bool(self.commands.accord("policy check lab/policy.yaml")["digest"] == digest)

    def _approve(self, proposal: dict[str, Any], *names: str) -> None:
        vote = (
            f"accord proposal vote {proposal['proposal']} --approve --digest {proposal['digest']}"
        )
        self.commands.together(f"{vote} --home {name}" for name in names)

    def _evaluate_and_prove(self, run: str) -> tuple[dict[str, Any], Any]:
        self.heading("6. the model is for the clinic alone; what each hospital reaches alone")
        together, model = self.commands.together, f"clinic/model-{run}"
        fetch = f"accord job fetch {run} model --to {model} --home clinic"
        train = "python lab/program/train.py --out"
        together(
            (
                f"{fetch} --storage operator/storage",
                f"accord bundle create {run} --out bundle --home clinic",
                f"{train} hospital-a/alone.npz hospital-a/records/records.csv",
                f"{train} hospital-b/alone.npz hospital-b/records/records.csv",
            )
        )
        self.heading("7. unseen patients; the proof, checked against the genesis digest alone")
        files = (f"{model}/model.npz", "hospital-a/alone.npz", "hospital-b/alone.npz")
        bundle, joint, a, b = together(
            (
                f"accord bundle verify bundle --genesis {self.board}",
                *(f"python clinic/evaluate.py --model {path} clinic/unseen.csv" for path in files),
            )
        )
        for fact in bundle["facts"]:
            self.show(f"    ✓ {fact}")
        for point in bundle["not_proven"]:
            self.show(f"    ! not proven: {point}")
        return {"joint": joint, "hospital_a": a, "hospital_b": b}, bundle

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
