# SPDX-License-Identifier: Apache-2.0
"""The values of secrets: made, kept, written in formats, filled into templates; certificates."""

from accord.secrets._authority import MAX_IDENTITY_LIFETIME, PolicyAuthority, spiffe_id
from accord.secrets._format import rendered
from accord.secrets._generate import generate
from accord.secrets._render import fill, fill_file, render
from accord.secrets._totp import totp_step
from accord.secrets._value import MAX_DEPOSIT, SecretValue, public_parts

__all__ = [
    "MAX_DEPOSIT",
    "MAX_IDENTITY_LIFETIME",
    "PolicyAuthority",
    "SecretValue",
    "fill",
    "fill_file",
    "generate",
    "public_parts",
    "render",
    "rendered",
    "spiffe_id",
    "totp_step",
]
