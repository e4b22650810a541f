"""`make test`: everything, from formatting to a real domain and a real Airflow, and one line at the end.

Each step is counted: a tool's own tests by the tool's own numbers, anything else as one. `make test ONLY=lint,rust` or
`python3 lab/test.py --only lab` runs some of the steps.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import ad
import airflow
import gateway
import peers
from common import ROOT, Lab, LabError, Step, install_packages, main, require_machine, run

NEXTEST = "0.9.143"
NEXTEST_LINE = re.compile(r"Summary \[.*\] +(\d+)(?:/\d+)? tests? run: (\d+) passed")
PYTEST_LINE = re.compile(r"(\d+) (passed|failed|error|errors)\b")
PYTHON_FOLDERS = ["lab", "provider", "docs", "conformance"]


@dataclasses.dataclass
class Tally:
    """What passed and what did not, with the names of what did not."""

    passed: int = 0
    failed: int = 0
    failures: list[str] = dataclasses.field(default_factory=list)

    def add(self, name: str, passed: int, failed: int) -> None:
        self.passed += passed
        self.failed += failed
        if failed:
            self.failures.append(f"{name} ({failed})")


def stream(argv: Sequence[str], env: Mapping[str, str], cwd: Path = ROOT) -> tuple[int, str]:
    """Runs a command, shows what it says as it says it, and returns it."""
    said: list[str] = []
    with subprocess.Popen(
        argv,
        env=dict(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            print(f"    {line}", end="", flush=True)
            said.append(line)
    return child.returncode, "".join(said)


class Suite:
    """The steps, and what they share."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.target = Path(os.environ.get("CARGO_TARGET_DIR", gateway.cache() / "target"))
        self.env = {**os.environ, "CARGO_TARGET_DIR": str(self.target), "CARGO_TERM_COLOR": "never"}
        self.lab = Lab("test")

    # -- kinds of steps ---------------------------------------------------------------------------------------------

    def one(self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path = ROOT) -> bool:
        """A command that passes or fails as a whole."""
        with Step(name):
            code, _ = stream(argv, env or self.env, cwd)
        self.tally.add(name, int(code == 0), int(code != 0))
        return code == 0

    def nextest(
        self, name: str, arguments: Sequence[str], env: Mapping[str, str] | None = None, inside: Lab | None = None
    ) -> None:
        """A run of Rust tests, counted by nextest's own summary; a run without one failed before it tested."""
        argv = [
            "cargo",
            "nextest",
            "run",
            "--locked",
            "--no-fail-fast",
            "--status-level",
            "fail",
            "--final-status-level",
            "fail",
            *arguments,
        ]
        with Step(name):
            code, said = stream(inside.inside(argv) if inside else argv, env or self.env)
        found = NEXTEST_LINE.findall(said)
        ran, passed = (int(n) for n in found[-1]) if found else (0, 0)
        self.tally.add(name, passed, max(ran - passed, int(code != 0 and ran == passed)))

    def pytest(self, name: str, folder: Path, env: Mapping[str, str] | None = None) -> None:
        """A run of Python tests, counted by pytest's own summary."""
        with Step(name):
            code, said = stream([self.python("pytest"), "-q", "-rs", str(folder)], env or self.env, folder)
        last = said.strip().splitlines()[-1] if said.strip() else ""
        counts = {kind.rstrip("s"): int(n) for n, kind in PYTEST_LINE.findall(last)}
        failed = counts.get("failed", 0) + counts.get("error", 0)
        self.tally.add(name, counts.get("passed", 0), failed or int(code != 0))

    def python(self, tool: str) -> str:
        """A tool of the environment that Airflow is in."""
        return str(airflow.venv() / "bin" / tool)

    # -- steps --------------------------------------------------------------------------------------------------------

    def install(self) -> None:
        """Debian's packages, cargo-nextest, the Python environment. Not counted: nothing can be tested without."""
        with Step("Debian packages"):
            install_packages()
        with Step("cargo-nextest"):
            tools = gateway.cache() / "tools"
            self.env["PATH"] = f"{tools / 'bin'}:{self.env['PATH']}"
            if run(["cargo", "nextest", "--version"], env=self.env, check=False).returncode != 0:
                run(
                    ["cargo", "install", "cargo-nextest", "--locked", "--version", NEXTEST, "--root", str(tools)],
                    env=self.env,
                    timeout_s=1800,
                )
        with Step("Airflow, its HTTP provider and ours"):
            airflow.install()

    def lint(self) -> None:
        self.one("rustfmt", ["cargo", "fmt", "--all", "--check"])
        self.one(
            "clippy", ["cargo", "clippy", "-q", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"]
        )
        self.one("ruff: lints", [self.python("ruff"), "check", "-q", *PYTHON_FOLDERS])
        self.one("ruff: format", [self.python("ruff"), "format", "-q", "--check", *PYTHON_FOLDERS])
        self.one("mypy: lab", [self.python("mypy"), "--strict", "--no-error-summary", "."], cwd=ROOT / "lab")
        self.one(
            "mypy: provider", [self.python("mypy"), "--strict", "--no-error-summary", "src"], cwd=ROOT / "provider"
        )
        self.one(
            "mypy: docs",
            [self.python("mypy"), "--strict", "--no-error-summary", "docs/tests/check.py", "docs/guides/verify_log.py"],
        )
        self.one(
            "mypy: conformance",
            [
                self.python("mypy"),
                *("--strict", "--no-error-summary", "--python-executable", str(peers.python())),
                "conformance/identity",
            ],
        )
        if run(["cargo", "deny", "--version"], env=self.env, check=False).returncode == 0:
            self.one("dependencies", ["cargo", "deny", "--offline", "check", "bans", "licenses", "sources"])
        else:
            print("  skipped: cargo-deny is not installed, so licences and bans are not checked here")

    def rust(self) -> None:
        self.nextest("Rust: unit, property, integration, compile-fail", ["--workspace"])

    def provider(self) -> None:
        self.pytest("Python: provider", ROOT / "provider")
        self.pytest("Python: lab", ROOT / "lab" / "tests")

    def peers(self) -> None:
        """Parties that nobody here wrote: an authorization server, a client, and two libraries that verify tokens."""
        with Step("oidc-provider, oauth4webapi, jose, joserfc"):
            installed = peers.ensure()
        env = {**self.env, "AIRGATE_PEERS": str(installed)}
        self.nextest("Rust, against other projects' programs", ["--workspace", "-E", "test(/^peers::/)"], env)

    def real(self) -> None:
        """A domain and an upstream; Rust tests inside their namespace."""
        ad.up(self.lab)
        env = {**self.lab.environment(self.env), "AIRGATE_LAB": str(self.lab.state)}
        try:
            self.nextest("Rust, in the lab's domain", ["--workspace", "-E", "test(/lab::/)"], env, self.lab)
        finally:
            with Step("lab stopped"):
                self.lab.remove()

    def end_to_end(self) -> None:
        """Airflow, gateway, domain, upstream, and the log: the demo, with the build that was tested."""
        env = {**self.env, "AIRGATE_BIN": str(self.target / "debug" / "airgate")}
        # The very build that the Rust tests ran: another selection of packages would compile everything once more.
        if self.one("the program", ["cargo", "nextest", "run", "--cargo-quiet", "--locked", "--workspace", "--no-run"]):
            self.one(
                "documents: links, samples, commands, configurations",
                [self.python("python"), "docs/tests/check.py"],
                env,
            )
            self.one(
                "end to end: an Airflow task reaches the upstream as itself",
                [sys.executable, "lab/demo.py", "--name", "e2e"],
                env,
            )


STEPS: dict[str, Callable[[Suite], None]] = {
    "lint": Suite.lint,
    "rust": Suite.rust,
    "provider": Suite.provider,
    "peers": Suite.peers,
    "lab": Suite.real,
    "e2e": Suite.end_to_end,
}


def command_line() -> int:
    """Runs the steps; the exit code says whether all passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help=f"some of {','.join(STEPS)}")
    wanted = [name for name in parser.parse_args().only.split(",") if name]
    if unknown := set(wanted) - set(STEPS):
        raise LabError(f"unknown step `{'`, `'.join(sorted(unknown))}`: choose from {', '.join(STEPS)}")
    require_machine()
    if shutil.which("cargo") is None:
        raise LabError("Rust is needed: install it with rustup (rust-toolchain.toml names the version)")
    if not wanted or "peers" in wanted:
        peers.require_node()
    began = time.monotonic()
    suite = Suite()
    suite.install()
    for name, step in STEPS.items():
        if not wanted or name in wanted:
            step(suite)
    for failure in suite.tally.failures:
        print(f"failed: {failure}")
    print(f"took {time.monotonic() - began:.0f} s")
    print(f"{suite.tally.passed} passed, {suite.tally.failed} failed")
    return 1 if suite.tally.failed else 0


if __name__ == "__main__":
    main(command_line)
