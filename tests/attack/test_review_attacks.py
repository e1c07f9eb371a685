# SPDX-License-Identifier: Apache-2.0
"""Attacks on whoever reviews: what they see must be all there is, and what they agree to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.support.board import (
    MRTD,
    OTHER_MRTD,
    World,
    digest,
    genesis_json,
    policy_json,
    service_json,
    variant_json,
)

from accord.board import Genesis
from accord.bundle import BundleFiles
from accord.cli._main import cli
from accord.cli._output import Output, plain
from accord.encoding import Fields, canonical_json, sha256
from accord.errors import BundleExistsError, GenesisError, MalformedError, NotConfirmedError
from accord.evidence import PRODUCTION_ROOTS
from accord.identity import FileIdentity
from accord.policy import Policy, diff

SERVICE = "https://trust.invalid"
STRANGER = digest("the root of somebody")
RULES = """
  any of
    all of
      every owner of an asset that is used
      everyone with role code-owner
    at least 1 of: everyone with role data-owner
    member ann
"""


def genesis_of(founder: FileIdentity) -> Genesis:
    """A genesis that hides much below its names: a second service, a root of nobody."""
    rule = {
        "any": [
            {"all": ["affected_owners", "role:code-owner"]},
            {"at_least": {"n": 1, "of": "role:data-owner"}},
            "member:ann",
        ]
    }
    return Genesis.from_json(
        genesis_json(
            members=[{"identity": founder.public.to_json(), "roles": ["code-owner", "data-owner"]}],
            constitution={"policy.enact": rule},
            anchors=[*PRODUCTION_ROOTS, STRANGER],
            service=[
                variant_json(simulated=False),
                variant_json(mrtd=OTHER_MRTD, tcb_statuses=["UpToDate", "OutOfDate"]),
            ],
        )
    )


@pytest.fixture
def founder(tmp_path: Path) -> FileIdentity:
    return FileIdentity.create(tmp_path / "ann", "ann")


@pytest.fixture
def genesis(tmp_path: Path, founder: FileIdentity) -> Genesis:
    genesis = genesis_of(founder)
    (tmp_path / "genesis.json").write_bytes(genesis.to_bytes())
    return genesis


def sign(folder: Path, *more: str, typed: str = "") -> Result:
    arguments = ["board", "sign", str(folder / "genesis.json"), "--home", str(folder / "ann")]
    arguments += ["--service", SERVICE, "--out", str(folder / "signature.json"), *more]
    return CliRunner().invoke(cli, arguments, input=typed)


def signed(folder: Path) -> bool:
    return (folder / "signature.json").exists() or (folder / "ann" / "board.json").exists()


def test_genesis_is_shown_in_full_before_it_is_signed(
    tmp_path: Path, founder: FileIdentity, genesis: Genesis
) -> None:
    """No rule, anchor, acceptable service or key can be slipped past a founder."""
    asked = sign(tmp_path, typed="\n")
    home = {path.name for path in (tmp_path / "ann").iterdir()}
    checked = CliRunner().invoke(cli, ["board", "check", str(tmp_path / "genesis.json")])

    assert {"identity.json", "identity.secret.json"} == home
    assert not signed(tmp_path)
    for said in (asked.stderr, checked.stdout):
        for words in (
            genesis.digest,
            RULES,
            f"{next(iter(PRODUCTION_ROOTS))}\n  Intel SGX Root CA\n",
            f"{STRANGER}\n  TEST or UNKNOWN ROOT\n",
            "service    tdx\n  TCB      UpToDate\n",
            "service    SIMULATED tdx\n  TCB      UpToDate, OutOfDate\n",
            MRTD.hex(),
            OTHER_MRTD.hex(),
            founder.public.verify_key.key_id,
            str(founder.public.to_json()["seal_key"]),
        ):
            assert words in said


@pytest.mark.parametrize("typed", ["00000000\n", "y\n", "\n", ""])
def test_genesis_is_not_signed_unread(tmp_path: Path, genesis: Genesis, typed: str) -> None:
    """Whoever does not name the digest has not read it, and signs nothing."""
    refused = sign(tmp_path, typed=typed)

    assert refused.exit_code != 0
    assert not signed(tmp_path)


def test_exchanged_genesis_is_not_signed(tmp_path: Path, genesis: Genesis) -> None:
    """The digest that a founder reviewed is that of the file signed, or nothing is."""
    refused = sign(tmp_path, "--digest", digest("another genesis"))

    assert isinstance(refused.exception, NotConfirmedError)
    assert not signed(tmp_path)


@pytest.mark.parametrize("by", ["option", "prompt"])
def test_genesis_is_signed_by_whoever_names_it(tmp_path: Path, genesis: Genesis, by: str) -> None:
    """With --digest, or by typing its first eight digits; it is shown either way."""
    if by == "option":
        done = sign(tmp_path, "--digest", genesis.digest)
    else:
        done = sign(tmp_path, typed=genesis.digest.removeprefix("sha256:")[:8] + "\n")

    assert done.exit_code == 0
    assert done.stderr.index("TEST or UNKNOWN ROOT") < done.stderr.index("ann signed board")
    assert signed(tmp_path)


def test_stranger_is_told_before_being_asked(tmp_path: Path, genesis: Genesis) -> None:
    """A genesis with other keys for the founder's name is refused without a prompt."""
    other = FileIdentity.create(tmp_path / "eve", "ann")
    (tmp_path / "genesis.json").write_bytes(genesis_of(other).to_bytes())
    refused = sign(tmp_path)

    assert isinstance(refused.exception, GenesisError)
    assert not signed(tmp_path)


