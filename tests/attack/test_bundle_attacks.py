# SPDX-License-Identifier: Apache-2.0
"""Attacks on the proof of a run: whatever was changed, the bundle no longer verifies."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import FinishedDemo
from tests.support.live import Board, Hardware, accord
from tests.support.witness import four_witnesses
from tests.support.witnessed import Witnessed

from accord.bundle import BundleFiles, _evidence, _log, _verify, entry_name, verify_bundle
from accord.bundle._proofs import replay
from accord.client import MemberHome
from accord.encoding import Digest, base64_encode, canonical_json, sha256
from accord.errors import (
    AccordError,
    BundleContentError,
    BundleError,
    BundleFileError,
    BundleGenesisError,
    ExitCode,
    InclusionError,
)
from accord.evidence import Evidence, verify
from accord.jobs import create_bundle
from accord.ledger import MerkleTree, leaf, leaf_hash, verify_inclusion

pytestmark = pytest.mark.e2e

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def names(bundle: Path) -> list[str]:
    files = (path for path in bundle.rglob("*") if path.is_file())
    return sorted(path.relative_to(bundle).as_posix() for path in files)


def refusal(bundle: Path, *, genesis: str | None = None) -> BundleError:
    """How the bundle is refused; every refusal has exit code 3 and a reason."""
    with pytest.raises(BundleError) as refused:
        verify_bundle(bundle, genesis=Digest(genesis) if genesis is not None else None)
    assert refused.value.exit_code == ExitCode.NOT_VERIFIED
    assert str(refused.value)
    return refused.value


def rewrite(
    bundle: Path, change: Callable[[dict[str, bytes]], dict[str, bytes]], **manifest: Any
) -> Path:
    """The bundle with changed files and a manifest that fits them: what a careful forger makes."""
    made = BundleFiles.read(bundle)
    forged = replace(made, files=change(dict(made.files)), **manifest)
    shutil.rmtree(bundle)
    forged.write(bundle)
    return bundle


def test_the_bundle_of_the_demo_verifies(demo: FinishedDemo) -> None:
    """The bundle is accepted against the digest that the founders hold."""
    report = verify_bundle(demo.bundle, genesis=Digest(demo.board))

    assert (demo.result["run"], True) == (report.statement.run, report.genesis_pinned)
    assert "SIMULATED" in " ".join(report.not_proven)


def test_without_the_genesis_digest_the_report_says_what_is_open(demo: FinishedDemo) -> None:
    """Without a digest to compare with, the report says that whose board it is was not proved."""
    report = verify_bundle(demo.bundle)

    assert any("whose board" in point for point in report.not_proven)


@pytest.mark.timeout(300)
def test_a_flipped_bit_of_any_byte_is_noticed(bundle: Path) -> None:
    """One bit of every single byte of every file: the bundle fails, and the file is named."""
    for name in names(bundle):
        file, data = os.open(bundle / name, os.O_RDWR), (bundle / name).read_bytes()
        for at, byte in enumerate(data):
            os.pwrite(file, bytes([byte ^ (1 << at % 8)]), at)
            refused = refusal(bundle)
            os.pwrite(file, bytes([byte]), at)
            assert name in str(refused) or name == "manifest.json"
        os.close(file)

    verify_bundle(bundle)


@pytest.fixture(scope="module")
def witnessed(tmp_path_factory: pytest.TempPathFactory) -> BundleFiles:
    """The bundle of a run on a board with four witnesses, which had not ended."""
    root = tmp_path_factory.mktemp("witnessed")
    with four_witnesses() as witnesses:
        board = Witnessed(Hardware.create(root / "hardware"), root, witnesses=witnesses)
        board.ready()
        run = board.release().run
        board.release()  # So that the first one is under a checkpoint that was cosigned.
        with board.over_http() as url:
            MemberHome.join(root / "ann", board.genesis, url)
            member = MemberHome.load(root / "ann")
            with member.connect() as session:
                create_bundle(member, session, run=run, path=root / "bundle")
        board.close()
    return BundleFiles.read(root / "bundle")


@pytest.fixture(params=["demo", "witnessed"])
def made(request: pytest.FixtureRequest, demo: FinishedDemo) -> BundleFiles:
    """A bundle with and one without witnesses, as bytes."""
    if request.param == "demo":
        return BundleFiles.read(demo.bundle)
    found: BundleFiles = request.getfixturevalue("witnessed")
    return found


def forgeries(made: BundleFiles, name: str, *, every: int = 1) -> Iterator[BundleFiles]:
    """The bundle with one bit of a file flipped, and a manifest that fits."""
    data = made.files[name]
    for at in range(0, len(data), every):
        changed = data[:at] + bytes([data[at] ^ (1 << at % 8)]) + data[at + 1 :]
        yield replace(made, files={**made.files, name: changed})


@pytest.fixture
def same_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log is replayed once, and evidence verified once, however often it is the same."""
    replayed, known = cache(replay), dict[Any, Any]()

    def verified(evidence: Evidence, **given: Any) -> Any:
        key = (evidence.to_bytes(), given["now"])
        if key not in known:
            known[key] = verify(evidence, **given)
        return known[key]

    monkeypatch.setattr(_log, "replay", lambda entries: replayed(tuple(entries)))
    monkeypatch.setattr(_evidence, "verify", verified)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("same_log")
