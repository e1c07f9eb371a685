# SPDX-License-Identifier: Apache-2.0
"""Templates: whatever the texts and values, each is filled in once and nothing else changes."""

from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from accord.encoding import Fields
from accord.errors import AccordError, TemplateError
from accord.policy import Fate, SecretSpec, carried_over, names_in, read_secrets
from accord.secrets import SecretValue, fill, fill_file, render

fast = settings(max_examples=150, deadline=None)

NAMES = st.sampled_from(["a", "b.c", "d-e_f", "accord"])
FORMATS = st.sampled_from([None, "text", "hex", "base64", "base64url"])
SPACE = st.sampled_from(["", " ", "\t", "  "])
PIECES = ["{{", "}}", " ", "accord", ".", "a", ":", "hex", "{", "}", "\n", "Accord", "-", "\u00e9"]
TANGLES = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)
VALUES = st.fixed_dictionaries(
    {
        name: st.one_of(TANGLES, st.text(min_size=1, max_size=8)).filter(
            lambda text: (
                text and "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)
            )
        )
        for name in ("a", "b.c", "d-e_f", "accord")
    }
)
PLAIN = st.text(st.sampled_from("ab {}\n\u00e9:.%"), max_size=6)
REFERENCES = st.tuples(NAMES, FORMATS, SPACE, SPACE)


def written(name: str, form: str | None, before: str, after: str) -> str:
    suffix = f":{form}" if form is not None else ""
    return f"{{{{{before}accord.{name}{suffix}{after}}}}}"


@fast
@given(st.lists(st.tuples(PLAIN, REFERENCES), max_size=5), PLAIN, VALUES)
def test_each_reference_is_replaced_once_and_nothing_else_changes(
    parts: list[tuple[str, tuple[str, str | None, str, str]]], tail: str, values: dict[str, str]
) -> None:
    """Also where values look like templates, or become one with what stands around them."""
    marks = {(name, form): f"<{name}|{form}>".encode() for _, (name, form, _, _) in parts}
    text = "".join(plain + written(*reference) for plain, reference in parts) + tail
    expected = "".join(f"{plain}<{reference[0]}|{reference[1]}>" for plain, reference in parts)
    assert render(text, marks) == (expected + tail).encode()
    secrets = {name: SecretValue.deposited(value.encode()) for name, value in values.items()}
    filled = fill(text, secrets, where="here")
    for _, (name, form, _, _) in parts:
        if form in (None, "text"):
            assert values[name] in filled
    assert fill_file(text, secrets, where="here") == filled.encode()


@fast
@given(TANGLES)
def test_any_text_is_read_or_refused(text: str) -> None:
    """What is left between the references has nothing that looks like one."""
    try:
        references = names_in(text)
    except TemplateError:
        return
    rest, done = "", 0
    for reference in references:
        assert text[reference.start : reference.end].startswith("{{")
        assert text[reference.start : reference.end].endswith("}}")
        rest += text[done : reference.start] + "\0"
        done = reference.end
    assert names_in(rest + text[done:]) == ()


@fast
@given(st.text(max_size=40))
def test_the_text_that_a_reader_sees_is_the_text_that_is_filled(text: str) -> None:
    """Without references, nothing changes."""
    try:
        if names_in(text):
            return
        assert fill(text, {}, where="here") == text
    except AccordError:
        return


SPECS = st.one_of(
    st.fixed_dictionaries({"kind": st.just("ascii")}, optional={"rotate": st.integers(0, 1)}),
    st.fixed_dictionaries(
        {"kind": st.just("key"), "algorithm": st.sampled_from(["p256", "ed25519"])},
        optional={"migrate": st.booleans(), "rotate": st.integers(0, 1)},
    ),
    st.just({"kind": "x509-ca", "common_name": "root"}),
    st.just({"kind": "import", "policy": "p", "secret": "s"}),
)
SECRETS = st.dictionaries(st.sampled_from(["a", "b", "c"]), SPECS).map(
    lambda secrets: read_secrets(Fields(secrets, "secrets"))
)


@fast
@given(SECRETS, SECRETS)
def test_every_secret_has_one_fate(
    old: Mapping[str, SecretSpec], new: Mapping[str, SecretSpec]
) -> None:
    """Only what both versions have can be kept, and then both say the same of it."""
    fates = carried_over(old, new)
    assert set(fates) == set(old) | set(new)
    for name, fate in fates.items():
        assert (fate is Fate.DROPPED) == (name not in new)
        if fate is Fate.KEPT:
            assert old[name] == new[name]
