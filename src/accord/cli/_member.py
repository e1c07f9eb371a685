# SPDX-License-Identifier: Apache-2.0
"""`accord member`: identities."""

from __future__ import annotations

from pathlib import Path

import click

from accord.cli._options import home_option, with_output, writing
from accord.cli._output import Output
from accord.identity import FileIdentity


@click.group("member")
def group() -> None:
    """Identities of stakeholders: one key to sign, one to receive results."""


def _show(out: Output, identity: FileIdentity) -> None:
    public = identity.public
    out.result(
        {**public.to_json(), "key_id": public.verify_key.key_id},
        [f"name    {public.name}", f"key     {public.verify_key.key_id}"],
    )


@group.command()
@click.argument("name")
@home_option
@with_output
def new(out: Output, name: str, home: Path) -> None:
    """Make the identity NAME in --home; an identity that is there already is kept.

    \b
    Example: accord member new hospital-a --home hospital-a
    """
    with writing(home):
        identity = FileIdentity.create(home, name)
    out.note(f"identity in {home}; share {home / 'identity.json'}, keep the rest secret")
    _show(out, identity)


@group.command()
@home_option
@with_output
def show(out: Output, home: Path) -> None:
    """Show the public part of the identity in --home.

    \b
    Example: accord member show --home hospital-a
    """
    _show(out, FileIdentity.load(home))
