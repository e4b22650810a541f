"""The whole way, once: an Airflow task reaches an IIS-like upstream as a Windows identity, and the log proves it.

`make demo` runs it and stops all that it started; `make demo KEEP=1` leaves it running.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from pathlib import Path

import ad
import airflow
import gateway
import trail
import upstream
from common import ROOT, Lab, LabError, Step, install_packages, main, require_machine, run

DAG = "nightly_orders"
EXPECTED = {"read_orders": "success", "post_totals": "success", "read_payroll": "failed"}
IDENTITY = "svc-orders@LAB.TEST"


def require_tools() -> None:
    """Says at once what can't be installed from here."""
    require_machine()
    if sys.version_info < (3, 11):
        raise LabError(f"Python 3.11 or later is needed; this is {sys.version.split()[0]}")
    if shutil.which("cargo") is None:
        raise LabError("Rust is needed: install it with rustup (rust-toolchain.toml names the version)")


def install() -> None:
    """Everything that a machine lacks; a second run finds it all there."""
    with Step("Debian packages"):
        install_packages()
    with Step("airgate, release build"):
        gateway.build()
    with Step("Airflow, its HTTP provider and ours"):
        airflow.install()


def start(lab: Lab) -> Path:
    """The lab, the gateway, Airflow. Returns the gateway's configuration."""
    lab.remove()
    ad.up(lab)
    with Step("gateway on https://gw.lab.test:9443"):
        configuration = gateway.configure(lab, airflow.ISSUER)
        gateway.start(lab, configuration)
    airflow.up(lab)
    return configuration


def observe(lab: Lab, configuration: Path, run_id: str) -> trail.Trail:
    """What the three parties wrote about the run."""
    tasks = [
        trail.Task(
            (DAG, run_id, task["task_id"], task["map_index"], task["try_number"]),
            task["state"],
            airflow.task_log(lab, DAG, run_id, task["task_id"], task["try_number"], task["map_index"]),
        )
        for task in airflow.task_instances(lab, DAG, run_id)
    ]
    entries = gateway.audit(configuration, "search", "--dag", DAG, "--run", run_id)
    return trail.join(entries, tasks, trail.read_w3c(upstream.access_log(lab)))


def faults(found: trail.Trail, tasks: dict[str, str], logs: dict[str, str]) -> list[str]:
    """All that is not as it should be."""
    wrong = [
        f"task {name} is {tasks.get(name)}, not {state}" for name, state in EXPECTED.items() if tasks.get(name) != state
    ]
    if len(found.rows) != len(EXPECTED):
        wrong.append(f"{len(found.rows)} calls are recorded, not {len(EXPECTED)}")
    wrong += [f"entry {row.entry['index']} is not joined" for row in found.rows if not row.joined]
    wrong += found.orphans
    for row in found.rows:
        if row.permitted and (row.line is None or row.line.fields["cs-username"] != IDENTITY):
            wrong.append(f"entry {row.entry['index']}: the upstream did not see {IDENTITY}")
        if row.permitted and row.call["windows_identity"] != IDENTITY:
            wrong.append(f"entry {row.entry['index']}: the record does not name {IDENTITY}")
    refused = [row for row in found.rows if not row.permitted]
    for row in refused:
        log = logs["read_payroll"]
        for what, text in (
            ("what was refused", "/api/payroll"),
            ("why", "not_in_role"),
            ("under which entry", f"entry {row.entry['index']}"),
            ("what to change", "orders-writer"),
        ):
            if text not in log:
                wrong.append(f"the task log of read_payroll does not say {what} (`{text}`)")
    if len(refused) != 1:
        wrong.append(f"{len(refused)} calls were refused, not 1")
    return wrong


def refusal_message(log: str) -> str:
    """The lines of the task log that a DAG author would read."""
    return "\n".join(f"    {line}" for line in airflow.readable_failure(log))


