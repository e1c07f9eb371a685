# SPDX-License-Identifier: Apache-2.0
"""Canonical bytes: published vectors, and every second spelling refused."""

import json
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any

import pytest

from accord.encoding import (
    MAX_DOCUMENT_BYTES,
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
from accord.errors import (
    EncodingError,
    MalformedError,
    NotCanonicalError,
    TooLargeError,
    UnsupportedFormatError,
)


class Colour(StrEnum):
    """Something to choose from."""

    RED = "red"


# --- JSON ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        # RFC 8785, section 3.2.3: keys are sorted by UTF-16 code units.
        (
            {
                "\u20ac": "Euro Sign",
                "\r": "Carriage Return",
                "\ufb33": "Hebrew Letter Dalet With Dagesh",
                "1": "One",
                "\U0001f600": "Emoji: Grinning Face",
                "\u0080": "Control",
                "\u00f6": "Latin Small Letter O With Diaeresis",
            },
            (
                '{"\\r":"Carriage Return","1":"One","\u0080":"Control",'
                '"\u00f6":"Latin Small Letter O With Diaeresis","\u20ac":"Euro Sign",'
                '"\U0001f600":"Emoji: Grinning Face",'
                '"\ufb33":"Hebrew Letter Dalet With Dagesh"}'
            ),
        ),
        # RFC 8785, section 3.2.2: literals and strings.
        (
            {
                "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/",
                "literals": [None, True, False],
            },
            '{"literals":[null,true,false],"string":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}',
        ),
        # Appendix B and the reference repository: arrays, structures, unicode, weird.
        ([56, {"d": True, "10": None, "1": []}], '[56,{"1":[],"10":null,"d":true}]'),
        (
            {"1": {"f": {"f": "hi", "F": 5}, "\n": 56}, "10": {}, "": "empty", "a": {}},
            '{"":"empty","1":{"\\n":56,"f":{"F":5,"f":"hi"}},"10":{},"a":{}}',
        ),
        ({"Unnormalized Unicode": "A\u030a"}, '{"Unnormalized Unicode":"A\u030a"}'),
        ("\x08\x0c\t\x7f</script>", '"\\b\\f\\t\x7f</script>"'),
        (2**53 - 1, "9007199254740991"),
        (-(2**53) + 1, "-9007199254740991"),
    ],
)
def test_canonical_form_agrees_with_rfc_8785(value: Any, expected: str) -> None:
    """The published examples give the published bytes, and those are read back."""
    assert expected.encode() == canonical_json(value)
    assert value == parse_canonical_json(expected.encode(), what="vector")


@pytest.mark.parametrize("value", [2**53, float("nan"), {1: 2}, object(), b"bytes"])
def test_value_that_json_cannot_carry_is_a_bug_of_the_caller(value: object) -> None:
    """It is never turned into something similar."""
    with pytest.raises(RuntimeError, match="not representable"):
        canonical_json(value)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b'{"a":1,"a":2}', MalformedError),
        (b'{"a":{"b":1,"b":1}}', MalformedError),
        (b"1.0", MalformedError),
        (b"1e3", MalformedError),
        (b"-0.0", MalformedError),
        (b"NaN", MalformedError),
        (b"Infinity", MalformedError),
        (b"9007199254740992", MalformedError),
        (b"-9007199254740992", MalformedError),
        (b"9" * 5000, MalformedError),
        (b"\xff", MalformedError),
        (b"", MalformedError),
        (b"{", MalformedError),
        (b"{}{}", MalformedError),
        (b"{'a':1}", MalformedError),
        (b'"\x01"', MalformedError),
        (b"\xef\xbb\xbf{}", MalformedError),
        (b"01", MalformedError),
        (b"[" * 200_000, MalformedError),
        (b" " * (MAX_DOCUMENT_BYTES + 1), TooLargeError),
    ],
    ids=range(20),
)
def test_json_is_read_strictly(data: bytes, error: type[EncodingError]) -> None:
    """Whatever two readers could understand differently is refused."""
    with pytest.raises(error):
        parse_json(data, what="document")


