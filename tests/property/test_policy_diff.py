# SPDX-License-Identifier: Apache-2.0
"""Policies: whatever is generated, the digest is stable and the diff tells the truth."""

import io
import json
from dataclasses import replace
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from tests.support.board import digest, policy_json

from accord.encoding import canonical_json, parse_json
from accord.errors import AccordError
from accord.policy import TCB_STATUSES, Policy, diff, parse_policy

fast = settings(max_examples=60, deadline=None)

NAMES = st.sampled_from(["a", "b", "train", "x.y"])
TEXTS = st.text(
    st.sampled_from("ab '\"\\\n\t\r$+-=,;:()/u{}9\xe9e\u0301\ufe0f\u0430\xa0\u3164"), max_size=6
)
HEX = st.sampled_from([bytes(48).hex(), bytes(range(48)).hex()])
DIGESTS = st.sampled_from([digest("one"), digest("two")])


def some(values: st.SearchStrategy[Any], *, least: int = 0) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=least, max_size=2)


def different(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, min_size=1, max_size=2, unique=True)


GPUS = st.fixed_dictionaries(
    {
        "family": st.just("nvidia"),
        "attributes": st.fixed_dictionaries(
            {"driver_version": different(TEXTS), "vbios_version": different(TEXTS)}
        ),
    },
    optional={"simulated": st.booleans()},
)
VARIANTS = st.fixed_dictionaries(
    {
        "family": st.just("tdx"),
        "measurements": st.fixed_dictionaries(
            {"mrtd": different(HEX)},
            optional={"rtmr0": different(HEX), "mrconfigid": different(HEX)},
        ),
    },
    optional={
        "simulated": st.booleans(),
        "tcb_statuses": different(st.sampled_from(TCB_STATUSES[:3])),
        "min_tcb_evaluation_number": st.integers(0, 3),
        "tcb_grace": st.dictionaries(
            st.sampled_from(TCB_STATUSES[3:]),
            st.sampled_from(["2026-12-31T00:00:00Z", "2027-01-01T00:00:00Z"]),
            min_size=1,
        ),
        "rejected_advisories": different(st.sampled_from(["INTEL-SA-00615", "INTEL-SA-00828"])),
        "attributes": st.fixed_dictionaries({"fmspc": different(TEXTS)}),
        "minimums": st.fixed_dictionaries({"tdx_module_svn": st.integers(0, 2)}),
        "allowed_instances": different(st.sampled_from(["01" * 16, "02" * 16])),
        "denied_instances": different(st.sampled_from(["03" * 16, "04" * 16])),
        "components": different(st.sampled_from(["0f", "0e"])).map(
            lambda digests: [{"digest": digest} for digest in digests]
        ),
        "parts": st.dictionaries(st.sampled_from(["gpu0", "gpu1"]), GPUS, min_size=1),
    },
)
SERVICES = st.fixed_dictionaries(
    {
        "attestation": some(VARIANTS, least=1),
        "command": st.tuples(st.sampled_from(["python3", "sh"]), TEXTS).map(list),
        "inputs": st.lists(
            st.fixed_dictionaries(
                {
                    "asset": st.sampled_from(["ann/x", "bob/y"]),
                    "tag": DIGESTS,
                    "at": st.sampled_from(["/in/x", "/in/y", "/in/a b", "/in/a', version"]),
                }
            ),
            max_size=2,
            unique_by=lambda item: item["at"],
        ),
        "outputs": st.lists(
            st.fixed_dictionaries(
                {
                    "name": NAMES,
                    "at": st.sampled_from(["/out/x", "/out/y"]),
                    "readers": st.lists(NAMES, min_size=1, max_size=2, unique=True),
                }
            ),
            max_size=2,
            unique_by=(lambda item: item["at"], lambda item: item["name"]),
        ),
    },
    optional={
        "environment": st.dictionaries(st.sampled_from(["A", "B"]), TEXTS, max_size=2),
        "workdir": st.sampled_from(["/tmp", "/w", "/w and ends within 7 s"]),
        "network": st.just("none"),
        "timeout_s": st.integers(1, 8),
    },
)
POLICIES = st.fixed_dictionaries(
    {
        "schema": st.just("accord.policy.v1"),
        "name": NAMES,
        "purpose": NAMES,
        "services": st.dictionaries(NAMES, SERVICES, min_size=1, max_size=2),
    },
    optional={"predecessor": DIGESTS},
)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Policy, Policy]:
    """Two policies: unrelated, or the same but for one field somewhere."""
    one = draw(POLICIES)
    other = draw(POLICIES)
    if draw(st.booleans()):
        other = json.loads(json.dumps(one))
        service = draw(SERVICES)
        name = draw(st.sampled_from(sorted(other["services"])))
        field = draw(st.sampled_from(sorted(service)))
        other["services"][name][field] = service[field]
    return Policy.from_json(one), Policy.from_json(other)


