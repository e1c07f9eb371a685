# SPDX-License-Identifier: Apache-2.0
"""Identity keys, signed statements, and messages sealed to a key."""

from accord.identity._files import PRIVATE, read_private, write_whole
from accord.identity._keys import PublicIdentity, SealKey, VerifyKey
from accord.identity._keyset import Keyset
from accord.identity._seal import open_sealed, seal
from accord.identity._signer import FileIdentity, KeySigner, Signer
from accord.identity._statement import (
    Statement,
    sign_statement,
    statement_kind,
    verify_statement,
)

__all__ = [
    "PRIVATE",
    "FileIdentity",
    "KeySigner",
    "Keyset",
    "PublicIdentity",
    "SealKey",
    "Signer",
    "Statement",
    "VerifyKey",
    "open_sealed",
    "read_private",
    "seal",
    "sign_statement",
    "statement_kind",
    "verify_statement",
    "write_whole",
]
