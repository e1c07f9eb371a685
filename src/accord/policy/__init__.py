# SPDX-License-Identifier: Apache-2.0
"""The policy language: schema, strict reading, semantic diff."""

from accord.policy._attestation import (
    MEASUREMENT_BYTES,
    TCB_STATUSES,
    Assurance,
    AttestationVariant,
    Family,
)
from accord.policy._diff import Change, diff
from accord.policy._document import (
    POLICY_SCHEMA,
    Input,
    Network,
    Output,
    Policy,
    Service,
    parse_asset_name,
)
from accord.policy._yaml import parse_policy, parse_yaml

__all__ = [
    "MEASUREMENT_BYTES",
    "POLICY_SCHEMA",
    "TCB_STATUSES",
    "Assurance",
    "AttestationVariant",
    "Change",
    "Family",
    "Input",
    "Network",
    "Output",
    "Policy",
    "Service",
    "diff",
    "parse_asset_name",
    "parse_policy",
    "parse_yaml",
]
