# SPDX-License-Identifier: Apache-2.0
"""TPM 2.0 quotes and Intel TXT: structures, logs, credential activation."""

from accord.evidence.tpm._bootfacts import BootFacts, boot_facts
from accord.evidence.tpm._credential import AKEnrolment, Credential, EnrolledAK, make_credential
from accord.evidence.tpm._eventlog import Event, EventLog, check_replay, parse_event_log, replay
from accord.evidence.tpm._ima import (
    IMAEntries,
    IMAEntry,
    IMALog,
    parse_ima_log,
    replay_ima,
    replay_until,
)
from accord.evidence.tpm._import import (
    import_go_attestation,
    import_host_manifest,
    import_quote,
    import_response,
    import_trust_agent,
)
from accord.evidence.tpm._quote import (
    Quote,
    check_registers,
    format_registers,
    pack_quote,
    parse_quote,
    parse_registers,
    verify_attested,
)
from accord.evidence.tpm._structures import (
    Attest,
    Certified,
    Clock,
    Public,
    Quoted,
    Selection,
    Signature,
    parse_attest,
    parse_public,
    parse_signature,
)
from accord.evidence.tpm._txtlog import TXTEvent, TXTLog, parse_txt_log
from accord.evidence.tpm._verify import ParsedTPM, parse_tpm, parse_txt, verify_tpm, verify_txt

__all__ = [
    "AKEnrolment",
    "Attest",
    "BootFacts",
    "Certified",
    "Clock",
    "Credential",
    "EnrolledAK",
    "Event",
    "EventLog",
    "IMAEntries",
    "IMAEntry",
    "IMALog",
    "ParsedTPM",
    "Public",
    "Quote",
    "Quoted",
    "Selection",
    "Signature",
    "TXTEvent",
    "TXTLog",
    "boot_facts",
    "check_registers",
    "check_replay",
    "format_registers",
    "import_go_attestation",
    "import_host_manifest",
    "import_quote",
    "import_response",
    "import_trust_agent",
    "make_credential",
    "pack_quote",
    "parse_attest",
    "parse_event_log",
    "parse_ima_log",
    "parse_public",
    "parse_quote",
    "parse_registers",
    "parse_signature",
    "parse_tpm",
    "parse_txt",
    "parse_txt_log",
    "replay",
    "replay_ima",
    "replay_until",
    "verify_attested",
    "verify_tpm",
    "verify_txt",
]
