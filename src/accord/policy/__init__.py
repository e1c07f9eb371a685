# SPDX-License-Identifier: Apache-2.0
"""The policy language: schema, strict reading, rules, semantic diff."""

from accord.policy._access import ANYONE, Access
from accord.policy._assurance import Assurance
from accord.policy._attestation import TCB_STATUSES, WHOLE, AttestationVariant
from accord.policy._components import ComponentRule
from accord.policy._diff import Change, diff
from accord.policy._document import POLICY_SCHEMA, Policy
from accord.policy._names import parent_name, parse_asset_name, parse_policy_name
from accord.policy._rules import (
    AFFECTED_OWNERS,
    LINEAGE_OWNERS,
    MAX_WEIGHT,
    STOPPERS,
    Electorate,
    Rule,
    RuleKind,
    parse_term,
)
from accord.policy._secrets import (
    AUTHORITY,
    CERTIFICATE_KINDS,
    GENERATED_KINDS,
    IDENTITY,
    PUBLIC,
    PUBLIC_KINDS,
    Endpoint,
    Export,
    Fate,
    JWTAlgorithm,
    KeyAlgorithm,
    PeerService,
    SecretKind,
    SecretSpec,
    carried_over,
    read_exports,
    read_secrets,
)
from accord.policy._service import Channel, InjectedFile, Input, Network, Output, Service
from accord.policy._templates import (
    FILES_ONLY,
    FORMATS,
    OWN_FORMATS,
    Reference,
    check_format,
    check_template,
    names_in,
)
from accord.policy._terms import Term, tcb_terms, variant_terms
from accord.policy._yaml import parse_policy, parse_yaml
from accord.policy.families import FAMILIES, Family, FamilyFields, Scalar

__all__ = [
    "AFFECTED_OWNERS",
    "ANYONE",
    "AUTHORITY",
    "CERTIFICATE_KINDS",
    "FAMILIES",
    "FILES_ONLY",
    "FORMATS",
    "GENERATED_KINDS",
    "IDENTITY",
    "LINEAGE_OWNERS",
    "MAX_WEIGHT",
    "OWN_FORMATS",
    "POLICY_SCHEMA",
    "PUBLIC",
    "PUBLIC_KINDS",
    "STOPPERS",
    "TCB_STATUSES",
    "WHOLE",
    "Access",
    "Assurance",
    "AttestationVariant",
    "Change",
    "Channel",
    "ComponentRule",
    "Electorate",
    "Endpoint",
    "Export",
    "Family",
    "FamilyFields",
    "Fate",
    "InjectedFile",
    "Input",
    "JWTAlgorithm",
    "KeyAlgorithm",
    "Network",
    "Output",
    "PeerService",
    "Policy",
    "Reference",
    "Rule",
    "RuleKind",
    "Scalar",
    "SecretKind",
    "SecretSpec",
    "Service",
    "Term",
    "carried_over",
    "check_format",
    "check_template",
    "diff",
    "names_in",
    "parent_name",
    "parse_asset_name",
    "parse_policy",
    "parse_policy_name",
    "parse_term",
    "parse_yaml",
    "read_exports",
    "read_secrets",
    "tcb_terms",
    "variant_terms",
]