@pytest.mark.parametrize(
    "data",
    [
        b' {"a":1}',
        b'{"a":1}\n',
        b'{"a": 1}',
        b'{"b":1,"a":1}',
        b'{"a":"\\u0041"}',
        b'{"a":"\\/"}',
        b"-0",
    ],
)
def test_second_spelling_is_not_canonical(data: bytes) -> None:
    """White space, order and escapes have one form each."""
    with pytest.raises(NotCanonicalError):
        parse_canonical_json(data, what="document")


@pytest.mark.parametrize("data", [b'"\\ud800"', b'{"\\udfff":1}', b'["\\ud800\\ud800"]'])
def test_lone_surrogates_have_no_canonical_form(data: bytes) -> None:
    """They cannot be written in UTF-8, so nothing that is signed holds one."""
    with pytest.raises(MalformedError):
        parse_canonical_json(data, what="document")


def test_limit_is_checked_before_anything_is_read() -> None:
    """A document that is too large is not parsed at all."""
    with pytest.raises(TooLargeError, match="larger than 3 bytes"):
        parse_json(b"\xff\xff\xff\xff", what="document", limit=3)


# --- base64, digests, times ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"f", "Zg=="),
        (b"fo", "Zm8="),
        (b"foo", "Zm9v"),
        (b"foobar", "Zm9vYmFy"),
        (b"\xfb\xff", "+/8="),
    ],
)
def test_base64_agrees_with_rfc_4648(data: bytes, text: str) -> None:
    """Section 10's vectors, both ways, and the standard alphabet."""
    assert text == base64_encode(data)
    assert data == base64_decode(text, what="data")


@pytest.mark.parametrize(
    "text",
    [
        "Zh==",
        "Zm9=",
        "Zg=",
        "Zg",
        "Zg===",
        "Zg== ",
        " Zg==",
        "Zg==\n",
        "Z\ng==",
        "-_8=",
        "Zg==Zg==",
        "Zé==",
        "=",
        "====",
        "\uff3a\uff27",
    ],
)
def test_second_spelling_of_base64_is_refused(text: str) -> None:
    """Unused bits, missing padding, another alphabet, white space: all change the text unseen."""
    with pytest.raises(MalformedError):
        base64_decode(text, what="data")


@pytest.mark.parametrize(
    "text",
    [
        "sha256:" + "A" * 64,
        "sha256:" + "a" * 63,
        "sha256:" + "a" * 65,
        "SHA256:" + "a" * 64,
        "sha512:" + "a" * 64,
        "a" * 64,
        "sha256:" + "a" * 64 + "\n",
        "",
        None,
        7,
        b"sha256:",
    ],
)
def test_digest_has_one_spelling(text: object) -> None:
    """Lower-case hex with its algorithm, and nothing around it."""
    with pytest.raises(MalformedError):
        parse_digest(text, what="digest")


def test_digest_is_sha_256() -> None:
    """The empty digest of FIPS 180-4, in our spelling."""
    empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

    assert empty == sha256(b"")
    assert empty == parse_digest(empty, what="digest")


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-31T12:00:00+00:00",
        "2026-01-31T12:00:00.0Z",
        "2026-01-31t12:00:00z",
        "2026-01-31 12:00:00Z",
        "2026-1-31T12:00:00Z",
        "2026-02-30T12:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T12:00:60Z",
        "2026-01-31T12:00:00Z\n",
        "0000-01-01T00:00:00Z",
        "\uff12\uff10\uff12\uff16-01-31T12:00:00Z",
        "٢٠٢٦-01-31T12:00:00Z",
        1769860800,
        None,
    ],
)
def test_time_has_one_spelling(text: object) -> None:
    """No zone but Z, no fraction, no other digits, no day that does not exist."""
    with pytest.raises(MalformedError):
        parse_time(text, what="time")


def test_time_is_written_in_utc_and_whole_seconds() -> None:
    """Fractions are cut off, zones are converted, early years keep four digits."""
    zone = timezone(timedelta(hours=2))

    assert format_time(datetime(2026, 1, 31, 14, 0, 0, 999_999, zone)) == "2026-01-31T12:00:00Z"
    assert format_time(datetime(999, 1, 1, tzinfo=UTC)) == "0999-01-01T00:00:00Z"


# --- Fields ----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, [], "x", 1, True, {1: 2}, {None: 1, "a": 2}])
def test_fields_read_objects_alone(value: Any) -> None:
    """A list, a text or a key that is no text is no object."""
    with pytest.raises(MalformedError, match="thing is malformed: expected an object"):
        Fields(value, "thing")


