# SPDX-License-Identifier: Apache-2.0
"""`accord attest get`: evidence of this machine with its parts, or of a simulation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from accord.attesters import Choices, collect_composite, open_collector
from accord.cli._options import PATH, read_file, with_output, write_file, writing
from accord.cli._output import Output
from accord.cli._verification import read_report_data
from accord.collateral import MAX_FILE_BYTES, name_items, recognise, with_endorsements
from accord.encoding import NAME, JSONValue
from accord.evidence import Evidence
from accord.policy import Family

_TPMS = (Family.TPM, Family.TXT)


def read_handle(
    _: click.Context | None, param: click.Parameter | None, text: str | None
) -> int | None:
    """A handle or an NV index of a TPM, as its tools write it. Raises ``click.BadParameter``."""
    if text is None:
        return None
    try:
        number = int(text, 16) if text.startswith("0x") else -1
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 32:
        raise click.BadParameter("expected a handle such as 0x81010001", param=param)
    return number


@click.command()
@click.option(
    "--family",
    type=click.Choice([family.value for family in Family]),
    help="Which TEE; without it, the one that this machine has.",
)
@click.option(
    "--part",
    "parts",
    multiple=True,
    metavar="NAME=FAMILY",
    help="Ask a part of the machine as well: vtpm=tpm, gpu0=nvidia; GPUs in their order.",
)
@click.option("--simulated", type=PATH, help="Folder of a simulated TEE. NOT HARDWARE.")
@click.option("--report-data", metavar="HEX", help="The 64 bytes to bind it to.")
@click.option("--nonce", metavar="HEX", help="A verifier's nonce of at most 64 bytes.")
@click.option("--out", "target", type=PATH, help="Write the evidence to this file.")
@click.option("--raw", is_flag=True, help="Only what the hardware signed, without attachments.")
@click.option("--network", is_flag=True, help="Let the collector ask Azure's metadata service.")
@click.option("--gpu", type=click.IntRange(min=0), help="Which GPU, with --family nvidia.")
@click.option(
    "--ak-handle",
    metavar="HANDLE",
    callback=read_handle,
    help="Persistent attestation key of the TPM.",
)
@click.option(
    "--ak-certificate", metavar="FILE|HANDLE", help="Its certificate: a file, or an NV index."
)
@with_output
def get(
    out: Output,
    /,
    *,
    family: str | None,
    parts: tuple[str, ...],
    simulated: Path | None,
    report_data: str | None,
    nonce: str | None,
    target: Path | None,
    raw: bool,
    **hardware: Any,
) -> None:
    """Collect evidence of this machine, or of a simulation if that is asked for.

    With --part, evidence of the machine's parts is asked for with the same 64 bytes: that
    proves that all were asked together, not that they sit in the same machine.

    \b
    Example:
      accord attest get --family tdx --report-data $HEX --out evidence.json
      accord attest get --family snp --part gpu0=nvidia --report-data $HEX --out evidence.json
      accord attest get --family snp --simulated simulated-hardware/snp --out evidence.json
    """
    asked = read_report_data(report_data, nonce)
    kinds = _read_parts(parts)
    kind = None if family is None else Family(family)
    if raw and kinds:
        raise click.UsageError("--raw is one report: it has no parts")
    if simulated is not None and any(
        value is not None and value is not False for value in hardware.values()
    ):
        raise click.UsageError("--gpu, --ak-handle, --ak-certificate and --network ask hardware")
    if asked is None:
        out.warn("BOUND TO NOTHING: 64 zero bytes; give --report-data or --nonce")
        asked = bytes(64)
    if simulated is None:
        evidence, anchors = _ask(out, kind, kinds, asked, **hardware), None
    elif kind is None:
        raise click.UsageError("--simulated needs --family")
    else:
        evidence, anchors = _simulate(out, kind, kinds, simulated, asked)
    found: dict[str, JSONValue] = {
        "schema": "accord.collected.v1",
        "family": evidence.family.value,
        "simulated": simulated is not None,
        "report_data": asked.hex(),
        "evidence": evidence.to_json(),
    } | ({} if anchors is None else {"anchors": list(anchors)})
    _hand_over(out, target, evidence, found, raw=raw)


def _hand_over(
    out: Output,
    target: Path | None,
    evidence: Evidence,
    found: Mapping[str, JSONValue],
    *,
    raw: bool,
) -> None:
    if target is None:
        # Without a file the document itself is the data; raw bytes go to no terminal.
        out.result(found, evidence.blob.hex() if raw else evidence.to_bytes().decode())
        return
    write_file(target, evidence.blob if raw else evidence.to_bytes())
    written: dict[str, JSONValue] = {**found, "file": str(target)}
    out.result(written, f"{evidence.family.value} evidence in {target}")


def _read_parts(given: Sequence[str]) -> Mapping[str, Family]:
    found: dict[str, Family] = {}
    for text in given:
        name, _, family = text.partition("=")
        known = family in {item.value for item in Family}
        if not known or not NAME.fullmatch(name) or name in found:
            raise click.BadParameter(
                f"expected NAME=FAMILY with a new name, found {text!r}", param_hint="--part"
            )
        found[name] = Family(family)
    return found


def _ask(
    out: Output,
    family: Family | None,
    parts: Mapping[str, Family],
    asked: bytes,
    *,
    network: bool,
    gpu: int | None,
    ak_handle: int | None,
    ak_certificate: str | None,
) -> Evidence:
    """Evidence of this machine; a part that cannot be asked fails it as a whole."""
    if gpu is not None and family is not Family.NVIDIA:
        raise click.UsageError("--gpu needs --family nvidia; parts count their GPUs themselves")
    has_tpm = family in _TPMS or any(kind in _TPMS for kind in parts.values())
    if (ak_handle is not None or ak_certificate is not None) and not has_tpm:
        raise click.UsageError("--ak-handle and --ak-certificate need a TPM: --family tpm or txt")
    in_tpm = ak_certificate is not None and ak_certificate.startswith("0x")
    choices = Choices(
        network=network,
        ak_handle=ak_handle,
        ak_certificate=read_handle(None, None, ak_certificate) if in_tpm else None,
        gpu=gpu or 0,
    )
    certificate = None if in_tpm or ak_certificate is None else Path(ak_certificate)
    whole = open_collector(family, choices=choices)
    first = 1 if whole.family is Family.NVIDIA else 0
    gpus = iter(range(first, first + len(parts)))
    collectors = {
        name: open_collector(
            kind, choices=replace(choices, gpu=next(gpus)) if kind is Family.NVIDIA else choices
        )
        for name, kind in parts.items()
    }
    out.note(f"asking this machine for {whole.family.value} evidence")
    for name, collector in collectors.items():
        out.note(f"and its part {name} for {collector.family.value} evidence")
    evidence = collect_composite(whole, collectors, asked)
    if certificate is None:
        return evidence
    return _certified(evidence, certificate)


def _certified(evidence: Evidence, path: Path) -> Evidence:
    """``evidence`` of a TPM, and of parts that are, with the certificate of its key."""
    parts = {name: _certified(part, path) for name, part in evidence.parts.items()}
    evidence = replace(evidence, parts=parts)
    if evidence.family not in _TPMS:
        return evidence
    items = recognise(read_file(path, limit=MAX_FILE_BYTES), what=str(path))
    return with_endorsements(evidence, name_items(evidence, items))


def _simulate(
    out: Output, family: Family, parts: Mapping[str, Family], home: Path, asked: bytes
) -> tuple[Evidence, tuple[str, ...]]:
    from accord.testing import create_simulated

    out.warn("SIMULATED: real bytes under a test root, and no protection at all")
    with writing(home):
        whole = create_simulated(family, home)
        simulators = {
            name: create_simulated(kind, home / "parts" / name) for name, kind in parts.items()
        }
    anchors = _unique(anchor for item in (whole, *simulators.values()) for anchor in item.anchors)
    for anchor in anchors:
        out.note(f"its test root: {anchor}")
    return collect_composite(whole, simulators, asked), anchors


def _unique(anchors: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(anchors))