def report(lab: Lab, configuration: Path, run_id: str) -> int:
    """Prints the trail and the verdict. 0 if all of it holds."""
    found = observe(lab, configuration, run_id)
    states = {task["task_id"]: task["state"] for task in airflow.task_instances(lab, DAG, run_id)}
    logs = {row.task.place[2]: row.task.log for row in found.rows if row.task}
    logs.setdefault("read_payroll", "")
    print(f"\nThe trail of {DAG} / {run_id}\n")
    print(trail.table(found))
    print("\nWhat the author of read_payroll sees in Airflow's task log:\n")
    print(refusal_message(logs["read_payroll"]))
    key_file = gateway.folder(lab) / "log.vkey"
    key_file.write_text(run([str(gateway.binary()), "audit", "key", "--config", str(configuration)]).stdout)
    arguments = ["audit", "verify", "--log", str(gateway.folder(lab) / "log"), "--key", f"@{key_file}"]
    verified = run([str(gateway.binary()), *arguments], check=False)
    print(f"\n$ airgate {' '.join(arguments)}\n{verified.stdout}{verified.stderr}")
    wrong = faults(found, states, logs)
    if verified.returncode != 0:
        wrong.append("the log does not verify")
    for fault in wrong:
        print(f"fault: {fault}")
    verdict = "verified" if verified.returncode == 0 else "NOT verified"
    print(f"demo: {len(found.rows)} calls, {found.joined} joined, {len(found.orphans)} orphans, log {verdict}")
    return 1 if wrong else 0


def print_hints(lab: Lab, configuration: Path) -> None:
    """What to try with a lab that was left running."""
    inside = f"ip netns exec {lab.netns}"
    program = gateway.binary()
    print(
        f"""
The lab is running in the network namespace {lab.netns}; its files are in {lab.state}.

  gateway    {gateway.AUDIENCE}  (routes: orders., bound., assertion.gw.lab.test)
  Airflow    {airflow.URL}  (user {airflow.USER}, password {airflow.PASSWORD})
  upstream   {", ".join(upstream.URLS.values())}

Try next:
  {inside} curl --cacert {lab.state}/tls/ca.pem https://orders.gw.lab.test:{gateway.PORT}/api/orders
  {program} audit search --config {configuration}
  {program} audit show 0 --config {configuration}
  {program} check --config {configuration}
  tail -f {upstream.access_log(lab)}
  python3 {ROOT / "lab" / "airflow.py"} --name {lab.name} run {DAG}

Stop it:
  make demo-stop"""
    )


def demo(lab: Lab, *, keep: bool) -> int:
    """Steps 1 to 6."""
    began = time.monotonic()
    require_tools()
    print(f"Airgate demo: lab `{lab.name}`, namespace {lab.netns}")
    code = 1
    try:
        install()
        configuration = start(lab)
        with Step(f"DAG {DAG} through the scheduler"):
            run_id, _ = airflow.run_dag(lab, DAG)
        # The gateway publishes its log every second; the trail is read from what a stranger can check.
        code = report(lab, configuration, run_id)
        if keep:
            print_hints(lab, configuration)
    finally:
        if not keep:
            with Step("stopped all that was started"):
                lab.remove(keep_files=code != 0)
            if code != 0:
                print(f"  the files stay for you to look at: {lab.state}")
    print(f"  took {time.monotonic() - began:.0f} s", file=sys.stderr)
    return code


def command_line() -> int:
    """`demo.py [--keep] [--stop] [--name NAME]`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", default="demo")
    parser.add_argument("--keep", action="store_true", help="leave everything running")
    parser.add_argument("--stop", action="store_true", help="stop what --keep left running")
    options = parser.parse_args()
    lab = Lab(options.name)
    if options.stop:
        require_machine()
        with Step(f"lab {lab.name} stopped"):
            lab.remove()
        return 0
    os.umask(0o022)
    return demo(lab, keep=options.keep)


if __name__ == "__main__":
    main(command_line)
