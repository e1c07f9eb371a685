# SPDX-License-Identifier: Apache-2.0
"""`accord refvalue`: values that policies name, measured or imported."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import click

from accord.cli._options import PATH, read_file, with_output
from accord.cli._output import Output
from accord.encoding import parse_time
from accord.errors import CommandLineError, MalformedError
from accord.refvalues import (
    VMM,
    LaunchOptions,
    PageOrder,
    ReferenceValues,
    import_corim,
    measure_enclave,
    measure_registers,
    measure_runtime_registers,
    measure_snp,
    measure_tdvf,
    variants_yaml,
)

_LARGEST = 64 << 20
_KINDS = {
    "snp": ("vcpus", "vcpu_type", "vmm", "guest_features", "kernel", "initrd", "append"),
    "tdx": ("log", "page_order"),
    "tpm": ("bank", "pcrs"),
    "sgx": (),
}
"""What can be measured, and the options that mean something for it."""


@click.group("refvalue")
def group() -> None:
    """Reference values: what a policy must name, from files that you trust."""


@group.command()
@click.argument("kind", type=click.Choice(list(_KINDS)))
@click.argument("file", type=PATH)
@click.option("--vcpus", type=click.IntRange(1, 512), help="snp: number of virtual CPUs.")
@click.option("--vcpu-type", metavar="NAME", help="snp: their type, as QEMU calls it.")
@click.option(
    "--vmm",
    type=click.Choice([item.value for item in VMM]),
    help="snp: the host's VMM (default qemu).",
)
@click.option(
    "--guest-features", type=click.IntRange(0), help="snp: SEV features (default 1, SNP alone)."
)
@click.option("--kernel", type=PATH, help="snp: kernel that the host starts.")
@click.option("--initrd", type=PATH, help="snp: its initial RAM disk.")
@click.option("--append", metavar="TEXT", help="snp: its command line.")
@click.option("--log", type=PATH, help="tdx: CCEL event log, for the RTMRs.")
@click.option(
    "--page-order",
    type=click.Choice([item.value for item in PageOrder]),
    help="tdx: how the host adds pages (default interleaved).",
)
@click.option("--bank", metavar="NAME", help="tpm: hash of the PCRs (default sha256).")
@click.option(
    "--pcr", "pcrs", multiple=True, type=click.IntRange(0, 23), help="tpm: which PCRs; else all."
)
@with_output
def measure(out: Output, /, kind: str, file: Path, **options: object) -> None:
    """Compute what evidence of an environment must say, from the FILE it starts with.

    KIND is snp (FILE: an OVMF image), tdx (a TDVF image), tpm (a TCG event log) or sgx (a
    SIGSTRUCT).

    \b
    Examples:
      accord refvalue measure sgx enclave.sig
      accord refvalue measure snp OVMF.fd --vcpus 4 --vcpu-type EPYC-v4
      accord refvalue measure tdx TDVF.fd --log ccel.bin
      accord refvalue measure tpm binary_bios_measurements --bank sha256 --pcr 4 --pcr 7
    """
    # Click gives () for an option that may come often and did not, None for every other.
    given = {name: value for name, value in options.items() if value not in (None, ())}
    for name in given:
        if name not in _KINDS[kind]:
            option = {"pcrs": "pcr"}.get(name, name).replace("_", "-")
            raise CommandLineError(detail=f"--{option} means nothing for {kind}")
    _show(out, _measured(kind, file, given))


def _measured(kind: str, file: Path, given: dict[str, object]) -> ReferenceValues:
    match kind:
        case "snp":
            for name in ("vcpus", "vcpu_type"):
                if name not in given:
                    option = name.replace("_", "-")
                    raise CommandLineError(detail=f"snp needs --{option}: the digest covers it")
            if "vmm" in given:
                given["vmm"] = VMM(str(given["vmm"]))
            return measure_snp(file, LaunchOptions(**given))  # type: ignore[arg-type]
        case "tdx":
            order = PageOrder(str(given.get("page_order", PageOrder.INTERLEAVED)))
            values = measure_tdvf(read_file(file, limit=_LARGEST), order=order)
            if not isinstance(given.get("log"), Path):
                return values
            registers = measure_runtime_registers(
                read_file(Path(str(given["log"])), limit=_LARGEST)
            )
            caveat = "the log is unsigned: one machine says so of itself, in a state you trust"
            return replace(
                values,
                measurements=MappingProxyType({**values.measurements, **registers}),
                caveats=(*values.caveats, caveat),
            )
        case "tpm":
            data, pcrs = read_file(file, limit=_LARGEST), given.get("pcrs", ())
            chosen = pcrs if isinstance(pcrs, tuple) else ()
            return measure_registers(data, bank=str(given.get("bank", "sha256")), registers=chosen)
    return measure_enclave(read_file(file))


@group.command("import")
@click.argument("file", type=PATH)
@click.option("--signer", type=PATH, help="Public key (PEM or DER) that must have signed it.")
@click.option("--unsigned", is_flag=True, help="Accept a manifest that nobody signed.")
@click.option("--now", metavar="TIME", help="The moment at which it must be valid.")
@with_output
def import_(
    out: Output, file: Path, signer: Path | None, now: str | None, *, unsigned: bool
) -> None:
    """Turn a manifest of reference values (CoRIM) into attestation variants.

    \b
    Example: accord refvalue import platform.corim --signer vendor.pem
    """
    if unsigned == (signer is not None):
        raise CommandLineError(detail="say either --signer or --unsigned")
    try:
        at = datetime.now(UTC) if now is None else parse_time(now, what="--now")
    except MalformedError as exc:
        raise CommandLineError(detail=str(exc)) from exc
    key = None if signer is None else read_file(signer)
    manifest = import_corim(read_file(file), signer=key, now=at)
    if manifest.signer is None:
        out.warn("UNSIGNED: anybody could have written this manifest")
    else:
        out.fact(f"signed by {manifest.signer}")
    for values in manifest.values:
        _remark(out, values)
    variants = [values.variant() for values in manifest.values]
    out.result(
        {
            "manifest": manifest.name,
            "profile": manifest.profile,
            "signer": manifest.signer,
            "anchors": list(manifest.anchors),
            "attestation": variants,
            "missing": [values.missing for values in manifest.values],
            "caveats": [list(values.caveats) for values in manifest.values],
        },
        [
            f"# manifest {manifest.name}",
            *(f"# anchor {anchor}" for anchor in manifest.anchors),
            *variants_yaml(manifest.values).splitlines(),
        ],
    )


def _show(out: Output, values: ReferenceValues) -> None:
    _remark(out, values)
    out.result(values.to_json(), variants_yaml([values]).splitlines())


def _remark(out: Output, values: ReferenceValues) -> None:
    for caveat in values.caveats:
        out.warn(caveat)
    if values.missing:
        out.warn(f"not a policy yet: {values.missing}")
