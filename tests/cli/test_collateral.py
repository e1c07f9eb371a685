# SPDX-License-Identifier: Apache-2.0
"""`accord collateral import`, `fetch` and `show`, and `accord doctor`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from tests.cli.conftest import Command
from tests.unit.collateral.servers import Service, running
from tests.unit.collateral.test_fetch import serve_intel
from tests.unit.collateral.vendors import Intel

ROOT_OF_NOBODY = "sha256:" + 64 * "0"


@pytest.fixture(scope="module")
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Intel:
    return Intel(tmp_path_factory.mktemp("vendor"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache that the environment names."""
    monkeypatch.setenv("ACCORD_COLLATERAL", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def bundle(tmp_path: Path, vendor: Intel) -> Path:
    (tmp_path / "collateral.json").write_bytes(vendor.bundle)
    return tmp_path / "collateral.json"


@pytest.fixture
def quote(tmp_path: Path, vendor: Intel) -> Path:
    (tmp_path / "quote").write_bytes(vendor.evidence().blob)
    return tmp_path / "quote"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    (tmp_path / "service").mkdir()
    with running(tmp_path / "service") as found:
        yield found


def test_what_is_imported_is_shown_and_used(
    command: Command, vendor: Intel, cache: Path, bundle: Path, quote: Path
) -> None:
    """Import, show, verify without --collateral."""
    anchor = f"--anchor={vendor.anchors[0]}"
    imported = command("collateral", "import", bundle, anchor)
    again = command("collateral", "import", bundle, anchor, "--json")
    shown, listed = command("collateral", "show"), command("collateral", "show", "--json")

    assert (imported.exit_code, again.exit_code, shown.exit_code) == (0, 0, 0)
    assert imported.stderr.count("✓ intel/") == 4
    assert [entry["key"] for entry in listed.document["entries"]] == sorted(
        entry["key"] for entry in again.document["entries"]
    )
    assert shown.stdout.count("\n") == 5
    assert command("attest", "verify", quote, anchor).exit_code == 0
    assert cache.exists()


def test_what_runs_out_is_said(command: Command, vendor: Intel, cache: Path, bundle: Path) -> None:
    """Seven days before, and afterwards; a key narrows what is shown."""
    command("collateral", "import", bundle, f"--anchor={vendor.anchors[0]}")
    (entry,) = command("collateral", "show", "intel/crl/platform", "--json").document["entries"]
    year = int(entry["not_after"][:4])
    early, late = f"{year - 9}-01-01T00:00:00Z", f"{year + 9}-01-01T00:00:00Z"
    show = ("collateral", "show", "intel/crl/platform", "--now")

    assert command(*show, entry["not_after"], "--json").document["entries"][0]["state"] == (
        "expires soon"
    )
    assert "! intel/crl/platform: expires soon" in command(*show, entry["not_after"]).stderr
    assert "! intel/crl/platform: expired" in command(*show, late).stderr
    assert "not valid yet" in command(*show, early).stdout
    assert command("collateral", "show", "amd").stdout == "nothing\n"
    assert command(*show, "tomorrow").exit_code == 2


def test_a_refusal_keeps_what_was_there(
    command: Command, vendor: Intel, cache: Path, bundle: Path, tmp_path: Path
) -> None:
    """A changed file, a root that nobody trusts, a private key: nothing is stored."""
    anchor = f"--anchor={vendor.anchors[0]}"
    command("collateral", "import", bundle, anchor)
    before = command("collateral", "show", "--json").document["entries"]
    changed = tmp_path / "changed.json"
    changed.write_text(bundle.read_text().replace("tcbEvaluationDataNumber", "other"))
    label = "PRIVATE KEY-----"
    (tmp_path / "key.pem").write_text(f"-----BEGIN {label}\nAA==\n-----END {label}\n")
    refused = {
        "accord-ATT-006": (changed, anchor),
        "accord-ATT-002": (bundle, f"--anchor={ROOT_OF_NOBODY}"),
        "accord-COL-005": (tmp_path / "key.pem", anchor),
        "accord-CLI-001": (tmp_path / "none", anchor),
    }
    for code, (file, option) in refused.items():
        said = command("collateral", "import", bundle, file, option, "--json")
        assert said.document["code"] == code
    assert command("collateral", "show", "--json").document["entries"] == before
    assert command("collateral", "import").exit_code == 2


def test_a_damaged_cache_is_not_used(command: Command, cache: Path, quote: Path) -> None:
    """Exit code 7 for every command that would read it."""
    cache.mkdir()
    (cache / "index.json").write_text("{}")
    for arguments in (("collateral", "show"), ("attest", "verify", quote)):
        refused = command(*arguments, "--json")
        assert (refused.exit_code, refused.document["code"]) == (7, "accord-COL-007")


def test_fetching_brings_what_a_quote_needs(
    command: Command, vendor: Intel, cache: Path, quote: Path, service: Service
) -> None:
    """From a mirror on loopback, verified, stored, used; verifying itself asks nobody."""
    from accord.collateral import wanted_for

    fmspc = wanted_for(vendor.evidence())[0].path.rpartition("=")[2]
    serve_intel(service, vendor, fmspc)
    anchor = f"--anchor={vendor.anchors[0]}"
    mirror = ("--url", service.url, "--tls-ca", service.ca_file, anchor)
    fetched = command("collateral", "fetch", quote, *mirror)
    named = command(
        "collateral", "fetch", "--family", "tdx", "--fmspc", fmspc.upper(), *mirror, "--json"
    )

    assert (fetched.exit_code, named.exit_code) == (0, 0), fetched.stderr
    assert fetched.stderr.count("fetching https://127.0.0.1") == 4
    asked = len(service.asked)
    assert command("attest", "verify", quote, anchor).exit_code == 0
    assert len(service.asked) == asked


def test_what_is_fetched_and_does_not_verify_is_not_stored(
    command: Command, vendor: Intel, cache: Path, quote: Path, service: Service
) -> None:
    """A mirror that lies, one that has nothing, one with another certificate."""
    from accord.collateral import wanted_for

    fmspc = wanted_for(vendor.evidence())[0].path.rpartition("=")[2]
    fetch = ("collateral", "fetch", quote, "--url", service.url)
    trusted = ("--tls-ca", service.ca_file)
    assert command(*fetch, *trusted, "--json").document["code"] == "accord-COL-008"
    serve_intel(service, vendor, fmspc)
    assert command(*fetch, *trusted, "--json").document["code"] == "accord-ATT-002"
    untrusted = command(*fetch, "--json")
    assert (untrusted.exit_code, untrusted.document["code"]) == (5, "accord-COL-008")
    assert command("collateral", "show").stdout == "nothing\n"


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--fmspc", "00906ed50000"],
        ["--fmspc", "zz", "--family", "tdx"],
        ["--fmspc", "00906ed50000", "--family", "snp"],
        ["--fmspc", "00906ed50000", "--product", "Milan"],
        ["--rim", "../x"],
        ["--product", "Rome"],
    ],
    ids=" ".join,
)
def test_what_to_fetch_must_be_named(command: Command, cache: Path, options: list[str]) -> None:
    """Evidence, or exactly one platform."""
    assert command("collateral", "fetch", *options).exit_code == 2


