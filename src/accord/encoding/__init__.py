# SPDX-License-Identifier: Apache-2.0
"""Canonical bytes, strict readers, digests, times and signed envelopes."""

from accord.encoding._base64 import base64_decode, base64_encode
from accord.encoding._cbor import CBORValue, Tagged, decode_cbor
from accord.encoding._digest import Digest, parse_digest, sha256
from accord.encoding._envelope import Envelope, EnvelopeSignature, pre_authentication_encoding
from accord.encoding._fields import MAX_ITEMS, MAX_TEXT, NAME, Fields, parse_name
from accord.encoding._json import (
    MAX_DOCUMENT_BYTES,
    JSONValue,
    canonical_json,
    parse_canonical_json,
    parse_json,
)
from accord.encoding._time import format_time, parse_time

__all__ = [
    "MAX_DOCUMENT_BYTES",
    "MAX_ITEMS",
    "MAX_TEXT",
    "NAME",
    "CBORValue",
    "Digest",
    "Envelope",
    "EnvelopeSignature",
    "Fields",
    "JSONValue",
    "Tagged",
    "base64_decode",
    "base64_encode",
    "canonical_json",
    "decode_cbor",
    "format_time",
    "parse_canonical_json",
    "parse_digest",
    "parse_json",
    "parse_name",
    "parse_time",
    "pre_authentication_encoding",
    "sha256",
]
