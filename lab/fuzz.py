"""`make fuzz`: libFuzzer, a minute for each target, against what must hold for any input.

What it finds is in `fuzz/artifacts`, with the command that shows it again; put it into `fuzz/seeds`, where every run of the
tests looks at it. `make fuzz ONLY=proof SECONDS=3600` looks longer.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import shutil
import subprocess
import time

import gateway
from common import ROOT, LabError, Step, main, run

CARGO_FUZZ = "0.13.2"
FOLDER = ROOT / "fuzz"
TARGETS = ("token", "key_set", "proof")
# One input that takes longer, or more memory, is a finding.
INPUT_TIMEOUT_S = 5
MEMORY_MIB = 2048
INPUT_BYTES_MAX = 16_384
EXECUTED = re.compile(r"stat::number_of_executed_units:\s+(\d+)")
COVERED = re.compile(r"cov: (\d+) ")


@dataclasses.dataclass
class Result:
    """What one target's run came to."""

    target: str
    code: int
    executed: int
    covered: int
    inputs: int
    seconds: float


def environment() -> dict[str, str]:
    """A sanitizer needs rustc's unstable flags: the pinned stable compiler has them too, when told so."""
    path = f"{gateway.cache() / 'tools' / 'bin'}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "RUSTC_BOOTSTRAP": "1", "CARGO_TERM_COLOR": "never"}


def install(env: dict[str, str]) -> None:
    """cargo-fuzz, and the targets, built."""
    if shutil.which("cargo") is None:
        raise LabError("Rust is needed: install it with rustup (rust-toolchain.toml names the version)")
    if not any(shutil.which(name) for name in ("c++", "g++", "clang++")):
        raise LabError("a C++ compiler is needed for libFuzzer: `apt-get install -y g++`")
    with Step("cargo-fuzz"):
        if run(["cargo", "fuzz", "--version"], env=env, check=False).returncode != 0:
            tools = str(gateway.cache() / "tools")
            plain = {key: value for key, value in env.items() if key != "RUSTC_BOOTSTRAP"}
            run(
                ["cargo", "install", "cargo-fuzz", "--locked", "--version", CARGO_FUZZ, "--root", tools],
                env=plain,
                timeout_s=1800,
            )
    with Step("the targets, with AddressSanitizer"):
        run(["cargo", "fuzz", "build", *places()], env=env, cwd=ROOT, timeout_s=1800)


def places() -> list[str]:
    """Where cargo-fuzz finds its package and leaves its build."""
    return ["--fuzz-dir", str(FOLDER), "--target-dir", str(gateway.cache() / "target-fuzz")]


def fuzz(target: str, seconds: int, env: dict[str, str]) -> Result:
    """One target. Inputs that led somewhere new are kept for the next run, outside the tree."""
    corpus = gateway.cache() / "corpus" / target
    corpus.mkdir(parents=True, exist_ok=True)
    argv = ["cargo", "fuzz", "run", *places(), target, str(corpus), str(FOLDER / "seeds" / target), "--"]
    argv += [f"-max_total_time={seconds}", f"-timeout={INPUT_TIMEOUT_S}", f"-rss_limit_mb={MEMORY_MIB}"]
    argv += [f"-max_len={INPUT_BYTES_MAX}", f"-dict={FOLDER / 'words.dict'}", "-print_final_stats=1"]
    began = time.monotonic()
    with Step(f"{target}, {seconds} s"):
        done = subprocess.run(
            argv,
            check=False,
            cwd=ROOT,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=seconds + 600,
        )
    if done.returncode != 0:
        print("\n".join(f"    {line}" for line in done.stdout.splitlines()[-60:]))
    executed, covered = EXECUTED.findall(done.stdout), COVERED.findall(done.stdout)
    return Result(
        target=target,
        code=done.returncode,
        executed=int(executed[-1]) if executed else 0,
        covered=int(covered[-1]) if covered else 0,
        inputs=sum(1 for _ in corpus.iterdir()),
        seconds=time.monotonic() - began,
    )


def report(results: list[Result]) -> int:
    """A table, and the exit code: a run that executed nothing found nothing out."""
    print(f"\n{'target':<10}{'inputs tried':>14}{'per second':>12}{'edges':>8}{'kept':>7}  result")
    for one in results:
        verdict = "clean" if one.code == 0 and one.executed > 0 else "failed"
        rate = one.executed / max(one.seconds, 1)
        print(f"{one.target:<10}{one.executed:>14,}{rate:>12,.0f}{one.covered:>8,}{one.inputs:>7,}  {verdict}")
    return 0 if all(one.code == 0 and one.executed > 0 for one in results) else 1


def command_line() -> int:
    """Fuzzes what is asked for; the exit code says whether all came out clean."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help=f"some of {','.join(TARGETS)}")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    arguments = parser.parse_args()
    wanted = [name for name in arguments.only.split(",") if name] or list(TARGETS)
    if unknown := set(wanted) - set(TARGETS):
        raise LabError(f"unknown target `{'`, `'.join(sorted(unknown))}`: choose from {', '.join(TARGETS)}")
    if arguments.seconds < 1:
        raise LabError(f"--seconds {arguments.seconds}: give a whole number of seconds, 1 or more")
    env = environment()
    install(env)
    return report([fuzz(target, arguments.seconds, env) for target in wanted])


if __name__ == "__main__":
    main(command_line)
