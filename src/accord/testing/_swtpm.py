# SPDX-License-Identifier: Apache-2.0
"""A software TPM: one `swtpm` process, reached through two inherited sockets."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from accord.attesters._tpm_commands import TPM
from accord.errors import (
    SimulatedTPMMissingError,
    SimulatorStateError,
    TPMCommandError,
)

PROGRAM: Final = "swtpm"
_WHAT: Final = "TPM"
_SECONDS: Final = 30.0
"""How long a command may take, or another process may hold the state: an RSA key takes one."""

_GRACE_SECONDS: Final = 5.0
"""How long it may take to end."""

_MAX_RESPONSE_BYTES = 4096
_SET_LOCALITY, _HASH_START, _HASH_DATA, _HASH_END = 5, 6, 7, 8  # swtpm_ioctls(3)


class SoftwareTPM:
    """A TPM 2.0 whose whole state is in a folder; a context is the time it is switched on.

    Whoever holds the folder holds its seeds. The process has no socket in the file system, and
    ends with ours, however that ends. Two at a time never share a folder: the second waits.
    """

    def __init__(self, state: Path) -> None:
        self._state = state
        self._lock: BinaryIO | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._data: socket.socket | None = None
        self._control: socket.socket | None = None

    def __enter__(self) -> Self:
        """Switches it on: registers are reset, keys and NV indices are as they were.

        Raises ``SimulatedTPMMissingError`` or ``SimulatorStateError``.
        """
        if self._process is not None:
            message = "the TPM is switched on already"
            raise RuntimeError(message)
        program = shutil.which(PROGRAM)
        if program is None:
            raise SimulatedTPMMissingError(what=_WHAT, program=PROGRAM)
        try:
            self._acquire()
            self._start(program)
            self.tpm.properties(0x100, 1)  # it answers: its state could be read
        except OSError as exc:
            self._stop()
            detail = str(exc.strerror)
            raise SimulatorStateError(what=_WHAT, path=self._state, detail=detail) from exc
        except TPMCommandError as exc:
            self._stop()
            raise SimulatorStateError(what=_WHAT, path=self._state, detail=self._said()) from exc
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Switches it off in order, so that the TPM does not count an attack."""
        try:
            self.tpm.shutdown()
        except TPMCommandError:
            if kind is None:
                raise
        finally:
            self._stop()

    @property
    def tpm(self) -> TPM:
        """Its commands."""
        return TPM(self.transmit)

    def transmit(self, command: bytes) -> bytes:
        """Sends one command and waits for its response. Raises ``TPMCommandError``."""
        if self._data is None:
            message = "the TPM is switched off"
            raise RuntimeError(message)
        try:
            self._data.sendall(command)
            return self._data.recv(_MAX_RESPONSE_BYTES)
        except OSError as exc:
            raise TPMCommandError(command="a command", detail=str(exc)) from exc

    def late_launch(self, measured: bytes) -> None:
        """What the CPU does at GETSEC[SENTER]: resets PCR 17 to 22, extends 17 with a hash."""
        self._tell(_HASH_START)
        for at in range(0, len(measured), _MAX_RESPONSE_BYTES):
            part = measured[at : at + _MAX_RESPONSE_BYTES]
            self._tell(_HASH_DATA, struct.pack(">I", len(part)) + part)
        self._tell(_HASH_END)

    def set_locality(self, locality: int) -> None:
        """Who the next commands come from: 0 is any program, 2 a launched environment."""
        self._tell(_SET_LOCALITY, bytes([locality]))

    def _tell(self, command: int, data: bytes = b"") -> None:
        if self._control is None:
            message = "the TPM is switched off"
            raise RuntimeError(message)
        try:
            self._control.sendall(struct.pack(">I", command) + data)
            answer = self._control.recv(_MAX_RESPONSE_BYTES)
        except OSError as exc:
            raise TPMCommandError(command="a control command", detail=str(exc)) from exc
        if answer != bytes(4):
            raise TPMCommandError(command="a control command", detail=f"answer {answer.hex()}")

    def _acquire(self) -> None:
        """Waits for another process that has the TPM switched on."""
        self._state.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock = (self._state / "in-use").open("wb")
        until = time.monotonic() + _SECONDS
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                if time.monotonic() > until:
                    self._stop()
                    detail = "another process has it switched on"
                    raise SimulatorStateError(what=_WHAT, path=self._state, detail=detail) from exc
                time.sleep(0.01)
            else:
                return

    def _start(self, program: str) -> None:
        self._data, data = socket.socketpair()
        self._control, control = socket.socketpair()
        with data, control, (self._state / "log").open("wb") as log:
            self._data.settimeout(_SECONDS)
            self._control.settimeout(_SECONDS)
            os.fchmod(log.fileno(), 0o600)
            arguments = [
                *(program, "socket", "--tpm2", "--terminate", "--flags", "startup-clear"),
                *("--tpmstate", f"dir={self._state},mode=0600"),
                *("--fd", str(data.fileno())),
                *("--ctrl", f"type=unixio,clientfd={control.fileno()}"),
            ]
            self._process = subprocess.Popen(
                arguments,
                # With the lock: where we are killed, it holds until this process has ended, too.
                pass_fds=(data.fileno(), control.fileno(), *self._held()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _held(self) -> tuple[int, ...]:
        return () if self._lock is None else (self._lock.fileno(),)

    def _stop(self) -> None:
        """Closes both sockets, at which the process ends; kills it if it does not."""
        for held in (self._data, self._control):
            if held is not None:
                held.close()
        if self._process is not None:
            try:
                self._process.wait(timeout=_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._lock is not None:
            self._lock.close()
        self._data = self._control = self._process = self._lock = None

    def _said(self) -> str:
        """The last line that the process wrote."""
        lines = (self._state / "log").read_text("utf-8", "replace").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "it does not answer")
