# SPDX-License-Identifier: Apache-2.0
"""Collectors that read real TEEs of this machine, and what this machine has."""

from accord.attesters._azure import AzureVTPM
from accord.attesters._collector import Collector
from accord.attesters._composite import Asked, collect_composite
from accord.attesters._configfs import ConfigfsTSM
from accord.attesters._detect import Choices, open_collector
from accord.attesters._enrol import EndorsementKey, TPMKeys, answer, read_keys
from accord.attesters._gramine import Gramine
from accord.attesters._metadata import metadata_service
from accord.attesters._nsm import NitroSecurityModule
from accord.attesters._nvml import NVML
from accord.attesters._survey import Finding, Machine, survey
from accord.attesters._tpm import Connect, TPMCollector, opened
from accord.attesters._tpm_commands import Transmit
from accord.attesters._tpm_counter import AUTH_BYTES, COUNTER_INDEX, TPMCounter

__all__ = [
    "AUTH_BYTES",
    "COUNTER_INDEX",
    "NVML",
    "Asked",
    "AzureVTPM",
    "Choices",
    "Collector",
    "ConfigfsTSM",
    "Connect",
    "EndorsementKey",
    "Finding",
    "Gramine",
    "Machine",
    "NitroSecurityModule",
    "TPMCollector",
    "TPMCounter",
    "TPMKeys",
    "Transmit",
    "answer",
    "collect_composite",
    "metadata_service",
    "open_collector",
    "opened",
    "read_keys",
    "survey",
]