def test_a_flipped_bit_beside_the_log_is_noticed_under_a_fitting_manifest(
    made: BundleFiles,
) -> None:
    """Every byte of checkpoint, cosignatures, proofs, policy, statements; of evidence many."""
    _verify._verify(made, None)
    for name in made.files:
        if not name.startswith("entries/"):
            for forged in forgeries(made, name, every=7 if name.startswith("objects/") else 1):
                with pytest.raises(AccordError):
                    _verify._verify(forged, None)


@pytest.mark.timeout(300)
def test_a_flipped_bit_in_the_log_is_noticed_under_a_fitting_manifest(made: BundleFiles) -> None:
    """Every byte of every entry: it is not the log that the checkpoint is over."""
    entries = [made.files[name] for name in sorted(made.files) if name.startswith("entries/")]
    leaves = [leaf_hash(leaf(entry)) for entry in entries]
    tree = MerkleTree()
    for known in leaves:
        tree.append(known)
    root = tree.root()
    assert base64_encode(root) in made.files["checkpoint"].decode().splitlines()[2]

    for index, entry in enumerate(entries):
        proof = tree.inclusion_proof(index)
        for at in range(len(entry)):
            changed = entry[:at] + bytes([entry[at] ^ (1 << at % 8)]) + entry[at + 1 :]
            with pytest.raises(InclusionError):
                verify_inclusion(
                    leaf_hash(leaf(changed)), index=index, size=tree.size, root=root, proof=proof
                )
        for forged in forgeries(made, entry_name(index), every=97):
            with pytest.raises(AccordError):
                _verify._verify(forged, None)


def test_other_bytes_of_the_same_evidence_are_noticed(bundle: Path) -> None:
    """A quote whose ECDSA signature was turned into its twin verifies, and is not what was logged.

    (r, n - s) is as valid as (r, s).
    """

    def twin(files: dict[str, bytes]) -> dict[str, bytes]:
        name = next(name for name in files if name.startswith("objects/"))
        evidence = Evidence.from_bytes(files[name])
        # The signature stands after 48 bytes of header, 584 of body and 4 of length.
        s = int.from_bytes(evidence.blob[668:700])
        blob = evidence.blob[:668] + (P256_ORDER - s).to_bytes(32) + evidence.blob[700:]
        return {**files, name: replace(evidence, blob=blob).to_bytes()}

    assert isinstance(refusal(rewrite(bundle, twin)), BundleFileError)


def test_every_file_is_needed(bundle: Path) -> None:
    """A bundle without any one of its files is refused, naming it."""
    for name in names(bundle):
        data = (bundle / name).read_bytes()
        (bundle / name).unlink()
        assert name in str(refusal(bundle))
        (bundle / name).write_bytes(data)


