# SPDX-License-Identifier: Apache-2.0
"""The entry points, and the tree of commands; each noun is imported when it is used."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click

from accord import __version__
from accord.cli._output import Output
from accord.errors import AccordError, CommandLineError, ExitCode, InternalFailureError

_NOUNS = {
    "asset": "offer an asset under terms, withdraw it, list assets",
    "audit": "execute a log again, or follow it",
    "attest": "evidence: collect, verify, explain; reference values",
    "board": "found a board, sign its genesis, show it",
    "bundle": "make and check the offline proof of a run",
    "collateral": "the vendors' endorsements: fetch, import, show",
    "demo": "the main job, end to end, on one machine",
    "doctor": "which TEEs and tools this machine has",
    "execution": "stop what runs, let it go on, issue tokens",
    "job": "runs: list, show, fetch an output",
    "lineage": "which data and code a result came from",
    "member": "identities, membership, approval services",
    "policy": "check and show policies",
    "proposal": "propose, review and vote",
    "recovery": "bring a board back on another machine",
    "refvalue": "values that policies name: measured, or imported",
    "secret": "deposit values under terms, see which secrets there are",
    "service": "run and attest the trust service",
    "shield": "run one service of a policy inside a TEE",
    "sim": "simulated hardware, for laptops and tests",
    "volume": "seal and verify encrypted volumes",
    "witness": "cosign logs, so that nobody can roll them back",
    "why": "who gets a secret or an asset, and on whose word",
}


class _Nouns(click.Group):
    """A group whose commands live in `accord.cli.NOUN` and load only when they are named."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_NOUNS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _NOUNS:
            return None
        module = importlib.import_module(f"accord.cli._{cmd_name}")
        command = module.group
        if not isinstance(command, click.Command):
            message = f"accord.cli._{cmd_name}.group is no command"
            raise TypeError(message)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(_NOUNS.items()))


@click.command(cls=_Nouns, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="accord")
def cli() -> None:
    """Secure machine learning for stakeholders who do not trust one another.

    Data goes to stdout, words go to stderr; `--json` on every command. Exit codes: 0 done,
    1 failed, 2 wrong use, 3 not verified, 4 refused, 5 unreachable, 6 votes missing,
    7 tampered or rolled back, 130 interrupted.

    \b
    Try:
      accord demo hospitals --out demo-out
      accord bundle verify demo-out/bundle
    """


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code; every refusal is put into words."""
    output = Output(json="--json" in arguments)
    try:
        result = cli.main(list(arguments), prog_name="accord", standalone_mode=False)
    except AccordError as error:
        output.error(error)
        return error.exit_code
    except click.ClickException as error:
        if output.json:
            output.error(CommandLineError(detail=error.format_message()))
        else:
            error.show()
        return ExitCode.USAGE
    except (click.Abort, KeyboardInterrupt):
        output.note("interrupted")
        return ExitCode.INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last line of defence against a traceback
        if "ACCORD_DEBUG" in os.environ:
            import traceback

            traceback.print_exc()
        output.error(InternalFailureError(kind=type(error).__name__))
        return ExitCode.FAILURE
    return result if isinstance(result, int) else ExitCode.OK


def main() -> None:
    """The command ``accord``."""
    sys.exit(run(sys.argv[1:]))


def shield_main() -> None:
    """The command ``accord-shield``: the entry point of a TEE, the same as `accord shield`."""
    sys.exit(run(["shield", *sys.argv[1:]]))
