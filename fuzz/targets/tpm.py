# SPDX-License-Identifier: Apache-2.0
"""The parsers of TPM structures, quotes, launch logs, and of other tools' files."""

from __future__ import annotations

from collections.abc import Callable

from accord.evidence.tpm import (
    import_go_attestation,
    import_response,
    import_trust_agent,
    parse_attest,
    parse_public,
    parse_quote,
    parse_txt_log,
)

TARGETS: dict[str, Callable[[bytes], object]] = {
    "tpm-attest": parse_attest,
    "tpm-public": parse_public,
    "tpm-quote": parse_quote,
    "tpm-response": lambda data: import_response(data, aux={}),
    "tpm-go-attestation": import_go_attestation,
    "txt-agent": import_trust_agent,
    "txt-log": parse_txt_log,
}