def test_every_file_is_needed_also_under_a_fitting_manifest(bundle: Path, tmp_path: Path) -> None:
    """A file dropped together with its line in the manifest is missed."""
    made = BundleFiles.read(bundle)
    for name in made.files:
        rest = {key: data for key, data in made.files.items() if key != name}
        replace(made, files=rest).write(tmp_path / "forged")
        refusal(tmp_path / "forged")


@pytest.mark.parametrize(
    "name",
    ["extra", "entries/00000099.json", "objects/" + 64 * "a", ".hidden", "entries/sub/x", "n\nl"],
)
def test_a_file_too_many_is_noticed(bundle: Path, name: str) -> None:
    """A file that the manifest does not list is refused, whatever it is called."""
    (bundle / name).parent.mkdir(exist_ok=True)
    (bundle / name).write_bytes(b"{}")

    assert "does not list" in str(refusal(bundle))


def test_a_file_too_many_with_a_name_that_is_no_text_is_refused_in_words(bundle: Path) -> None:
    """A name that is not UTF-8 breaks neither the check nor the printing of its result."""
    (Path(os.fsdecode(os.fsencode(bundle) + b"/\xff\x1b[2J"))).write_bytes(b"")
    strict = {"PYTHONIOENCODING": "utf-8:strict"}
    refused = accord("bundle", "verify", bundle, "--json", environment=strict)

    assert (refused.exit_code, refused.document["code"]) == (3, "accord-BUN-001")
    assert "Traceback" not in refused.stderr
    assert "\x1b" not in refused.stdout + refused.stderr


def test_an_object_that_nothing_refers_to_is_noticed(bundle: Path) -> None:
    """Evidence that no entry names is refused even if the manifest lists it."""
    data = b"stowaway"
    name = "objects/" + sha256(data).removeprefix("sha256:")

    assert name in str(refusal(rewrite(bundle, lambda files: {**files, name: data})))


def swapped(first: str, second: str) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    return lambda files: {**files, first: files[second], second: files[first]}


def test_two_entries_that_changed_places_are_noticed(bundle: Path) -> None:
    """Entries in another order are refused, with the manifest made to fit."""
    change = swapped("entries/00000003.json", "entries/00000004.json")

    assert isinstance(refusal(rewrite(bundle, change)), BundleContentError)


def test_the_end_of_the_log_cut_off_is_noticed(bundle: Path) -> None:
    """A log that ends early does not fit its checkpoint."""

    def cut(files: dict[str, bytes]) -> dict[str, bytes]:
        last = max(name for name in files if name.startswith("entries/"))
        return {name: data for name, data in files.items() if name != last}

    assert isinstance(refusal(rewrite(bundle, cut)), BundleContentError)


def test_a_log_without_any_service_is_refused(bundle: Path) -> None:
    """A genesis alone proves no run."""
    first = "entries/00000000.json"
    rewrite(bundle, lambda files: {first: files[first], "checkpoint": files["checkpoint"]})

    assert "no trust service ever started" in str(refusal(bundle))


def test_a_run_that_has_not_ended_is_not_proved(board: Board, tmp_path: Path) -> None:
    """Keys were released, and nobody knows what came of it: the bundle is refused."""
    board.enact({"ann/data": board.offer("ann", "data")})
    member = board.member("ann")
    with member.connect() as session:
        session.release(board.request(session))
        _, machine, _ = member.read(session)
        (run,) = machine.runs
        create_bundle(member, session, run=run, path=tmp_path / "bundle")

    assert "has not ended" in str(refusal(tmp_path / "bundle", genesis=board.genesis.digest))


