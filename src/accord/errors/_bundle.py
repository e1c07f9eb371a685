# SPDX-License-Identifier: Apache-2.0
"""Errors of family BUN: offline checking of a run."""

from accord.errors._base import AccordError, ExitCode


class BundleError(AccordError):
    """{detail}"""

    exit_code = ExitCode.NOT_VERIFIED


class BundleFileError(BundleError):
    """bundle file {name}: {detail}"""

    code = "accord-BUN-001"
    hint = "the bundle was damaged or tampered with; ask for it again"


class BundleContentError(BundleError):
    """the bundle does not prove its run: {detail}"""

    code = "accord-BUN-002"
    hint = "its files are intact but do not fit together; do not rely on its outputs"


class BundleGenesisError(BundleError):
    """the bundle is of board {found}, not of {expected}"""

    code = "accord-BUN-003"
    hint = "compare the genesis digest with the one you hold"


class BundleExistsError(BundleError):
    """{path} exists and is not just a bundle"""

    code = "accord-BUN-004"
    exit_code = ExitCode.USAGE
    hint = "choose a new folder with --out; nothing was overwritten"


class OutputUnavailableError(BundleError):
    """output {output} of run {run} cannot be read: {detail}"""

    code = "accord-BUN-005"
    exit_code = ExitCode.DENIED
    hint = "`accord job show RUN` lists the outputs and who may read them"


class NoSuchRunError(BundleError):
    """this board has no run {run}"""

    code = "accord-BUN-006"
    exit_code = ExitCode.USAGE
    hint = "`accord job list` shows the runs of the board"


class BundleWitnessError(BundleError):
    """the log of {size} entries is cosigned by {found}, its board asks for {quorum} groups"""

    code = "accord-BUN-010"
    hint = "ask for the bundle again when more witnesses can be reached; do not rely on it"


class NoSuchResultError(BundleError):
    """this board has no run, result or asset made by a run that is called {name}"""

    code = "accord-BUN-011"
    exit_code = ExitCode.USAGE
    hint = "name a run, RUN/OUTPUT, an asset or a tag; `accord job list` shows the runs"


class ModelSignatureError(BundleError):
    """the model signature does not hold: {detail}"""

    code = "accord-BUN-012"
    hint = "the model or its signature was changed, or another key signed it"
