# SPDX-License-Identifier: Apache-2.0
"""The policy language: schema, strict reading, rules, semantic diff."""

from accord.policy._access import ANYONE, Access
from accord.policy._assurance import Assurance
from accord.policy._attestation import TCB_STATUSES, WHOLE, AttestationVariant
from accord.policy._components import ComponentRule
from accord.policy._diff import Change, diff
from accord.policy._document import POLICY_SCHEMA, Policy
from accord.policy._exports import PUBLIC, PUBLIC_KINDS, Export, read_exports
from accord.policy._fates import Fate, carried_over
from accord.policy._finding import Finding, Severity
from accord.policy._fragment_uses import FragmentUse
from accord.policy._fragments import Fragment
from accord.policy._freshness import FreshnessMode, FreshnessRule
from accord.policy._lint import lint
from accord.policy._live import LiveMount, LiveVolume, UpdateMode
from accord.policy._names import owner_of, parent_name, parse_asset_name, parse_policy_name
from accord.policy._resolve import resolve
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
from accord.policy._schema import policy_schema
from accord.policy._scone import Converted, import_scone
from accord.policy._secrets import (
    AUTHORITY,
    CERTIFICATE_KINDS,
    GENERATED_KINDS,
    IDENTITY,
    MAX_CHAIN,
    RAW_KINDS,
    Endpoint,
    JWTAlgorithm,
    KeyAlgorithm,
    PeerService,
    SecretKind,
    SecretSpec,
    read_secrets,
)
from accord.policy._service import Channel, InjectedFile, Input, Network, Output, Service
from accord.policy._templates import (
    FILES_ONLY,
    FORMATS,
    OWN_FORMATS,
    Reference,
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
    "MAX_CHAIN",
    "MAX_WEIGHT",
    "OWN_FORMATS",
    "POLICY_SCHEMA",
    "PUBLIC",
    "PUBLIC_KINDS",
    "RAW_KINDS",
    "STOPPERS",
    "TCB_STATUSES",
    "WHOLE",
    "Access",
    "Assurance",
    "AttestationVariant",
    "Change",
    "Channel",
    "ComponentRule",
    "Converted",
    "Electorate",
    "Endpoint",
    "Export",
    "Family",
    "FamilyFields",
    "Fate",
    "Finding",
    "Fragment",
    "FragmentUse",
    "FreshnessMode",
    "FreshnessRule",
    "InjectedFile",
    "Input",
    "JWTAlgorithm",
    "KeyAlgorithm",
    "LiveMount",
    "LiveVolume",
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
    "Severity",
    "Term",
    "UpdateMode",
    "carried_over",
    "check_template",
    "diff",
    "import_scone",
    "lint",
    "names_in",
    "owner_of",
    "parent_name",
    "parse_asset_name",
    "parse_policy",
    "parse_policy_name",
    "parse_term",
    "parse_yaml",
    "policy_schema",
    "read_exports",
    "read_secrets",
    "resolve",
    "tcb_terms",
    "variant_terms",
]