@pytest.mark.parametrize("end", ["\n", "\r", "\t", "\r\n"])
def test_title_cannot_draw_lines_in_the_review(end: str) -> None:
    """A title that continues as if it were the client's own words is no title."""
    world = World.ready()
    with world.refuses(MalformedError, match="it is one line"):
        world.propose(title=f"More time{end}  - service train lets clinic read its output")


def test_printed_value_cannot_end_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """One line said is one line shown, whoever chose the words."""
    out = Output(json=False)
    out.result({}, ["a\nb"])
    for say in (out.note, out.fact, out.warn):
        say("a\nstatus    enacted")
    said = capsys.readouterr()

    assert plain("a\nb") == "a\\nb"
    assert (said.out.count("\n"), said.err.count("\n")) == (1, 3)


def test_json_output_cannot_steer_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Control and format characters of others leave as escapes, and are read back the same."""
    document = {"detail": "\x9b31m\x7f\u202eover\ufe0f"}
    Output(json=True).result(document, "")
    said = capsys.readouterr().out

    assert said.isascii()
    assert not set("\x7f\x9b") & set(said)
    assert document == json.loads(said)


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        ("/in/a", "/in/\u0430", "/in/\\u{430}"),  # Cyrillic a
        ("x", "x\ufe0f", "x\\u{fe0f}"),  # variation selector
        ("x", "x\u3164", "x\\u{3164}"),  # a filler that is printable and blank
        ("x y", "x\xa0y", "x\\u{a0}y"),  # no-break space
        ("\xe9", "e\u0301", "e\\u{301}"),  # the same letter, composed and not
        ("x", "x\U000e0041", "x\\u{e0041}"),  # tag characters
        ("\\u{fe0f}", "\ufe0f", "\\u{fe0f}"),  # the escape itself, as a text
    ],
)
def test_look_alike_in_a_policy_is_shown_by_its_code(old: str, new: str, shown: str) -> None:
    """A command that looks the same as the one voted on before does not look the same."""

    def policy(word: str) -> Policy:
        service = service_json(command=["run", word], environment={"A": word})
        return Policy.from_json(policy_json(services={"train": service}))

    changes = diff(policy(old), policy(new))

    assert len(changes) == 4
    assert all(change.sentence.isascii() for change in changes)
    assert all(shown in change.sentence for change in changes if change.sign == "+")
    assert len({change.sentence for change in changes}) == 4


def test_look_alike_place_is_shown_by_its_code() -> None:
    """Where an asset is mounted and where the program starts are shown as exactly."""
    inputs = [{**service_json()["inputs"][0], "at": "/in/c\u043ede"}]
    service = service_json(inputs=inputs, workdir="/in/c\u043ede")
    sentences = [
        item.sentence
        for item in diff(None, Policy.from_json(policy_json(services={"train": service})))
    ]

    assert sum("/in/c\\u{43e}de" in sentence for sentence in sentences) == 2


UNSAFE = (
    *(set(range(0x20)) - {0x09, 0x0A, 0x0D}),
    *range(0x7F, 0xA0),
    *(0x061C, 0x200E, 0x200F, 0x2028, 0x2029, 0x2060, 0xFEFF),
    *range(0x200B, 0x200E),
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
    *range(0xD800, 0xE000),
    *range(0xFDD0, 0xFDF0),
    *(plane << 16 | last for plane in range(17) for last in (0xFFFE, 0xFFFF)),
)
"""The list of docs/spec/statements.md, 1."""


def test_validity_of_a_text_is_a_fixed_list() -> None:
    """A log is valid on every Python or on none: exactly these code points are refused."""
    refused = set()
    for code in range(0x110000):
        try:
            Fields({"x": chr(code)}, "thing").text("x")
        except MalformedError:
            refused.add(code)

    assert set(UNSAFE) == refused


@pytest.mark.parametrize(
    "character", ["\U00031350", "\u0378", "\ue000", "\U000e0041", "\xa0", "\u3164"]
)
def test_text_from_a_newer_unicode_is_taken(character: str) -> None:
    """Assigned lately, private, or never: the reader's tables are not asked."""
    assert character == Fields({"x": character}, "thing").text("x")
    path = f"/in/{character}"
    service = service_json(inputs=[{**service_json()["inputs"][0], "at": path}], workdir=path)

    policy = Policy.from_json(policy_json(services={"train": service}))
    assert path == policy.services["train"].workdir


