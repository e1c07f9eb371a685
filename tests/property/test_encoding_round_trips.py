# SPDX-License-Identifier: Apache-2.0
"""Encoding: what is written is read, one value has one spelling, and nothing else escapes."""

import base64
import string
from datetime import UTC, datetime
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from accord.encoding import (
    Envelope,
    EnvelopeSignature,
    Fields,
    base64_decode,
    base64_encode,
    canonical_json,
    format_time,
    parse_canonical_json,
    parse_digest,
    parse_json,
    parse_time,
    pre_authentication_encoding,
    sha256,
)
from accord.errors import AccordError, MalformedError

LIMIT = 2**53 - 1
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-LIMIT, LIMIT) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)
BASE64 = string.ascii_letters + string.digits + "+/="
ENVELOPES = st.builds(
    Envelope,
    st.text(string.ascii_lowercase + "/.+", max_size=40),
    st.binary(max_size=60),
    st.lists(
        st.builds(
            EnvelopeSignature,
            st.binary(max_size=4).map(sha256),
            st.binary(min_size=64, max_size=64),
        ),
        min_size=1,
        max_size=4,
        unique_by=lambda item: item.key_id,
    ).map(tuple),
)
fast = settings(max_examples=80, deadline=None)


@fast
@given(JSON)
def test_canonical_json_is_read_back(value: Any) -> None:
    """Whatever is written canonically is canonical, and is the same value."""
    data = canonical_json(value)

    assert value == parse_canonical_json(data, what="value")
    assert data == canonical_json(parse_json(data, what="value"))


@fast
@given(st.binary(max_size=60) | JSON.map(lambda value: canonical_json(value) + b" "))
@example(b'{"a":1,"a":1}')
@example(b'"\\ud83d"')
@example(b"[[[[[[[[")
def test_reader_accepts_canonical_bytes_alone(data: bytes) -> None:
    """Accepted bytes are the canonical ones; everything else is one of our errors."""
    try:
        value = parse_canonical_json(data, what="value")
    except AccordError as exc:
        shown = str(exc)
    else:
        assert data == canonical_json(value)
        return
    assert shown.isprintable()


@fast
@given(st.binary(max_size=70))
def test_base64_is_the_standard_one(data: bytes) -> None:
    """As Python writes it, and read back."""
    assert base64_encode(data) == base64.b64encode(data).decode()
    assert data == base64_decode(base64_encode(data), what="data")


@fast
@given(st.binary(min_size=1, max_size=40), st.data())
def test_no_other_spelling_of_base64_is_read(data: bytes, draw: st.DataObject) -> None:
    """Change, add or drop any one character: other bytes or a refusal, never the same bytes."""
    text = base64_encode(data)
    at = draw.draw(st.integers(0, len(text) - 1))
    letter = draw.draw(st.sampled_from(BASE64 + " \n-_é"))
    for spelling in (
        text[:at] + letter + text[at + 1 :],
        text[:at] + letter + text[at:],
        text[:at] + text[at + 1 :],
    ):
        try:
            read = base64_decode(spelling, what="data")
        except MalformedError:
            continue
        assert spelling == text or read != data


@fast
@given(st.text(max_size=75) | st.text("0123456789abcdefABCDEF", min_size=64, max_size=64))
def test_digest_is_exact(text: str) -> None:
    """64 lower-case hex digits after the name of the algorithm, or a refusal."""
    for spelling in (text, f"sha256:{text}"):
        try:
            assert spelling == parse_digest(spelling, what="digest")
        except MalformedError:
            continue
        assert set(spelling.removeprefix("sha256:")) <= set("0123456789abcdef")
        assert len(spelling) == 71


@fast
@given(st.datetimes(timezones=st.just(UTC)))
def test_time_is_read_back(moment: datetime) -> None:
    """To the second, over all years that can be written."""
    assert moment.replace(microsecond=0) == parse_time(format_time(moment), what="time")


@fast
@given(st.text(max_size=24) | st.from_regex(r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z"))
def test_time_has_one_spelling(text: str) -> None:
    """What is accepted is what would be written."""
    try:
        moment = parse_time(text, what="time")
    except MalformedError:
        return
    assert text == format_time(moment)


@fast
@given(ENVELOPES)
def test_envelope_is_read_back(envelope: Envelope) -> None:
    """With all its signatures, in their order."""
    assert envelope == Envelope.from_bytes(envelope.to_bytes(), what="envelope")


@fast
@given(ENVELOPES, st.data())
def test_damaged_envelope_is_another_or_refused(envelope: Envelope, draw: st.DataObject) -> None:
    """One changed byte is never the same envelope."""
    data = bytearray(envelope.to_bytes())
    at = draw.draw(st.integers(0, len(data) - 1))
    data[at] ^= draw.draw(st.integers(1, 255))
    try:
        read = Envelope.from_bytes(bytes(data), what="envelope")
    except AccordError:
        return
    assert read != envelope


@fast
@given(TEXT, st.binary(max_size=20), TEXT, st.binary(max_size=20))
def test_what_is_signed_has_one_reading(one: str, a: bytes, other: str, b: bytes) -> None:
    """Type and payload cannot be cut in two places."""
    same = pre_authentication_encoding(one, a) == pre_authentication_encoding(other, b)

    assert same == ((one, a) == (other, b))


@fast
@given(st.dictionaries(st.sampled_from("abc"), JSON), st.lists(st.sampled_from("abcd")))
def test_fields_are_all_taken_or_refused(value: dict[str, Any], taken: list[str]) -> None:
    """`end` passes exactly where everything was taken, each once."""
    fields = Fields(value, "thing")
    for name in taken:
        if fields.has(name):
            assert value[name] == fields.take(name)
    try:
        fields.end()
    except MalformedError:
        assert set(value) - set(taken)
    else:
        assert set(value) <= set(taken)


@fast
@given(JSON, st.sampled_from(["text", "name", "flag", "digest", "time", "data", "texts", "items"]))
def test_reader_returns_its_type_or_refuses(value: Any, reader: str) -> None:
    """No value makes a reader raise anything else."""
    try:
        read = getattr(Fields({"x": value}, "thing"), reader)("x")
        list(read) if reader == "items" else read
    except MalformedError as exc:
        shown = str(exc)
    else:
        return
    assert "thing.x" in shown
