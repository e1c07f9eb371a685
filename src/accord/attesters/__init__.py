# SPDX-License-Identifier: Apache-2.0
"""Collectors that read real TEEs of this machine, and what this machine has."""

from accord.attesters._azure import AzureVTPM
from accord.attesters._collector import Collector
from accord.attesters._composite import collect_composite
from accord.attesters._configfs import ConfigfsTSM
from accord.attesters._detect import open_collector
from accord.attesters._gramine import Gramine
from accord.attesters._metadata import metadata_service
from accord.attesters._nsm import NitroSecurityModule
from accord.attesters._nvml import NVML
from accord.attesters._survey import Finding, Machine, survey
from accord.attesters._tpm import TPMCollector, opened

__all__ = [
    "NVML",
    "AzureVTPM",
    "Collector",
    "ConfigfsTSM",
    "Finding",
    "Gramine",
    "Machine",
    "NitroSecurityModule",
    "TPMCollector",
    "collect_composite",
    "metadata_service",
    "open_collector",
    "opened",
    "survey",
]
