# SPDX-License-Identifier: Apache-2.0
"""The policy language: schema, strict reading, semantic diff."""

from accord.policy._attestation import (
    MEASUREMENT_BYTES,
    TCB_STATUSES,
    Assurance,
    AttestationVariant,
    Family,
)

__all__ = [
    "MEASUREMENT_BYTES",
    "TCB_STATUSES",
    "Assurance",
    "AttestationVariant",
    "Family",
]
