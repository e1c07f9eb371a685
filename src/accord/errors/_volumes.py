# SPDX-License-Identifier: Apache-2.0
"""Errors of family VOL: encrypted storage."""

from accord.errors._base import AccordError, ExitCode


class VolumeError(AccordError):
    """{detail}"""

    exit_code = ExitCode.INTEGRITY


class ObjectMissingError(VolumeError):
    """the store has no {what}"""

    code = "accord-VOL-001"
    hint = "the store lost it or withholds it; copy the volume again from its author"


class VolumeTamperedError(VolumeError):
    """{what} was changed in the store: {detail}"""

    code = "accord-VOL-002"
    hint = "nothing of it was used; copy the volume again from its author"


class RollbackError(VolumeError):
    """the store shows version {found} of {volume} instead of the trusted version {expected}"""

    code = "accord-VOL-003"
    hint = "the store was set back, or its copy is not finished; the tag is right, the store is not"


class VolumeForkError(VolumeError):
    """the store shows another version {found} of {volume} than the trusted {expected}"""

    code = "accord-VOL-004"
    hint = "two writers sealed the same next version; seal again on top of the trusted one"


class WrongVolumeKeyError(VolumeError):
    """the key given does not open {volume}"""

    code = "accord-VOL-005"
    exit_code = ExitCode.DENIED
    hint = "the version was sealed under another key; nothing was decrypted"


class WrongVolumeError(VolumeError):
    """the store or the tag is of {found}, not of {expected}"""

    code = "accord-VOL-006"
    hint = "check which store and which volume id belong together"


class VolumeSourceError(VolumeError):
    """{path} cannot be sealed: {detail}"""

    code = "accord-VOL-007"
    exit_code = ExitCode.USAGE
    hint = "volumes hold regular files and directories that do not change while being sealed"


class VolumeExtractError(VolumeError):
    """{path} cannot be written: {detail}"""

    code = "accord-VOL-008"
    exit_code = ExitCode.FAILURE
    hint = "name a directory that does not exist yet, on a disk with enough room"


class VolumeFileNotFoundError(VolumeError):
    """{volume} has no file {path}"""

    code = "accord-VOL-009"
    exit_code = ExitCode.USAGE
    hint = "list the files of the volume; names are exact, with slashes between directories"


class StoreError(VolumeError):
    """the store at {path} failed: {detail}"""

    code = "accord-VOL-010"
    exit_code = ExitCode.FAILURE
    hint = "check its permissions and free space; what was published before is unharmed"
