# SPDX-License-Identifier: Apache-2.0
"""Templates, the secrets that policies declare, and stored values."""

from __future__ import annotations

from collections.abc import Callable

from accord.encoding import Fields, parse_json
from accord.policy import SecretKind, carried_over, check_template, read_exports, read_secrets
from accord.secrets import SecretValue, fill_file, rendered

_VALUES = {
    "a": SecretValue(SecretKind.ASCII, b"{{ accord.b }}"),
    "b": SecretValue(SecretKind.BINARY, bytes(range(256))),
}


def _template(data: bytes) -> None:
    fill_file(data.decode(errors="replace"), _VALUES, where="fuzz")


def _secrets(data: bytes) -> None:
    fields = Fields(parse_json(data, what="fuzz"), "fuzz")
    secrets = read_secrets(fields.object("secrets"))
    read_exports(fields, secrets)
    carried_over(secrets, secrets)
    check_template(fields.text("text"), secrets, where="fuzz")


def _value(data: bytes) -> None:
    value = SecretValue.from_bytes(data)
    rendered(value, None, name="fuzz")


TARGETS: dict[str, Callable[[bytes], object]] = {
    "template": _template,
    "template-reference": lambda data: _template(b"{{ accord." + data + b" }}"),
    "secrets": _secrets,
    "secret-value": _value,
}