def test_products_and_manifests_can_be_named(
    command: Command, cache: Path, service: Service
) -> None:
    """AMD's chains of both keys; one of NVIDIA's manifests."""
    mirror = ("--url", service.url, "--tls-ca", service.ca_file)
    for options in (["--product", "Genoa"], ["--rim", "NV_GPU_DRIVER_GH100_550.144.03"]):
        refused = command("collateral", "fetch", *options, *mirror, "--json")
        assert refused.document["code"] == "accord-COL-008"
    assert service.asked == ["/vcek/v1/Genoa/cert_chain", "/v1/rim/NV_GPU_DRIVER_GH100_550.144.03"]
    service.ca_file.write_text("no certificate")
    assert command("collateral", "fetch", "--product", "Genoa", *mirror).exit_code == 2


def test_the_cache_lies_where_caches_lie(
    command: Command, vendor: Intel, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """XDG's folder, unless an option or a variable says otherwise."""
    monkeypatch.delenv("ACCORD_COLLATERAL", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    anchor = f"--anchor={vendor.anchors[0]}"
    assert command("collateral", "import", bundle, anchor).exit_code == 0
    assert (tmp_path / "xdg" / "accord" / "collateral" / "index.json").exists()
    elsewhere = command("collateral", "show", "--cache", tmp_path / "other", "--json")
    assert elsewhere.document["entries"] == []


def test_a_stored_verdict_needs_no_cache(  # noqa: PLR0917 - fixtures
    command: Command, vendor: Intel, cache: Path, bundle: Path, quote: Path, tmp_path: Path
) -> None:
    """What it used is in it."""
    anchor = f"--anchor={vendor.anchors[0]}"
    command("collateral", "import", bundle, anchor)
    command("attest", "verify", quote, anchor, "--out", tmp_path / "verdict.json")
    stored = json.loads((tmp_path / "verdict.json").read_text())

    empty = ("--cache", tmp_path / "empty")
    assert command("attest", "verify", tmp_path / "verdict.json", anchor, *empty).exit_code == 0
    assert stored["evidence"]["endorsements"]
    assert stored["result"]["binding"] == "not checked"


def test_an_answer_for_another_platform_ends_with_3(
    command: Command, vendor: Intel, cache: Path, service: Service
) -> None:
    """Genuine collateral of another platform is not what was asked for, and is not stored."""
    from accord.collateral import wanted_for

    fmspc = wanted_for(vendor.evidence())[0].path.rpartition("=")[2]
    serve_intel(service, vendor, fmspc)
    pages, other = service.pages, "00906ed50000"
    pages[f"/tdx/certification/v4/tcb?fmspc={other}"] = pages[
        f"/tdx/certification/v4/tcb?fmspc={fmspc}"
    ]
    mirror = ("--url", service.url, "--tls-ca", service.ca_file, f"--anchor={vendor.anchors[0]}")
    fetch = ("collateral", "fetch", "--family", "tdx", "--fmspc", other)
    refused = command(*fetch, *mirror, "--json")

    assert (refused.exit_code, refused.document["code"]) == (3, "accord-COL-009")
    assert command("collateral", "show").stdout == "nothing\n"


def test_expired_answers_end_with_3(  # noqa: PLR0917 - fixtures
    command: Command,
    vendor: Intel,
    cache: Path,
    quote: Path,
    service: Service,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An attacker on the way replays what was true long ago."""
    from accord.cli import _collateral
    from accord.collateral import wanted_for

    fmspc = wanted_for(vendor.evidence())[0].path.rpartition("=")[2]
    serve_intel(service, vendor, fmspc)
    mirror = ("--url", service.url, "--tls-ca", service.ca_file, f"--anchor={vendor.anchors[0]}")
    later = _collateral._clock() + timedelta(days=9999)
    monkeypatch.setattr(_collateral, "_clock", lambda: later)
    refused = command("collateral", "fetch", quote, *mirror, "--json")

    assert (refused.exit_code, refused.document["code"]) == (3, "accord-COL-009")
    assert command("collateral", "show").stdout == "nothing\n"


def test_collateral_of_another_root_does_not_disturb(  # noqa: PLR0917 - fixtures
    command: Command, vendor: Intel, cache: Path, bundle: Path, quote: Path, tmp_path: Path
) -> None:
    """Two simulated vendors in one cache, the second newer: each verifies its own."""
    second = Intel(tmp_path / "second")
    (tmp_path / "second.json").write_bytes(second.bundle)
    anchor, other = f"--anchor={vendor.anchors[0]}", f"--anchor={second.anchors[0]}"
    command("collateral", "import", bundle, anchor)
    command("collateral", "import", tmp_path / "second.json", other)

    verified = command("attest", "verify", quote, anchor)
    assert verified.exit_code == 0, verified.stderr


# --- doctor ---------------------------------------------------------------------------------


def test_the_doctor_lists_every_family_and_never_fails(command: Command, tmp_path: Path) -> None:
    """On this machine, and on one that is imagined."""
    real, document = command("doctor"), command("doctor", "--json")
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/sgx_enclave").touch()
    imagined = command("doctor", "--root", tmp_path)

    assert (real.exit_code, document.exit_code, imagined.exit_code) == (0, 0, 0)
    names = [finding["name"] for finding in document.document["findings"]]
    assert names[:11] == [
        *("sgx", "tdx", "snp", "cca", "tpm", "txt", "azure", "nitro", "nvidia", "psa", "keystone")
    ]
    assert document.document["schema"] == "accord.doctor.v1"
    assert "! sgx: not inside an enclave" in imagined.stdout
