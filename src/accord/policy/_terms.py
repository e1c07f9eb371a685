# SPDX-License-Identifier: Apache-2.0
"""Everything that an attestation variant says, in words: for the diff and for who signs.

Values that somebody chose are written in full, in visible ASCII and in quotes: a shortened one
could be imitated, and one without quotes could go on into the next word.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from accord.encoding import format_time
from accord.policy._attestation import AttestationVariant
from accord.policy._components import ComponentRule
from accord.policy.families import FAMILIES, Scalar

_ESCAPES = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}

Term = tuple[str, tuple[str, ...]]
"""What is demanded, and the values of which one suffices."""


def visible(text: str) -> str:
    """``text`` in visible ASCII: a value draws no line, hides nothing and imitates no letter.

    Two texts never look the same: the backslash of an escape is none of the text's own.
    """
    return "".join(
        _ESCAPES.get(c) or (c if " " <= c <= "~" else f"\\u{{{ord(c):x}}}") for c in text
    )


def variant_terms(variant: AttestationVariant) -> Iterator[Term]:
    """All that must hold at once beside family, TCB and parts; equal variants, equal terms."""
    for register, digests in sorted(variant.measurements.items()):
        yield register, tuple(value.hex() for value in digests)
    for name, values in sorted(variant.attributes.items()):
        yield f"{name} is", tuple(map(_scalar, values))
    for name, least in sorted(variant.minimums.items()):
        yield f"{name} at least", (str(least),)
    if variant.components:
        yield "every component", tuple(map(_rule, variant.components))
    if variant.allowed_instances:
        yield "only on machine", tuple(value.hex() for value in variant.allowed_instances)
    if variant.denied_instances:
        yield "not on machine", tuple(value.hex() for value in variant.denied_instances)


def tcb_terms(variant: AttestationVariant) -> Iterator[Term]:
    """What the vendor may think of the platform; nothing where vendors do not rate it."""
    if not FAMILIES[variant.family].has_tcb_status:
        return
    yield "TCB", variant.tcb_statuses
    for status, until in sorted(variant.tcb_grace.items()):
        yield "or, until " + format_time(until) + ",", (status,)
    yield "at least", (str(variant.min_tcb_evaluation_number),)
    if variant.rejected_advisories:
        yield "without advisory", tuple(map(_quoted, variant.rejected_advisories))


def sentence(variant: AttestationVariant) -> str:
    """The whole variant on one line; equal variants, equal sentences, and no others."""
    kind = "SIMULATED " if variant.simulated else ""
    terms = [f"{what} {' or '.join(values)}" for what, values in variant_terms(variant)]
    terms += [f"part {name} {{{sentence(part)}}}" for name, part in _parts(variant)]
    tcb = ", ".join(f"{what} {'/'.join(values)}" for what, values in tcb_terms(variant))
    rated = f" ({tcb})" if tcb else ""
    return f"{kind}{variant.family.value} with {', '.join(terms)}{rated}"


def _parts(variant: AttestationVariant) -> list[tuple[str, AttestationVariant]]:
    named: Mapping[str, AttestationVariant] = variant.parts
    return sorted(named.items())


def _scalar(value: Scalar) -> str:
    return _quoted(value) if isinstance(value, str) else json.dumps(value)


def _rule(rule: ComponentRule) -> str:
    said = {
        "digest": None if rule.digest is None else rule.digest.hex(),
        "signer": None if rule.signer is None else rule.signer.hex(),
        "kind": None if rule.kind is None else _quoted(rule.kind),
        "name": None if rule.name is None else _quoted(rule.name),
        "version": None if rule.version is None else _quoted(rule.version),
    }
    words = [f"{what} {value}" for what, value in said.items() if value is not None]
    return f"({', '.join(words)})"


def _quoted(text: str) -> str:
    return '"' + visible(text).replace('"', '\\"') + '"'
