"""Pages of the docs run as their readers would: blocks, a shell, a server, Python."""

import contextlib
import io
import os
import re
import shlex
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

import httpx
import pytest

from api.commands.serve import PORT
from api.commands.serve_stations import PORT as OCPP_PORT
from domain.store.master_key import KEY_FILE

DOCS = Path(__file__).resolve().parents[2] / "docs"
_START_S = 30.0
_BLOCK_S = 120.0
_DONE = "<<done>>"
_MAIN = "from api.cli import main; main()"


class Block(NamedTuple):
    """A fenced block, and the line of the page at which its code begins."""

    language: str
    code: str
    line: int


def blocks_of(page: str) -> list[Block]:
    """Return the fenced blocks of a page."""
    found = re.finditer(r"```(\w+)\n(.*?)```", page, re.DOTALL)
    return [Block(m[1], m[2], page[: m.start(2)].count("\n")) for m in found]


def ran(page: Path, block: Block, names: dict[str, Any]) -> str:
    """Run a block as if it stood in the page's own lines; return what it prints."""
    printed = io.StringIO()
    code = compile("\n" * block.line + block.code, str(page), "exec")
    with contextlib.redirect_stdout(printed):
        exec(code, names)
    return printed.getvalue()


class Terminal:
    """A reader's shell in an empty home, and the server that it starts."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._port, self._ocpp_port = free_port(), free_port()
        hidden = ("XDG_CONFIG_HOME", KEY_FILE)
        kept = {k: v for k, v in os.environ.items() if k not in hidden}
        # Where `voltledger` was installed with this Python.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._environment = {**kept, "HOME": str(home), "PATH": path}
        self._server: subprocess.Popen[bytes] | None = None
        self._shell = subprocess.Popen(
            ["sh"],
            cwd=home,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, code: str) -> None:
        """Run a block: starting a server leaves it running, all else must succeed."""
        if code.startswith("voltledger serve"):
            self.serve(*shlex.split(code)[2:])
            return
        stdin, stdout = _pipe(self._shell.stdin), _pipe(self._shell.stdout)
        stdin.write(
            f"set -e\n{self.here(code)}\nenv -0 > environment\necho '{_DONE}'\n"
        )
        stdin.flush()
        said = ""
        # A block that waits for what never comes ends, too.
        ending = threading.Timer(_BLOCK_S, self._shell.kill)
        ending.daemon = True
        ending.start()
        while _DONE not in said:
            line = stdout.readline()
            assert line, f"{code} ended with {self._shell.wait()}: {said}"
            said += line
        ending.cancel()

    def serve(self, *arguments: str) -> None:
        """Start the server, in the place of one that runs."""
        self.stop_server()
        self._server = subprocess.Popen(
            [
                sys.executable,
                "-c",
                _MAIN,
                "serve",
                *arguments,
                "--port",
                self._port,
                "--ocpp-port",
                self._ocpp_port,
            ],
            cwd=self._home,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + _START_S
        while True:
            try:
                httpx.get(f"http://127.0.0.1:{self._port}/v1/health", timeout=_START_S)
                return
            except httpx.ConnectError:
                assert time.monotonic() < until
                time.sleep(0.05)

    def here(self, code: str) -> str:
        """Return code with the ports of this terminal's server in it."""
        here = code.replace(str(PORT), self._port)
        return here.replace(str(OCPP_PORT), self._ocpp_port)

    def environment(self) -> dict[str, str]:
        """Return what the shell has exported since it began."""
        file = self._home / "environment"
        told = file.read_text() if file.exists() else ""
        pairs = (line.partition("=") for line in told.split("\0") if line)
        now = {name: value for name, _, value in pairs}
        return {k: v for k, v in now.items() if self._environment.get(k) != v}

    def close(self) -> None:
        """End the shell and the server."""
        self.stop_server()
        self._shell.kill()
        self._shell.communicate()

    def stop_server(self) -> None:
        """End the server, if one runs."""
        if self._server is not None:
            self._server.terminate()
            self._server.wait(20)


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def free_port() -> str:
    """Return a port of this machine that nobody has."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return str(asked.getsockname()[1])


@contextlib.contextmanager
def terminal(home: Path) -> Iterator[Terminal]:
    """Open a terminal until the block ends."""
    home.mkdir(exist_ok=True)
    opened = Terminal(home)
    try:
        yield opened
    finally:
        opened.close()


def read_through(page: Path, shell: Terminal, patch: pytest.MonkeyPatch) -> set[str]:
    """Run a page's blocks in order; a text block is what the one before printed.

    Return the languages of the blocks that were met.
    """
    names: dict[str, Any] = {"__name__": page.stem}
    try:
        return _read(page, shell, patch, names)
    finally:
        if "api" in names:
            names["api"].close()


def _read(
    page: Path, shell: Terminal, patch: pytest.MonkeyPatch, names: dict[str, Any]
) -> set[str]:
    printed, met = "", set()
    for block in blocks_of(page.read_text("utf-8")):
        met.add(block.language)
        if block.language == "text":
            assert block.code == printed, f"line {block.line} of the page: {printed}"
            printed = ""
            continue
        assert printed == "", f"above line {block.line}: what it prints is missing"
        if block.language == "sh":
            shell.run(block.code)
            for name, value in shell.environment().items():
                patch.setenv(name, value)
        else:
            here = block._replace(code=shell.here(block.code))
            printed = ran(page, here, names)
    assert printed == ""
    return met
