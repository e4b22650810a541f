"""What every part of the lab shares: its namespace, its state folder, its processes.

A lab lives in one network namespace in which everything listens on 127.0.0.1, so that two labs, and the machine's own
services, never meet. All that a lab makes is in its state folder; all that it starts is recorded there, with the start
time of the process, so that only the lab's own processes are ever stopped.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parent.parent
ADDRESS = "127.0.0.1"
HOSTS = (
    "dc1.lab.test",
    "iis.lab.test",
    "gw.lab.test",
    "orders.gw.lab.test",
    "payroll.gw.lab.test",
    "bound.gw.lab.test",
    "assertion.gw.lab.test",
    "open.gw.lab.test",
    "airflow.lab.test",
)
LOG_TAIL_LINES = 15
STOP_TIMEOUT_S = 10.0


class LabError(Exception):
    """Something the reader can act on: what failed, and what to do about it."""


class Step:
    """Prints one line per step with the time it took: `  [  3.2 s] samba domain lab.test`."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.started = 0.0

    def __enter__(self) -> Self:
        self.started = time.monotonic()
        if sys.stdout.isatty():
            print(f"  [  ...  ] {self.title}", end="\r", flush=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        mark = "" if kind is None else ": failed"
        print(f"  [{time.monotonic() - self.started:5.1f} s] {self.title}{mark}", flush=True)


@dataclasses.dataclass(frozen=True)
class Process:
    """A process of the lab. The start time tells it from a later one with the same pid."""

    name: str
    pid: int
    started_ticks: int
    log: str

    def alive(self) -> bool:
        return _start_ticks(self.pid) == self.started_ticks

    def signal(self, number: signal.Signals) -> None:
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class Lab:
    """One lab: a name, a state folder, a network namespace, and the processes in it."""

    def __init__(self, name: str, state: Path | None = None) -> None:
        if not (name.isascii() and name.replace("-", "").isalnum() and len(name) <= 32):
            raise LabError(f"lab name `{name}`: use at most 32 letters, digits and hyphens")
        suffix = hashlib.sha256(str(ROOT).encode()).hexdigest()[:4]
        self.name = name
        self.netns = f"airgate-{name}-{suffix}"
        self.state = state if state is not None else Path("/var/tmp") / self.netns
        self.krb5_conf = self.state / "krb5.conf"
        self.description = self.state / "lab.json"
        self._record = self.state / "processes.json"

    # -- state folder and namespace -------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Makes the state folder and the namespace. Does nothing to what is there already."""
        require_machine()
        with contextlib.suppress(FileExistsError):
            self.state.mkdir(mode=0o711, parents=True)
        facts = self.state.lstat()
        # The folder's name can be guessed and /var/tmp is open to all: never work in what another user put there.
        if self.state.is_symlink() or not self.state.is_dir() or facts.st_uid != os.geteuid():
            raise LabError(f"`{self.state}` is not a folder of this user: remove it, or choose another --name")
        self.state.chmod(0o711)
        (self.state / "log").mkdir(mode=0o711, exist_ok=True)
        self._prepare_namespace()

    def _prepare_namespace(self) -> None:
        folder = Path("/etc/netns") / self.netns
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        # `ip netns exec` mounts these over /etc/hosts and /etc/resolv.conf, inside the namespace only.
        lines = [f"{ADDRESS} localhost", *(f"{ADDRESS} {host}" for host in HOSTS)]
        (folder / "hosts").write_text("\n".join(lines) + "\n")
        (folder / "resolv.conf").write_text(f"nameserver {ADDRESS}\noptions timeout:1 attempts:1\n")
        if not self.namespace_exists():
            run(["ip", "netns", "add", self.netns])
        self.run(["ip", "link", "set", "lo", "up"])

    def namespace_exists(self) -> bool:
        return (Path("/run/netns") / self.netns).exists()

    def remove(self, *, keep_files: bool = False) -> None:
        """Stops everything, then removes the namespace and (unless asked not to) the state folder."""
        self.stop_all()
        if self.namespace_exists():
            run(["ip", "netns", "del", self.netns])
        shutil.rmtree(Path("/etc/netns") / self.netns, ignore_errors=True)
        if not keep_files and self.state.exists():
            shutil.rmtree(self.state)

    # -- running and starting ------------------------------------------------------------------------------------

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of the lab's processes: ours, with the lab's Kerberos configuration and no proxy."""
        dropped = {"http_proxy", "https_proxy", "all_proxy", "krb5ccname", "krb5_ktname", "krb5_client_ktname"}
        kept = {key: value for key, value in os.environ.items() if key.lower() not in dropped}
        return {**kept, "KRB5_CONFIG": str(self.krb5_conf), **(extra or {})}

    def inside(self, argv: Sequence[str]) -> list[str]:
        """The command line that runs `argv` inside the namespace."""
        return ["ip", "netns", "exec", self.netns, *argv]

    def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        timeout_s: float = 120,
        check: bool = True,
        cwd: Path | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end inside the namespace."""
        return run(self.inside(argv), env=self.environment(env), timeout_s=timeout_s, check=check, cwd=cwd)

    def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Process:
        """Starts a process inside the namespace and records it. Its output goes to `log/<name>.log`."""
        running = self.processes().get(name)
        if running is not None and running.alive():
            raise LabError(f"`{name}` of lab `{self.name}` runs already (pid {running.pid})")
        log = self.state / "log" / f"{name}.log"
        with log.open("ab") as output:
            child = subprocess.Popen(  # `ip netns exec` replaces itself, so this is the program's own pid
                self.inside(argv),
                env=self.environment(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        process = Process(name, child.pid, _start_ticks(child.pid) or 0, str(log))
        self._write_processes({**self.processes(), name: process})
        return process

    def wait_for_port(self, process: Process, port: int, *, timeout_s: float = 30) -> None:
        """Waits until something in the namespace listens on the port. Fails with the process's last words."""
        self.wait_until(process, lambda: port in _listening_ports(process.pid), f"port {port}", timeout_s=timeout_s)

    def wait_until(self, process: Process, ready: Callable[[], bool], what: str, *, timeout_s: float = 30) -> None:
        """Waits until `ready` says so, no longer than the process lives or the time given."""
        deadline = time.monotonic() + timeout_s
        while not ready():
            _reap(process.pid)
            if not process.alive():
                raise LabError(f"`{process.name}` ended before {what} was ready{self.last_lines(process)}")
            if time.monotonic() > deadline:
                raise LabError(f"`{process.name}`: {what} not ready in {timeout_s:.0f} s{self.last_lines(process)}")
            time.sleep(0.05)

    def last_lines(self, process: Process) -> str:
        """The end of the process's log, indented, to be put behind an error message."""
        with contextlib.suppress(OSError):
            lines = Path(process.log).read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
            return "".join(f"\n    {line}" for line in [f"(end of {process.log})", *lines])
        return ""

    # -- the record, and stopping --------------------------------------------------------------------------------

    def processes(self) -> dict[str, Process]:
        """All that was started and not stopped since, alive or not."""
        try:
            record = json.loads(self._record.read_text())
        except FileNotFoundError:
            return {}
        return {name: Process(**fields) for name, fields in record.items()}

    def _write_processes(self, processes: Mapping[str, Process]) -> None:
        write_atomically(
            self._record, json.dumps({name: dataclasses.asdict(p) for name, p in processes.items()}, indent=1)
        )

    def stop(self, name: str) -> None:
        """Stops one process and its process group, and forgets it."""
        processes = self.processes()
        process = processes.pop(name, None)
        if process is None:
            return
        if process.alive():
            _stop([process.pid], groups=True)
        self._write_processes(processes)

    def stop_all(self) -> None:
        """Stops all recorded processes, newest first, then whatever their children left in the namespace."""
        for name in reversed(list(self.processes())):
            self.stop(name)
        if self.namespace_exists():
            # The namespace is ours alone: who is in it was started by us. We may stand in it ourselves.
            listed = run(["ip", "netns", "pids", self.netns]).stdout.split()
            _stop([pid for pid in map(int, listed) if pid not in _self_and_ancestors()], groups=False)


# -- the machine --------------------------------------------------------------------------------------------------


def require_machine() -> None:
    """The lab needs root (namespaces, port 88) and Debian (package names, paths): says so at once otherwise."""
    if os.geteuid() != 0:
        raise LabError("the lab makes a network namespace and a domain controller: run it as root")
    try:
        release = Path("/etc/os-release").read_text()
    except FileNotFoundError:
        release = ""
    if "ID=debian" not in release.splitlines():
        raise LabError("the lab uses Debian's packages of Samba, Apache and MIT Kerberos: run it on Debian 12")


def missing_packages() -> list[str]:
    """The names in packages.txt that are not installed."""
    wanted = (ROOT / "lab" / "packages.txt").read_text().split()
    shown = run(["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *wanted], check=False).stdout
    installed = {line.split()[0] for line in shown.splitlines() if line.endswith(" installed")}
    return [package for package in wanted if package not in installed]


def require_packages() -> None:
    """Refuses to go on without the packages, with the command that installs them."""
    missing = missing_packages()
    if missing:
        raise LabError("packages are missing; install them with:\n    apt-get install -y " + " ".join(missing))


def install_packages() -> None:
    """Installs what is missing, without a question and without starting the services it brings."""
    missing = missing_packages()
    if not missing:
        return
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "-q", "update"], env=quiet, timeout_s=300)
    options = ["-y", "-q", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold"]
    with _no_service_starts():
        run(["apt-get", "install", *options, *missing], env=quiet, timeout_s=900)


@contextlib.contextmanager
def _no_service_starts() -> Iterator[None]:
    """invoke-rc.d asks this program whether a package may start its service: 101 means no."""
    gate = Path("/usr/sbin/policy-rc.d")
    if gate.exists():
        yield
        return
    gate.write_text("#!/bin/sh\nexit 101\n")
    gate.chmod(0o755)
    try:
        yield
    finally:
        gate.unlink(missing_ok=True)


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 120,
    check: bool = True,
    cwd: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end. A failure carries the command and the end of what it said."""
    shown = " ".join(argv[:6]) + (" ..." if len(argv) > 6 else "")
    try:
        done = subprocess.run(
            argv,
            check=False,
            env=None if env is None else dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
        )
    except FileNotFoundError as error:
        raise LabError(f"`{argv[0]}` is not installed (lab/packages.txt lists what the lab needs)") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"`{shown}` took longer than {timeout_s:.0f} s") from error
    if check and done.returncode != 0:
        said = (done.stdout + done.stderr).splitlines()[-LOG_TAIL_LINES:]
        raise LabError(f"`{shown}` failed with {done.returncode}" + "".join(f"\n    {line}" for line in said))
    return done


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Readers see the old file or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    temporary.chmod(mode)
    temporary.replace(path)


def main(body: Callable[[], int]) -> None:
    """Runs a command line's body: an error of the lab is one message, not a trace."""
    try:
        sys.exit(body())
    except LabError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file."""
    value = json.loads(path.read_text())
    if not isinstance(value, dict):
        raise LabError(f"`{path}` does not hold a JSON object")
    return value


# -- /proc ---------------------------------------------------------------------------------------------------------


def _stat_fields(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat behind the command's name (which may itself hold spaces and parentheses)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _start_ticks(pid: int) -> int | None:
    """When the process started, in clock ticks since boot; None when it is gone (a zombie is gone)."""
    fields = _stat_fields(pid)
    return int(fields[19]) if fields and fields[0] not in "ZX" else None


def _listening_ports(pid: int) -> set[int]:
    """The TCP ports that have a listener in the namespace of the process."""
    ports = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                _, local, _, state, *_ = line.split()
                if state == "0A":
                    ports.add(int(local.rpartition(":")[2], 16))
    return ports


def _self_and_ancestors() -> set[int]:
    pid, found = os.getpid(), set()
    while pid > 1:
        found.add(pid)
        fields = _stat_fields(pid)
        pid = int(fields[1]) if fields else 0
    return found


def _reap(pid: int) -> None:
    """Collects the exit status if the process is our own child, so that it does not stay as a zombie."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _stop(pids: Sequence[int], *, groups: bool) -> None:
    """TERM, a bounded wait, KILL. CONT first: a stopped process would not see TERM."""
    targets = {pid: ticks for pid in pids if (ticks := _start_ticks(pid)) is not None}

    def send(number: signal.Signals) -> None:
        for pid, ticks in targets.items():
            if groups or _start_ticks(pid) == ticks:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    (os.killpg if groups else os.kill)(pid, number)

    send(signal.SIGTERM)
    send(signal.SIGCONT)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while any(_start_ticks(pid) == ticks for pid, ticks in targets.items()) and time.monotonic() < deadline:
        for pid in targets:
            _reap(pid)
        time.sleep(0.05)
    send(signal.SIGKILL)
    for pid in targets:
        _reap(pid)
