"""Checks the documents against the tree, so that a page cannot outlive what it tells of.

    python3 docs/tests/check.py                 links, paths, tests, codes, fields, and the syntax of every sample
    AIRGATE_BIN=… python3 docs/tests/check.py   also each command line and each configuration, by the program itself,
                                                and the auditor's `verify_log.py` on a log that it writes

Conventions of the pages:

- `test: name` in backticks names a test that must be in the tree, `test: compile_fail/name` one that must not compile;
- in a ```console block, lines that start with `$ ` are commands;
- a ```toml block that starts with `# airgate.toml` is a whole configuration; with `# airgate.toml, in part`, it is
  laid over `examples/quickstart/airgate.toml`. `airgate check` must accept both, and each `airgate.toml` in `examples`;
- the tables between `<!-- codes -->`, or `<!-- entry fields -->`, and `<!-- end -->` name all of their kind;
- the guide to identity providers has a configuration with each profile.

Exit code 0: all is so. 1: one line for each fault.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
import textwrap
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import verifier

ROOT = Path(__file__).resolve().parents[2]
QUICKSTART = ROOT / "examples" / "quickstart" / "airgate.toml"
PROBLEMS = ROOT / "docs" / "reference" / "problems.md"
DAG_AUTHOR = ROOT / "docs" / "guides" / "dag-author.md"
PROVIDERS = ROOT / "docs" / "guides" / "identity-providers.md"
REFERENCE = ROOT / "docs" / "reference" / "configuration.md"
AUDITOR = ROOT / "docs" / "guides" / "auditor.md"
ENTRY = ROOT / "crates" / "audit" / "src" / "entry.rs"
PROVIDER = ROOT / "provider" / "src" / "airgate_provider"
TOP = ("bench", "conformance", "console", "crates", "docs", "examples", "fuzz", "lab", "provider", "xtask", ".ci")
SKIPPED = {"target", "node_modules", ".git", ".venv"}
FENCE = re.compile(r"^( *)(`{3,})([\w-]*)[^\n]*\n(.*?)^\1\2[ \t]*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
TEST = re.compile(r"`test: ([\w/]+)`")
HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)
ENVIRONMENT = re.compile(r"[A-Z_]+=\S*")
COMMON_TASK_ARGUMENTS = {"task_id", "retries", "retry_delay", "execution_timeout", "pool", "dag", "trigger_rule"}


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str


@dataclass
class Report:
    """What was checked and what is wrong."""

    faults: list[str] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)

    def count(self, what: str, number: int = 1) -> None:
        """One more thing of a kind was looked at."""
        self.checked[what] = self.checked.get(what, 0) + number

    def fault(self, page: Path, line: int, what: str) -> None:
        """Something is wrong at a place."""
        place = page.relative_to(ROOT) if page.is_relative_to(ROOT) else page
        self.faults.append(f"{place}:{line}: {what}")


def tree(suffix: str) -> Iterator[Path]:
    """All files of the tree with a suffix, without build output."""
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in SKIPPED and not name.endswith("_cache")]
        yield from (Path(folder) / name for name in files if name.endswith(suffix))


def pages() -> list[Path]:
    """Every document of the project."""
    return sorted(
        path for path in tree(".md") if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
    )


def line_of(text: str, at: int) -> int:
    """The line of an offset, from 1."""
    return text.count("\n", 0, at) + 1


def blocks(page: Path, text: str) -> list[Block]:
    """The fenced blocks of a page."""
    return [
        Block(page, line_of(text, match.start(4)), match[3], textwrap.dedent(match[4]))
        for match in FENCE.finditer(text)
    ]


def prose(text: str) -> str:
    """The page with its blocks blanked out, line for line."""
    return FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)


# -- links, paths, tests ----------------------------------------------------------------------------------------------


@cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors that a forge makes of a page's headings."""
    found: list[str] = []
    for match in HEADING.finditer(prose(page.read_text(encoding="utf-8"))):
        words = re.sub(r"[^\w\- ]", "", match[1].lower()).strip()
        found.append(words.replace(" ", "-"))
    return frozenset(found)


