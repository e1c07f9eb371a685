# SPDX-License-Identifier: Apache-2.0
"""How much an attested environment is worth."""

from __future__ import annotations

from enum import StrEnum


class Assurance(StrEnum):
    """How much an attested environment is worth, weakest first (design section 6)."""

    SIMULATED = "simulated"
    TPM = "tpm"
    CVM = "cvm"
    ENCLAVE = "enclave"

    @property
    def rank(self) -> int:
        return list(Assurance).index(self)

    def at_least(self, minimum: Assurance) -> bool:
        return self.rank >= minimum.rank

    def weaker(self, other: Assurance) -> Assurance:
        """What two environments are worth that both hold the same secret."""
        return self if other.at_least(self) else other