@fast
@given(POLICIES)
def test_policy_is_read_as_it_was_written(document: Any) -> None:
    """The resolved form is a fixed point, through canonical bytes."""
    policy = Policy.from_json(document)
    again = Policy.from_json(parse_json(canonical_json(policy.to_json()), what="policy"))

    assert policy == again
    assert policy.digest == again.digest


@fast
@given(POLICIES, st.randoms(use_true_random=False), st.sampled_from(["json", "yaml"]))
def test_digest_is_independent_of_spelling(document: Any, random: Any, style: str) -> None:
    """Any order of keys, any indentation, flow or block style."""

    def shuffled(value: Any) -> Any:
        if isinstance(value, dict):
            keys = list(value)
            random.shuffle(keys)
            return {key: shuffled(value[key]) for key in keys}
        return [shuffled(item) for item in value] if isinstance(value, list) else value

    if style == "json":
        text = json.dumps(shuffled(document), indent=random.choice([None, 1, 4]))
    else:
        yaml, stream = YAML(typ="safe", pure=True), io.StringIO()
        yaml.default_flow_style = random.choice([True, False, None])
        yaml.representer.ignore_aliases = lambda *_: True
        yaml.dump(shuffled(document), stream)
        text = stream.getvalue().removeprefix("%YAML 1.2\n")

    assert Policy.from_json(document).digest == parse_policy(text.encode()).digest


@fast
@given(pairs())
def test_diff_is_empty_exactly_where_nothing_changed(pair: tuple[Policy, Policy]) -> None:
    """Up to the version that is replaced: nobody can slip a change past the voters."""
    one, other = pair
    same = replace(one, predecessor=None).digest == replace(other, predecessor=None).digest

    assert (diff(one, other) == ()) is same
    assert (diff(other, one) == ()) is same


@fast
@given(pairs())
def test_diff_is_printable_and_one_line_each(pair: tuple[Policy, Policy]) -> None:
    """No value draws a line, hides one, or appears with another's sign."""
    one, other = pair
    changes = diff(one, other)

    shown = [text for c in changes for text in (c.sentence, c.subject)]
    assert all(text.isprintable() and text.isascii() for text in shown)
    if [c.subject for c in changes] != ["order"]:
        swapped = {("+" if c.sign == "-" else "-", c.subject, c.sentence) for c in changes}
        assert swapped == {(c.sign, c.subject, c.sentence) for c in diff(other, one)}


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=60)
    | st.text(st.sampled_from("ab:{}[]-?&*!|>'\"%@,# \n\t<=~0189.xe_"), max_size=40).map(str.encode)
)
@example(b"\xef\xbb\xbfa: 1")
@example(b"? [a]\n: 1")
@example(b"- - - - -\n!")
@example(b"{? ? ?")
def test_no_bytes_make_the_reader_fall_over(data: bytes) -> None:
    """A policy, or one of our errors on one line; nothing else, ever."""
    try:
        parse_policy(data)
    except AccordError as exc:
        shown = str(exc)
    else:
        return
    assert shown.isprintable()


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_damaged_policy_is_another_or_refused(draw: st.DataObject) -> None:
    """One changed byte of a canonical policy changes its digest, or it is refused."""
    data = bytearray(canonical_json(policy_json()))
    at = draw.draw(st.integers(0, len(data) - 1))
    data[at] ^= draw.draw(st.integers(1, 127))
    try:
        policy = parse_policy(bytes(data))
    except AccordError:
        return
    # Flow style: a blank may replace what is blank already, and quotes have two forms.
    if parse_json_or_none(bytes(data)) is not None:
        assert policy.digest != Policy.from_json(policy_json()).digest


def parse_json_or_none(data: bytes) -> Any:
    try:
        return parse_json(data, what="policy")
    except AccordError:
        return None
