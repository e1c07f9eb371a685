# SPDX-License-Identifier: Apache-2.0
"""The strict XML reader, and its canonical form against the standard's and another's."""

from xml.etree.ElementTree import canonicalize as canonicalize_2_0

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from accord.errors import EvidenceMalformedError
from accord.evidence.nvidia._xml import (
    MAX_DEPTH,
    MAX_ELEMENTS,
    MAX_NAMESPACES,
    canonicalize,
    parse_xml,
)

FEW = settings(max_examples=80, deadline=None)
NAMES = st.sampled_from(["a", "b", "c"])
TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="￾￿")
    | st.sampled_from("\t\n\r<>&\"'"),
    max_size=8,
)


def escape(text: str) -> str:
    for char in "&<>\"'\t\n\r":
        text = text.replace(char, f"&#{ord(char)};") if char != "&" else text.replace("&", "&#38;")
    return text


@st.composite
def documents(draw: st.DrawFn, depth: int = 0) -> str:
    """Elements without namespaces: there Canonical XML 1.1 and 2.0 agree."""
    name = draw(NAMES)
    attributes = draw(st.dictionaries(NAMES, TEXT, max_size=3))
    head = " ".join([name, *(f"{key} = '{escape(value)}'" for key, value in attributes.items())])
    parts = st.builds(escape, TEXT)
    if depth < 3:
        parts |= documents(depth=depth + 1) | st.just("<!-- a comment -->")
        parts |= st.just("<![CDATA[ <&> ]]>")
    return f"<{head}>{''.join(draw(st.lists(parts, max_size=3)))}</{name}>"


@FEW
@given(document=documents())
def test_without_namespaces_it_is_as_the_standard_library_has_it(document: str) -> None:
    """An independent implementation, of the newer standard."""
    assert canonicalize(parse_xml(document.encode(), what="x")).decode() == canonicalize_2_0(
        document
    )


def canonical(document: str) -> str:
    return canonicalize(parse_xml(document.encode(), what="x")).decode()


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        # Canonical XML 1.1, 3.2 and 3.3: white space, attribute order, superfluous namespaces.
        ("<a>  <b\n/></a>\n", "<a>  <b></b></a>"),
        (
            '<e xmlns:b="urn:b" xmlns:a="urn:a" b:x="1" a:x="2" x="3" z="4" y="5"/>',
            '<e xmlns:a="urn:a" xmlns:b="urn:b" x="3" y="5" z="4" a:x="2" b:x="1"></e>',
        ),
        (
            '<e xmlns="urn:e"><f xmlns="urn:e"/><g xmlns=""><h xmlns=""/></g></e>',
            '<e xmlns="urn:e"><f></f><g xmlns=""><h></h></g></e>',
        ),
        # Prefixes that nobody uses are kept: it is the inclusive form.
        ('<e xmlns:u="urn:u"><f/></e>', '<e xmlns:u="urn:u"><f></f></e>'),
        ('<e a=" &#9;&#10;&#13;&lt;&quot;" />', '<e a=" &#x9;&#xA;&#xD;&lt;&quot;"></e>'),
        ("<e>&#13;\r\n&gt;</e>", "<e>&#xD;\n&gt;</e>"),
        ('<?xml version="1.0" encoding="UTF-8"?><e xml:lang="en"/>', '<e xml:lang="en"></e>'),
    ],
)
def test_the_canonical_form_is_that_of_the_standard(document: str, expected: str) -> None:
    """Examples after Canonical XML 1.1, section 3."""
    assert canonical(document) == expected


def test_a_part_carries_what_it_inherits() -> None:
    """Namespaces of all ancestors, and their language (2.4)."""
    root = parse_xml(
        b'<r xmlns="urn:r" xmlns:p="urn:p" xml:lang="en" xml:space="default">'
        b'<m xml:lang="de"><a p:x="1" xml:space="preserve"/></m></r>',
        what="x",
    )
    middle = root.elements()[0]
    assert canonicalize(middle.elements()[0], ancestors=(root, middle)).decode() == (
        '<a xmlns="urn:r" xmlns:p="urn:p" xml:lang="de" xml:space="preserve" p:x="1"></a>'
    )


@pytest.mark.parametrize(
    "document",
    [
        "",
        "no markup",
        "<a>",
        "<a></b>",
        "<a/><b/>",
        '<!DOCTYPE a [<!ENTITY e "x">]><a>&e;</a>',
        '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        "<?target data?><a/>",
        "<a>&unknown;</a>",
        '<p:a xmlns:q="urn:q"/>',
        '<a p:x="1"/>',
        '<a xmlns:p="urn:x" xmlns:q="urn:x" p:x="1" q:x="2"/>',
        '<a x="1" x="2"/>',
        '<a xmlns:p=""/>',
        '<a xmlns:xml="urn:x"/>',
        '<a xmlns:xmlns="urn:x"/>',
        '<a xmlns:p="http://www.w3.org/XML/1998/namespace"/>',
        '<a xmlns="http://www.w3.org/2000/xmlns/"/>',
        '<a xml:base="urn:x"/>',
        '<a xml:id="x"/>',
        '<a:b:c xmlns:a="urn:a"/>',
        "<:a/>",
        "<a>" * (MAX_DEPTH + 1) + "</a>" * (MAX_DEPTH + 1),
        "<a>" + "<b/>" * MAX_ELEMENTS + "</a>",
        "<a>" + "<b xmlns='urn:b'/>" * (MAX_NAMESPACES + 1) + "</a>",
    ],
)
def test_what_could_have_two_meanings_is_refused(document: str) -> None:
    """Entities, document types, undeclared or reserved prefixes, sizes."""
    with pytest.raises(EvidenceMalformedError):
        parse_xml(document.encode(), what="x")


def test_namespaces_do_not_multiply_with_elements() -> None:
    """Many of both took seconds and gigabytes, before any signature was looked at."""
    declared = " ".join(f"xmlns:p{number}='urn:p'" for number in range(12_500))
    with pytest.raises(EvidenceMalformedError, match="more namespaces"):
        parse_xml(f"<a {declared}>{'<b/>' * 3800}</a>".encode(), what="x")

    root = parse_xml(b"<a xmlns='urn:a'><b/><c xmlns:p='urn:p'><d/></c></a>", what="x")
    b, c = root.elements()
    assert b.scope is root.scope
    assert (c.scope is root.scope, c.elements()[0].scope is c.scope) == (False, True)


@pytest.mark.parametrize(
    "data", [b"\xff<a/>", b"\xff\xfe<\0a\0/\0>\0", b"<a>\xc3</a>", b"<a>\0</a>"]
)
def test_only_utf_8_is_read(data: bytes) -> None:
    """Another encoding could hide another document."""
    with pytest.raises(EvidenceMalformedError):
        parse_xml(data, what="x")


@FEW
@given(data=st.binary(max_size=60) | st.text("<>/a=' \"!?-[]&;#x:", max_size=40).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """The reader raises nothing of its own."""
    try:
        parse_xml(data, what="x")
    except EvidenceMalformedError:
        return


def test_text_of_an_element_is_all_that_it_has() -> None:
    """Mixed content is no text."""
    root = parse_xml(b"<a><b>x<!-- -->y</b><c>x<d/></c></a>", what="x")
    assert [child.text() for child in root.elements()] == ["xy", ""]
    assert root.get("missing") is None