def check_links(report: Report, page: Path, text: str) -> None:
    """Relative links lead to files, and their anchors to headings."""
    for match in LINK.finditer(text):
        target = match[1]
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        report.count("links")
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists():
            report.fault(page, line_of(text, match.start()), f"the link `{target}` leads nowhere")
        elif anchor and file.suffix == ".md" and anchor not in anchors(file):
            report.fault(page, line_of(text, match.start()), f"the link `{target}` names no heading there")


@cache
def file_names() -> frozenset[str]:
    """The names of all source files."""
    return frozenset(path.name for suffix in (".rs", ".py") for path in tree(suffix))


def check_paths(report: Report, page: Path, text: str) -> None:
    """Files that are named in backticks exist: by path from the root, or sources by name alone."""
    for match in CODE.finditer(text):
        name = match[1].rstrip("/")
        if re.fullmatch(r"\.?[\w-]+(/[\w.*-]+)+", name) and name.split("/")[0] in TOP:
            found = any(ROOT.glob(name)) if "*" in name else (ROOT / name).exists()
        elif re.fullmatch(r"[\w-]+\.(rs|py)", name):
            found = name in file_names()
        else:
            continue
        report.count("paths")
        if not found:
            report.fault(page, line_of(text, match.start()), f"`{match[1]}` is not in the tree")


