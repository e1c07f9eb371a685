# SPDX-License-Identifier: Apache-2.0
"""AWS Nitro enclaves: attestation documents."""

from accord.evidence.nitro._document import AttestationDocument, decode_document
from accord.evidence.nitro._nitro import parse_nitro, verify_nitro

__all__ = ["AttestationDocument", "decode_document", "parse_nitro", "verify_nitro"]