def test_fields_limit_the_number_of_fields() -> None:
    """Nobody needs a thousand fields."""
    with pytest.raises(MalformedError, match="more than 1024 fields"):
        Fields({str(n): n for n in range(1025)}, "thing")


def test_fields_refuse_what_was_not_read() -> None:
    """An unknown field in signed data could change its meaning for another reader."""
    fields = Fields({"a": 1, "c": 3, "b": 2}, "thing")
    fields.integer("a", minimum=0)

    with pytest.raises(MalformedError, match="thing is malformed: unknown field b, c"):
        fields.end()


def test_fields_are_taken_once() -> None:
    """A field that was read is gone: it cannot be read as two things."""
    fields = Fields({"a": 1}, "thing")

    assert fields.has("a")
    assert fields.names() == ["a"]
    assert fields.take("a") == 1
    assert not fields.has("a")
    with pytest.raises(MalformedError, match="field a is missing"):
        fields.take("a")
    fields.end()


READERS: dict[str, Any] = {
    "text": lambda f: f.text("x", limit=5),
    "name": lambda f: f.name("x"),
    "integer": lambda f: f.integer("x", minimum=1, maximum=5),
    "flag": lambda f: f.flag("x"),
    "digest": lambda f: f.digest("x"),
    "time": lambda f: f.time("x"),
    "data": lambda f: f.data("x", size=2),
    "limited data": lambda f: f.data("x", limit=3),
    "hex": lambda f: f.hex("x", size=2),
    "hexes": lambda f: f.hexes("x", size=1),
    "choice": lambda f: f.choice("x", Colour),
    "items": lambda f: list(f.items("x")),
    "texts": lambda f: f.texts("x", limit=2),
    "names": lambda f: f.unique_names("x"),
    "object": lambda f: f.object("x").names(),
    "objects": lambda f: f.objects("x"),
}


