# SPDX-License-Identifier: Apache-2.0
"""A strict reader of small XML documents, and their canonical form (Canonical XML 1.1).

Expat tells the markup apart; names, namespaces and the canonical form are done here. Document
types, entities and processing instructions are refused, so that a document has one meaning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from xml.parsers import expat

from accord.errors import EvidenceMalformedError

MAX_DEPTH = 16
MAX_ELEMENTS = 4096
MAX_NAMESPACES = 64
"""Most declarations of namespaces in one document: manifests have about ten."""

_XML = "http://www.w3.org/XML/1998/namespace"
_XMLNS = "http://www.w3.org/2000/xmlns/"
_INHERITED = frozenset({"lang", "space"})
"""Attributes of prefix xml that an element hands down (Canonical XML 1.1, 2.4)."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """``qualified`` is the name as written, with its prefix."""

    namespace: str
    local: str
    qualified: str
    value: str


@dataclass(frozen=True, slots=True, eq=False)
class Element:
    """An element, equal to itself alone. ``scope`` maps every prefix in it to its namespace."""

    namespace: str
    local: str
    qualified: str
    attributes: tuple[Attribute, ...]
    scope: Mapping[str, str]
    children: list[Element | str]

    def elements(self) -> list[Element]:
        """Its direct children, without text."""
        return [child for child in self.children if isinstance(child, Element)]

    def get(self, local: str, namespace: str = "") -> str | None:
        """The value of an attribute."""
        for attribute in self.attributes:
            if (attribute.namespace, attribute.local) == (namespace, local):
                return attribute.value
        return None

    def text(self) -> str:
        """Its text, which is all that it has; empty where it has elements."""
        return "" if self.elements() else "".join(map(str, self.children))


def parse_xml(data: bytes, *, what: str) -> Element:
    """The root element of a document in UTF-8. Raises ``EvidenceMalformedError``."""
    builder = _Builder(what)
    parser = expat.ParserCreate("utf-8")
    parser.ordered_attributes = True
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    parser.StartDoctypeDeclHandler = builder.refuse
    parser.ProcessingInstructionHandler = builder.refuse
    try:
        parser.Parse(data.decode("utf-8"), True)
    except (expat.ExpatError, UnicodeDecodeError) as exc:
        raise EvidenceMalformedError(what=what, detail=f"not well-formed XML: {exc}") from exc
    return builder.root()


@dataclass
class _Builder:
    """Makes elements of what expat sees."""

    what: str
    count: int = 0
    declared: int = 0
    # The document itself stands below everything, and binds the prefix that is always bound.
    open: list[Element] = field(
        default_factory=lambda: [Element("", "", "", (), {"xml": _XML}, [])]
    )

    def root(self) -> Element:
        return self.open[0].elements()[0]

    def start(self, name: str, flat: list[str]) -> None:
        self.count += 1
        if self.count > MAX_ELEMENTS or len(self.open) > MAX_DEPTH:
            raise self.malformed("more elements than any manifest has")
        written = list(zip(flat[::2], flat[1::2], strict=True))
        # Most declare nothing, and share what is above them.
        scope = self.open[-1].scope
        for key, value in written:
            prefix, separator, local = key.partition(":")
            if prefix == "xmlns":
                scope = self.declare(scope, local if separator else "", value)
        attributes = tuple(
            Attribute(*self.expand(key, scope, default=""), key, value)
            for key, value in written
            if key.partition(":")[0] != "xmlns"
        )
        if len({(item.namespace, item.local) for item in attributes}) != len(attributes):
            raise self.malformed("an attribute comes twice")
        if any(item.namespace == _XML and item.local not in _INHERITED for item in attributes):
            raise self.malformed("an attribute of prefix xml is not understood")
        namespace, local = self.expand(name, scope, default=scope.get("", ""))
        element = Element(namespace, local, name, attributes, scope, [])
        self.append(element)
        self.open.append(element)

    def declare(self, scope: Mapping[str, str], prefix: str, namespace: str) -> Mapping[str, str]:
        """Namespaces in XML 1.0, 3 and 6.1: what may be declared; only no prefix can be undone."""
        if prefix in {"xml", "xmlns"} or namespace in {_XML, _XMLNS} or (prefix and not namespace):
            raise self.malformed("a namespace is declared that cannot be")
        self.declared += 1
        if self.declared > MAX_NAMESPACES:
            raise self.malformed("more namespaces than any manifest has")
        return {**scope, prefix: namespace}

    def expand(self, name: str, scope: Mapping[str, str], *, default: str) -> tuple[str, str]:
        prefix, separator, local = name.partition(":")
        if not separator:
            return default, name
        if prefix not in scope or not prefix or not local or ":" in local:
            raise self.malformed(f"{name} has no namespace")
        return scope[prefix], local

    def end(self, _name: str) -> None:
        self.open.pop()

    def text(self, data: str) -> None:
        self.append(data)

    def append(self, child: Element | str) -> None:
        self.open[-1].children.append(child)

    def refuse(self, *_: object) -> None:
        raise self.malformed("it has a document type or processing instructions")

    def malformed(self, detail: str) -> EvidenceMalformedError:
        return EvidenceMalformedError(what=self.what, detail=detail)


def canonicalize(
    apex: Element, *, without: Element | None = None, ancestors: Sequence[Element] = ()
) -> bytes:
    """Canonical XML 1.1 of ``apex`` and all below it, except ``without``; no comments.

    ``ancestors`` are those of ``apex``, outermost first, where it is not the root. For what
    `parse_xml` admits, Canonical XML 1.0 has the same form.
    """
    inherited = {
        item.local: item
        for element in (*ancestors, apex)
        for item in element.attributes
        if item.namespace == _XML
    }
    out: list[str] = []
    _write(apex, {}, tuple(inherited.values()), without, out)
    return "".join(out).encode()


def _write(
    element: Element,
    rendered: Mapping[str, str],
    inherited: tuple[Attribute, ...],
    without: Element | None,
    out: list[str],
) -> None:
    """``rendered`` is the scope of the parent as it was written."""
    out.append("<" + element.qualified)
    declared = {**dict.fromkeys(rendered.keys() & {""}, ""), **element.scope}
    for prefix in sorted(declared):
        namespace = declared[prefix]
        if prefix != "xml" and rendered.get(prefix, "") != namespace:
            name = f"xmlns:{prefix}" if prefix else "xmlns"
            out.append(f' {name}="{_escape_attribute(namespace)}"')
    own = [item for item in element.attributes if item not in inherited]
    attributes = sorted((*own, *inherited), key=lambda item: (item.namespace, item.local))
    out.extend(f' {item.qualified}="{_escape_attribute(item.value)}"' for item in attributes)
    out.append(">")
    for child in element.children:
        if isinstance(child, str):
            out.append(_escape_text(child))
        elif child is not without:
            _write(child, element.scope, (), without, out)
    out.append(f"</{element.qualified}>")


def _escape_text(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("\r", "&#xD;")


def _escape_attribute(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return text.replace("\t", "&#x9;").replace("\n", "&#xA;").replace("\r", "&#xD;")