@cache
def tests() -> frozenset[str]:
    """The names of all tests: Rust functions under a test attribute, Python functions, compile-fail cases."""
    found: set[str] = set()
    for path in tree(".rs"):
        text = path.read_text(encoding="utf-8")
        found.update(
            re.findall(r"#\[(?:\w+::)?test\b[^\]]*\](?:\s*(?:#\[[^\]]*\]|///[^\n]*))*\s*(?:async )?fn (\w+)", text)
        )
        if path.parent.name == "compile_fail":
            found.add(f"compile_fail/{path.stem}")
    for path in (path for path in tree(".py") if "tests" in path.parts):
        found.update(re.findall(r"^ *(?:async )?def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE))
    return frozenset(found)


def check_tests(report: Report, page: Path, text: str) -> None:
    """Tests that a page leans on exist."""
    for match in TEST.finditer(text):
        report.count("tests")
        if match[1] not in tests():
            report.fault(page, line_of(text, match.start()), f"no test is named `{match[1]}`")


# -- samples ----------------------------------------------------------------------------------------------------------


def check_samples(report: Report, block: Block) -> None:
    """Samples in a language that can be read without the program are well formed."""
    try:
        match block.language:
            case "python":
                check_python(report, block)
            case "json":
                json.loads(block.text)
            case "toml":
                tomllib.loads(block.text)
            case "xml":
                ET.fromstring(f"<sample>{block.text}</sample>")  # noqa: S314 (our own page)
            case _:
                return
    except (SyntaxError, ValueError, ET.ParseError) as error:
        report.fault(block.page, block.line, f"the {block.language} sample is malformed: {error}")
    report.count("samples")


@cache
def module(name: str) -> ast.Module | None:
    """A module of the provider; None if there is no such module."""
    base = PROVIDER.joinpath(*name.split(".")[1:])
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return ast.parse(path.read_text(encoding="utf-8"))
    return None


def names_of(tree_of: ast.Module) -> set[str]:
    """What a module defines at its top."""
    found = {node.name for node in tree_of.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    for node in tree_of.body:
        if isinstance(node, ast.Assign):
            found.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return found


def arguments_of(name: str, class_name: str, method: str) -> set[str]:
    """The names of a method's arguments."""
    for node in ast.walk(module(name) or ast.Module([], [])):
        if isinstance(node, ast.ClassDef) and node.name == class_name:
            for part in node.body:
                if isinstance(part, ast.FunctionDef) and part.name == method:
                    return {argument.arg for argument in [*part.args.args, *part.args.kwonlyargs]}
    return set()


def check_python(report: Report, block: Block) -> None:
    """It compiles; what it imports from the provider is there; the operator's arguments are its own."""
    parsed = ast.parse(block.text)
    compile(parsed, str(block.page), "exec")
    for node in ast.walk(parsed):
        line = block.line + getattr(node, "lineno", 1) - 1
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == PROVIDER.name:
            source = module(node.module or "")
            known = names_of(source) if source else set()
            for alias in node.names:
                if alias.name not in known:
                    report.fault(block.page, line, f"`{node.module}` has no `{alias.name}`")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "AirgateOperator":
            known = arguments_of("airgate_provider.operator", "AirgateOperator", "__init__") | COMMON_TASK_ARGUMENTS
            for keyword in node.keywords:
                if keyword.arg and keyword.arg not in known:
                    report.fault(block.page, line, f"`AirgateOperator` has no argument `{keyword.arg}`")


# -- lists that must be whole -----------------------------------------------------------------------------------------


def table_names(page: Path, marker: str) -> set[str]:
    """The backticked names in the first cells of the tables between `<!-- marker -->` and `<!-- end -->`."""
    text = page.read_text(encoding="utf-8")
    part = text.partition(f"<!-- {marker} -->")[2].partition("<!-- end -->")[0]
    cells = (line.split("|")[1] for line in part.splitlines() if line.startswith("|"))
    return {name for cell in cells for name in CODE.findall(cell)}


def compare(report: Report, page: Path, what: str, told: set[str], true: set[str]) -> None:
    """A page tells all of a list, and nothing else."""
    report.count(what, len(true))
    for name in sorted(true - told):
        report.fault(page, 1, f"{what}: `{name}` is missing")
    for name in sorted(told - true):
        report.fault(page, 1, f"{what}: `{name}` does not exist")


def check_codes(report: Report) -> None:
    """The DAG author's guide explains every code of the reference."""
    if not PROBLEMS.exists():
        report.fault(PROBLEMS, 1, "the reference of problems is missing: `airgate reference problems` prints it")
        return
    true = set(re.findall(r"^\| \d{3} \| `(\w+)`", PROBLEMS.read_text(encoding="utf-8"), re.MULTILINE))
    compare(report, DAG_AUTHOR, "codes", table_names(DAG_AUTHOR, "codes"), true)


def check_profiles(report: Report) -> None:
    """The guide has an example of every profile of the reference."""
    row = re.search(r"^\| `profile` \|([^|]*)\|", REFERENCE.read_text(encoding="utf-8"), re.MULTILINE)
    true = set(CODE.findall(row[1])) if row else set()
    # These two need not be named.
    told = {"oidc", "airflow"}
    for block in blocks(PROVIDERS, PROVIDERS.read_text(encoding="utf-8")):
        if block.language == "toml":
            told.update(
                issuer["profile"]
                for issuer in tomllib.loads(block.text).get("issuer", {}).values()
                if "profile" in issuer
            )
    compare(report, PROVIDERS, "profiles", told, true)


def check_fields(report: Report) -> None:
    """The auditor's guide explains every field of an entry."""
    source = ENTRY.read_text(encoding="utf-8")
    true: set[str] = set()
    for name, prefix in (
        ("Call", "call"),
        ("Subject", "call.principal"),
        ("Job", "call.principal.job"),
        ("Outcome", "outcome"),
        ("GatewayNote", "gateway"),
    ):
        found = re.search(rf"pub struct {name} \{{(.*?)\n\}}", source, re.DOTALL)
        fields = re.findall(r"^    pub (?:r#)?(\w+):", found[1], re.MULTILINE) if found else []
        true.update(f"{prefix}.{one}" for one in fields)
    true -= {"call.principal", "call.principal.job"}
    compare(report, AUDITOR, "entry fields", table_names(AUDITOR, "entry fields"), true)


# -- what only the program can tell -----------------------------------------------------------------------------------


class Program:
    """The program under test, asked for its own help."""

    def __init__(self, path: str) -> None:
        self.path = path

    @cache  # noqa: B019 (one program for all of the run)
    def help(self, *verbs: str) -> str:
        """What `airgate … --help` prints."""
        done = subprocess.run([self.path, *verbs, "--help"], capture_output=True, text=True, timeout=30, check=False)
        return done.stdout

    def verbs(self, *verbs: str) -> set[str]:
        """The verbs under a verb."""
        part = re.search(r"^Commands:\n((?: +.*\n|\n(?= ))*)", self.help(*verbs), re.MULTILINE)
        return set(re.findall(r"^  (\w[\w-]*)", part[1], re.MULTILINE)) if part else set()

    def flags(self, *verbs: str) -> set[str]:
        """The flags of a verb."""
        return set(re.findall(r"^ +(?:-\w, )?(--[\w-]+)", self.help(*verbs), re.MULTILINE))

    def check(self, words: list[str]) -> str | None:
        """Why a command line is wrong; None where it is right."""
        verbs: list[str] = []
        while words and (below := self.verbs(*verbs)):
            if words[0].startswith("-"):
                break
            if words[0] not in below:
                return f"`airgate {' '.join([*verbs, words[0]])}`: no such verb"
            verbs.append(words.pop(0))
        known = self.flags(*verbs)
        for word in words:
            name = word.partition("=")[0]
            if name.startswith("--") and name not in known:
                return f"`airgate {' '.join(verbs)}` has no flag `{name}`"
        return None

    def accepts(self, folder: Path) -> str | None:
        """Why `airgate check` refuses the configuration of a folder; None where it accepts it."""
        argv = [self.path, "check", "--config", str(folder / "airgate.toml")]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        return None if done.returncode == 0 else done.stderr.strip().replace(str(folder) + os.sep, "")


def commands(block: Block) -> Iterator[tuple[int, list[str]]]:
    """The calls of `airgate` in a block, each with its line and without what a shell does around it."""
    joined = re.sub(r"\\\n\s*", lambda match: " " + "\x00" * match[0].count("\n"), block.text)
    for number, line in enumerate(joined.split("\n")):
        at = block.line + number + joined[: joined.find(line)].count("\x00")
        if not line.startswith("$ "):
            continue
        lexer = shlex.shlex(line[2:].replace("\x00", ""), posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= set("|&;<>"):
                while words and (words[0] == "sudo" or ENVIRONMENT.fullmatch(words[0])):
                    words.pop(0)
                    if words[:1] == ["-u"]:
                        del words[:2]
                if words[:1] == ["airgate"]:
                    yield at, words[1:]
                words = []
            else:
                words.append(word)


def keytab(principal: str) -> bytes:
    """A keytab with one AES256 key of zeros."""
    name, _, realm = principal.partition("@")

    def counted(text: str) -> bytes:
        return struct.pack(">H", len(text)) + text.encode()

    parts = name.split("/")
    body = struct.pack(">H", len(parts)) + counted(realm) + b"".join(counted(part) for part in parts)
    body += struct.pack(">IIBHH", 1, 0, 1, 18, 32) + bytes(32)
    return b"\x05\x02" + struct.pack(">i", len(body)) + body


def furnish(folder: Path, configuration: object) -> None:
    """Makes the files that a configuration names: certificates, keys and keytabs good enough to be checked."""
    if isinstance(configuration, list):
        for item in configuration:
            furnish(folder, item)
    if not isinstance(configuration, dict):
        return
    for key, value in configuration.items():
        furnish(folder, value)
        if not isinstance(value, str):
            continue
        if key == "certificate":
            make_certificate(
                folder / value, folder / str(configuration.get("certificate_key", configuration.get("key")))
            )
        elif key in {"ca_file", "client_ca_file"}:
            make_certificate(folder / value, folder / f"{Path(value).stem}-of-the-ca.key")
        elif key == "keytab":
            place(folder / value, keytab(str(configuration.get("principal", ""))))
        elif key == "key" and "client_id" in configuration:
            make_certificate(folder / f"{value}.pem", folder / value)
        elif key in {"token_file", "revoked_file"}:
            place(folder / value, b"")


def place(path: Path, content: bytes) -> None:
    """A private file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_bytes(content)


def make_certificate(certificate: Path, key: Path) -> None:
    """A self-signed certificate and its key."""
    place(certificate, b"")
    place(key, b"")
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1"]
    argv = [*make, "-subj", "/CN=docs", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(argv, capture_output=True, check=True, timeout=60)


def laid_over(base: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """A configuration with some sections added, and some keys of sections replaced."""
    sections = {**base}
    for kind, named in part.items():
        both = isinstance(named, dict) and isinstance(base.get(kind), dict)
        sections[kind] = {**base[kind], **named} if both else named
    return sections


def to_toml(value: object) -> str:
    """A value as inline TOML."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {to_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(to_toml(item) for item in value) + "]"
    return json.dumps(value)


def check_configuration(report: Report, program: Program, page: Path, line: int, text: str) -> None:
    """`airgate check` accepts it, once the files that it names are there."""
    report.count("configurations")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        furnish(folder, tomllib.loads(text))
        place(folder / "airgate.toml", text.encode())
        refused = program.accepts(folder)
    if refused is not None:
        report.fault(page, line, f"`airgate check` refuses it:\n{textwrap.indent(refused, '    ')}")


def check_with_program(report: Report, program: Program, all_blocks: list[Block]) -> None:
    """Command lines and configurations."""
    for block in all_blocks:
        if block.language == "console":
            for line, words in commands(block):
                report.count("command lines")
                if wrong := program.check(words):
                    report.fault(block.page, line, wrong)
    if shutil.which("openssl") is None:
        print("docs: skipped: configurations (openssl is not installed)")
        return
    for path in sorted((ROOT / "examples").rglob("airgate.toml")):
        check_configuration(report, program, path, 1, path.read_text(encoding="utf-8"))
    for block in all_blocks:
        if block.language != "toml" or not block.text.startswith("# airgate.toml"):
            continue
        text = block.text
        if text.startswith("# airgate.toml, in part"):
            whole = laid_over(tomllib.loads(QUICKSTART.read_text(encoding="utf-8")), tomllib.loads(text))
            text = "\n".join(f"{key} = {to_toml(value)}" for key, value in whole.items()) + "\n"
        check_configuration(report, program, block.page, block.line, text)


def check_verifier(report: Report, program: Program) -> None:
    """The auditor's program accepts a log of the gateway, and no changed one."""
    if shutil.which("openssl") is None or not verifier.can_run():
        print(f"docs: skipped: {verifier.VERIFY.name} (it needs openssl, and `cryptography` for {sys.executable})")
        return
    report.count("logs")
    with tempfile.TemporaryDirectory() as name:
        make_certificate(Path(name) / "tls.pem", Path(name) / "tls.key")
        for wrong in verifier.faults(program.path, Path(name)):
            report.fault(verifier.VERIFY, 1, wrong)


def main() -> int:
    """Checks everything; prints what is wrong."""
    report = Report()
    all_blocks: list[Block] = []
    for page in pages():
        text = page.read_text(encoding="utf-8")
        words = prose(text)
        report.count("pages")
        check_links(report, page, words)
        check_paths(report, page, words)
        check_tests(report, page, words)
        all_blocks += blocks(page, text)
    for block in all_blocks:
        check_samples(report, block)
    check_codes(report)
    check_profiles(report)
    check_fields(report)
    path = os.environ.get("AIRGATE_BIN", "")
    if path:
        check_with_program(report, Program(path), all_blocks)
        check_verifier(report, Program(path))
    else:
        print(
            "docs: skipped: command lines, configurations and verify_log.py (set AIRGATE_BIN to the `airgate` program)"
        )
    for fault in report.faults:
        print(fault)
    print(
        f"docs: {', '.join(f'{number} {what}' for what, number in report.checked.items())}; {len(report.faults)} faults"
    )
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