@pytest.mark.parametrize(
    ("reader", "value", "expected"),
    [
        ("text", "a\n\tb", "a\n\tb"),
        ("text", "\U00031350", "\U00031350"),
        ("name", "a.b-c_9", "a.b-c_9"),
        ("integer", 5, 5),
        ("flag", False, False),
        ("digest", sha256(b""), sha256(b"")),
        ("time", "2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("data", "AAE=", b"\x00\x01"),
        ("limited data", "", b""),
        ("hex", "00ff", b"\x00\xff"),
        ("hexes", ["00", "01"], (b"\x00", b"\x01")),
        ("choice", "red", Colour.RED),
        ("items", [1, None], [("thing.x[0]", 1), ("thing.x[1]", None)]),
        ("texts", ["a", ""], ("a", "")),
        ("names", ["b", "a"], ("b", "a")),
        ("object", {"k": 1}, ["k"]),
        ("objects", [], []),
    ],
)
def test_reader_gives_the_typed_value(reader: str, value: Any, expected: Any) -> None:
    """Each reader, on the good path."""
    assert expected == READERS[reader](Fields({"x": value}, "thing"))


@pytest.mark.parametrize(
    ("reader", "value"),
    [
        ("text", "toolong"),
        ("text", 7),
        ("text", "\x1b[m"),
        ("text", "\u202ex"),
        ("text", "\x00"),
        ("text", "\ud800"),
        ("text", "\u2028"),
        ("name", ""),
        ("name", "-a"),
        ("name", "a-"),
        ("name", "A"),
        ("name", "a/b"),
        ("name", "a" * 65),
        ("name", "a\n"),
        ("name", "é"),
        ("name", None),
        ("integer", 0),
        ("integer", 6),
        ("integer", True),
        ("integer", 1.0),
        ("integer", "1"),
        ("flag", 1),
        ("flag", "true"),
        ("flag", None),
        ("digest", "sha256:"),
        ("time", "now"),
        ("data", "AA=="),
        ("data", "AAAA"),
        ("data", "!"),
        ("data", 7),
        ("limited data", "A" * 12),
        ("hex", "00FF"),
        ("hex", "00f"),
        ("hex", b"\x00"),
        ("hexes", ["0"]),
        ("hexes", "00"),
        ("choice", "blue"),
        ("choice", []),
        ("choice", {}),
        ("choice", None),
        ("items", {}),
        ("items", "ab"),
        ("items", [0] * 1025),
        ("texts", ["abc"]),
        ("texts", [1]),
        ("names", ["a", "a"]),
        ("names", ["A"]),
        ("object", []),
        ("objects", [1]),
    ],
)
def test_reader_refuses_what_is_not_its_type(reader: str, value: Any) -> None:
    """Refused with the path of the field, never converted."""
    with pytest.raises(MalformedError, match=r"thing\.x"):
        READERS[reader](Fields({"x": value}, "thing"))


def test_absent_is_not_null() -> None:
    """An optional field may be left out; null is no way to leave it out."""
    assert Fields({}, "thing").optional("x", Fields({}, "thing").digest) is None
    fields = Fields({"x": None}, "thing")
    with pytest.raises(MalformedError):
        fields.optional("x", fields.digest)


@pytest.mark.parametrize("found", ["accord.thing.v2", None, 1, ["accord.thing.v1"]])
def test_other_format_is_named(found: object) -> None:
    """Another version is told apart from damage."""
    with pytest.raises(UnsupportedFormatError, match=r"expected accord\.thing\.v1"):
        Fields({"schema": found}, "thing").schema("accord.thing.v1")


# --- envelopes -------------------------------------------------------------------------------


def test_what_is_signed_agrees_with_dsse() -> None:
    """The examples of the DSSE protocol, byte for byte."""
    assert (
        pre_authentication_encoding("http://example.com/HelloWorld", b"hello world")
        == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert pre_authentication_encoding("", b"") == b"DSSEv1 0  0 "
    # Lengths count bytes, not characters.
    assert pre_authentication_encoding("é", "ü".encode()) == "DSSEv1 2 é 2 ü".encode()


def envelope(**changes: Any) -> bytes:
    document = {
        "payloadType": "application/x",
        "payload": base64_encode(b"{}"),
        "signatures": [{"keyid": sha256(b"k"), "sig": base64_encode(bytes(64))}],
        **changes,
    }
    return canonical_json({name: value for name, value in document.items() if value is not None})


def test_envelope_round_trip() -> None:
    """Reading what was written gives the same envelope."""
    read = Envelope.from_bytes(envelope(), what="envelope")

    assert read == Envelope("application/x", b"{}", (EnvelopeSignature(sha256(b"k"), bytes(64)),))
    assert envelope() == read.to_bytes()
    assert read.statement_digest == sha256(b"DSSEv1 13 application/x 2 {}")


def test_statement_digest_does_not_depend_on_who_signed() -> None:
    """The same words signed by somebody else are the same statement."""
    other = [{"keyid": sha256(b"other"), "sig": base64_encode(bytes(range(64)))}]

    assert (
        Envelope.from_bytes(envelope(), what="a").statement_digest
        == Envelope.from_bytes(envelope(signatures=other), what="b").statement_digest
    )


SIGNATURE = {"keyid": sha256(b"k"), "sig": base64_encode(bytes(64))}


@pytest.mark.parametrize(
    "changes",
    [
        {"signatures": []},
        {"signatures": [SIGNATURE, SIGNATURE]},
        {"signatures": [{**SIGNATURE, "keyid": sha256(bytes((n,)))} for n in range(65)]},
        {"signatures": [{**SIGNATURE, "sig": base64_encode(bytes(63))}]},
        {"signatures": [{**SIGNATURE, "extra": 1}]},
        {"signatures": [{"sig": SIGNATURE["sig"]}]},
        {"signatures": {}},
        {"payload": "!"},
        {"payload": None},
        {"payloadType": "x" * 129},
        {"payloadType": "a\x1b"},
        {"extra": 1},
    ],
    ids=range(12),
)
def test_malformed_envelope_is_refused(changes: Any) -> None:
    """No signature, too many, one key twice, a wrong size, an unknown field."""
    with pytest.raises(MalformedError):
        Envelope.from_bytes(envelope(**changes), what="envelope")


def test_envelope_has_one_spelling() -> None:
    """A reformatted envelope is not the same file."""
    with pytest.raises(NotCanonicalError):
        Envelope.from_bytes(json.dumps(json.loads(envelope())).encode(), what="envelope")
