# SPDX-License-Identifier: Apache-2.0
"""The policy language: schema, strict reading, semantic diff."""

from accord.policy._assurance import Assurance
from accord.policy._attestation import TCB_STATUSES, WHOLE, AttestationVariant
from accord.policy._components import ComponentRule
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
from accord.policy._terms import Term, tcb_terms, variant_terms
from accord.policy._yaml import parse_policy, parse_yaml
from accord.policy.families import FAMILIES, Family, FamilyFields, Scalar

__all__ = [
    "FAMILIES",
    "POLICY_SCHEMA",
    "TCB_STATUSES",
    "WHOLE",
    "Assurance",
    "AttestationVariant",
    "Change",
    "ComponentRule",
    "Family",
    "FamilyFields",
    "Input",
    "Network",
    "Output",
    "Policy",
    "Scalar",
    "Service",
    "Term",
    "diff",
    "parse_asset_name",
    "parse_policy",
    "parse_yaml",
    "tcb_terms",
    "variant_terms",
]