def made_bundle() -> BundleFiles:
    return BundleFiles(digest("board"), "run-" + 32 * "0", {"checkpoint": b"x"})


def kept(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"{}",
        b'{"name":"web app","start_url":"/"}',
        canonical_json({"schema": "accord.volume.v1"}),
        canonical_json({**dict(made_bundle().manifest()), "schema": "accord.bundle.v3"}),
    ],
    ids=["empty", "object", "web app", "other schema", "later version"],
)
def test_folder_with_a_manifest_of_something_else_is_kept(tmp_path: Path, manifest: bytes) -> None:
    """Many things have a manifest.json; only a bundle is replaced by a bundle."""
    target = tmp_path / "out"
    target.mkdir()
    (target / "manifest.json").write_bytes(manifest)
    with pytest.raises(BundleExistsError):
        made_bundle().write(target)

    assert manifest == (target / "manifest.json").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("extra", ["thesis.txt", "entries/notes", "objects/x", ".git/config"])
@pytest.mark.parametrize("name", ["out", "out.part"])
def test_bundle_with_foreign_files_is_kept(tmp_path: Path, name: str, extra: str) -> None:
    """What somebody put beside the proof, or where the new one is made, is not erased."""
    made_bundle().write(tmp_path / name)
    foreign = tmp_path / name / extra
    foreign.parent.mkdir(exist_ok=True)
    foreign.write_text("years of work")
    before = kept(tmp_path)
    with pytest.raises(BundleExistsError, match=f"{name} exists"):
        made_bundle().write(tmp_path / "out")

    assert before == kept(tmp_path)


def test_link_in_the_place_of_a_bundle_is_kept(tmp_path: Path) -> None:
    """Nothing is erased through a link."""
    made_bundle().write(tmp_path / "real")
    (tmp_path / "out").symlink_to(tmp_path / "real")
    (tmp_path / "file").write_text("x")
    for name in ("out", "file"):
        with pytest.raises(BundleExistsError):
            made_bundle().write(tmp_path / name)

    assert kept(tmp_path / "real") == ["checkpoint", "manifest.json"]


def test_older_bundle_and_half_made_one_are_replaced(tmp_path: Path) -> None:
    """A bundle made again, also after a kill in the middle, is the new one alone."""
    target = tmp_path / "out"
    old = BundleFiles(digest("board"), "run-" + 32 * "1", {"entries/00000000.json": b"old"})
    old.write(target)
    (tmp_path / "out.part" / "entries").mkdir(parents=True)
    (tmp_path / "out.part" / "entries" / "00000007.json").write_bytes(b"half")
    made_bundle().write(target)

    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert kept(target) == ["checkpoint", "manifest.json"]
    assert sha256(b"x") == made_bundle().read(target).manifest()["files"]["checkpoint"]