def test_truncated_files_are_noticed(bundle: Path) -> None:
    """A file cut off at half its length, or empty, is refused."""
    for name in names(bundle):
        data = (bundle / name).read_bytes()
        for part in (data[: len(data) // 2], b""):
            (bundle / name).write_bytes(part)
            refusal(bundle)
        (bundle / name).write_bytes(data)


@pytest.mark.parametrize("kind", ["link to itself elsewhere", "folder link", "fifo", "folder"])
def test_what_is_no_regular_file_is_refused(bundle: Path, tmp_path: Path, kind: str) -> None:
    """Links, pipes and folders in the place of a file are refused, never followed or waited for."""
    target = bundle / "checkpoint"
    if kind == "folder link":
        target = bundle / "objects"
        shutil.move(target, tmp_path / "elsewhere")
        target.symlink_to(tmp_path / "elsewhere")
    else:
        shutil.move(target, tmp_path / "elsewhere")
        if kind == "fifo":
            os.mkfifo(target)
        elif kind == "folder":
            target.mkdir()
        else:
            target.symlink_to(tmp_path / "elsewhere")

    assert isinstance(refusal(bundle), BundleFileError)


def test_a_manifest_that_is_no_file_is_refused(bundle: Path) -> None:
    """A folder, or nothing, in the place of the manifest is refused."""
    (bundle / "manifest.json").unlink()
    assert "manifest.json" in str(refusal(bundle))
    (bundle / "manifest.json").mkdir()
    assert "manifest.json" in str(refusal(bundle))


def test_huge_files_are_not_read(bundle: Path) -> None:
    """A file beyond the limit is refused by its size."""
    for name, size in (("checkpoint", 5 << 20), ("manifest.json", 17 << 20)):
        data = (bundle / name).read_bytes()
        os.truncate(bundle / name, size)
        assert name in str(refusal(bundle))
        (bundle / name).write_bytes(data)


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b'{"a":1,"a":1}',
        b"[" * 100_000,
        b'{"board":"sha256:x","files":{},"run":"run-1","schema":"accord.bundle.v1"}',
        b'{"files":{"../../etc/passwd":"x"}}',
    ],
    ids=range(8),
)
def test_a_manifest_of_garbage_is_refused(bundle: Path, manifest: bytes) -> None:
    """A manifest that is not one is refused by name."""
    (bundle / "manifest.json").write_bytes(manifest)

    assert "manifest.json" in str(refusal(bundle))


@pytest.mark.parametrize("name", ["../outside", "/etc/passwd", "entries/../checkpoint", "x"])
def test_a_manifest_cannot_name_files_elsewhere(bundle: Path, name: str) -> None:
    """Only the names of a bundle's own files may be listed."""
    document = json.loads((bundle / "manifest.json").read_bytes())
    document["files"][name] = sha256(b"")
    (bundle / "manifest.json").write_bytes(canonical_json(document))

    assert "is no bundle file" in str(refusal(bundle))


def test_a_reformatted_manifest_is_refused(bundle: Path) -> None:
    """The manifest has one spelling."""
    document = json.loads((bundle / "manifest.json").read_bytes())
    (bundle / "manifest.json").write_text(json.dumps(document, indent=1))

    assert "canonical" in str(refusal(bundle))


def test_another_board_is_not_the_one_that_was_meant(bundle: Path) -> None:
    """A genuine bundle of another board than the caller's is refused."""
    assert isinstance(refusal(bundle, genesis=sha256(b"mine")), BundleGenesisError)


def test_a_manifest_that_names_another_board_or_run_is_refused(bundle: Path) -> None:
    """The manifest's own claims are checked against the log."""
    rewrite(bundle, lambda files: files, run="run-" + 32 * "0")
    assert "has no run" in str(refusal(bundle))
    rewrite(bundle, lambda files: files, board=sha256(b"other"))
    assert "names board" in str(refusal(bundle))


def test_an_empty_folder_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    """There is nothing to verify, and that is said."""
    refusal(tmp_path)
    refusal(tmp_path / "nothing")


def test_the_command_line_refuses_with_exit_code_3(bundle: Path) -> None:
    """`accord bundle verify` says which file is damaged and ends with 3."""
    path = bundle / "entries" / "00000002.json"
    path.write_bytes(path.read_bytes().replace(b"sha256", b"sha257", 1))
    refused = accord("bundle", "verify", bundle)

    assert (refused.exit_code, refused.stdout) == (3, "")
    assert "error: accord-BUN-001" in refused.stderr
    assert "entries/00000002.json" in refused.stderr
    assert "hint: " in refused.stderr
