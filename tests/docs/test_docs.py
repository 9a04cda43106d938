"""The documents: every code block runs or says why it does not, every link leads somewhere, no name is forgotten.

A block is run by its language. `console`: what stands after `$` is run, and what it prints is what stands below;
`…` stands for the rest of a line, or alone for any lines. `sh` and `python`: run, and must end well. `javascript`: so
too, in a test of its own, since it needs Node. `json` and `toml`: must parse. A comment on the line above says
otherwise:

    <!-- file: create.py -->       the block is this file, for the blocks below; if it is there already, it is the same
    <!-- not run: reason -->       the block is only shown

The blocks of one document run in its order, against one system that is theirs alone.
"""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote

import psycopg
import pytest
from sqlalchemy.engine import make_url
from support.installed_programs import PACKAGES, need_node_packages, need_programs
from support.serving import serving

import auth.main
import bus.testing.servers.postgres
import bus.testing.servers.rabbitmq
import catalog.main
from bus.cli.common import operations_of
from bus.client.client import Client
from bus.client.retrying import RetryingClient
from bus.contract.operations import Operation
from bus.database import outbox
from bus.database.engine import Database
from bus.database.migrate import migrate
from bus.messaging.connect import transport_for
from bus.runtime.settings import read_settings
from bus.service.application import Application, declared_by
from bus.testing.servers.ports import free_ports
from bus.testing.waiting import wait_until
from bus.worker.worker import Worker

ROOT = Path(__file__).parents[2]
NAMES = [
    *("README.md", "CONTRIBUTING.md", "CHANGELOG.md"),
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")),
]
APPLICATIONS = (auth.main.application, catalog.main.application)

# What the documents say, and what is put in its place where they are tested.
SHOWN_URLS = {each.name: f"http://127.0.0.1:{each.port}" for each in APPLICATIONS}
SHOWN_DATABASE = "postgresql://errand:secret@127.0.0.1/errand"

# Its token is new at each start.
CONSOLE_URL = "http://127.0.0.1:5002/?token=…"
OPERATOR_TOKEN = "the operator token of this installation"

# The tests that a document shows start a broker and a database, which may take 90 s each, and then run.
COMMAND_SECONDS = 300.0
START_SECONDS = 60.0
STOP_SECONDS = 30.0
PATIENCE_SECONDS = 30.0
# What a worker's thread logs just between two phases of a test, while pytest captures nothing, stands among its dots.
LOGGED = re.compile(r"(?<=[.\n])\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[(?:debug|info) +\] .*\n")
SYSTEM_LANGUAGES = ("console", "sh", "python")
DATA_LANGUAGES = ("json", "toml")
NODE_LANGUAGES = ("javascript",)
# What the documents import, in the releases they were tried with.
NODE_PACKAGES = ("amqplib@2.3.1", "jose@6.2.18")


@dataclass(frozen=True)
class Block:
    """A fenced block. `file` is where it is to be written, `not_run` the reason why it is only shown."""

    line: int
    language: str
    text: str
    file: str
    not_run: str


@dataclass
class System:
    """Workers and front ends in threads of this process, on a real broker, with a folder for what is run."""

    url: str
    folder: Path
    replaced: dict[str, str] = field(default_factory=dict)
    _closing: list[Any] = field(default_factory=list)
    _databases: list[Database] = field(default_factory=list)

    def __enter__(self) -> Self:
        client = Client(self.url, name="docs")
        for application, port in zip(APPLICATIONS, free_ports(len(APPLICATIONS)), strict=True):
            application.service.data_dir = self.folder / "data"
            self._start_worker(application)
            front_end = serving(application.web(client), port)
            front_end.__enter__()
            self._closing.append(lambda each=front_end: each.__exit__(None, None, None))
            self.replaced[SHOWN_URLS[application.name]] = f"http://127.0.0.1:{port}"
            if application.seed is not None:
                with RetryingClient(self.url, name="seed") as patient:
                    application.seed(patient)
        self._closing.append(client.close)
        self._wait_for_events()
        return self

    def __exit__(self, *_: object) -> None:
        for close in self._closing:
            close()

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a command as the documents have it; its output is as they would have it too."""
        for shown, real in self.replaced.items():
            command = command.replace(shown, real)
        run = self.start(["bash", "-euc", command])
        for shown, real in self.replaced.items():
            run.stdout = run.stdout.replace(real, shown)
        return run

    def start(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=COMMAND_SECONDS,
        )

    def _wait_for_events(self) -> None:
        """What the seeds have told is not part of any example."""
        for database in self._databases:
            wait_until(lambda database=database: not _unsent(database), START_SECONDS, "all events are sent")

    def _start_worker(self, application: Application) -> None:
        database = Database(f"sqlite:///{self.folder}/data/{application.name}.db")
        migrate(database, application.migrations)
        self._databases.append(database)
        transport = transport_for(self.url, application.name)
        worker = Worker(application.service, transport, database, operator_token=OPERATOR_TOKEN)
        worker.start()
        self._closing += [lambda: worker.stop(STOP_SECONDS), database.close]
        assert transport.wait_until_ready(START_SECONDS)

    def _environment(self) -> dict[str, str]:
        programs = f"{sysconfig.get_path('scripts')}{os.pathsep}{Path(sys.executable).parent}"
        return {
            **os.environ,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "BUS_URL": self.url,
            "BUS_OPERATOR_TOKEN": OPERATOR_TOKEN,
            "DATA_DIR": str(self.folder / "data"),
        }


def _unsent(database: Database) -> bool:
    with database.transaction() as transaction:
        return bool(outbox.unsent(transaction.connection, 1))


# Reading.


def _blocks(name: str) -> list[Block]:
    blocks: list[Block] = []
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    opened, language = 0, ""
    for number, line in enumerate(lines, 1):
        if not line.startswith("```"):
            continue
        if opened:
            text = "".join(f"{each}\n" for each in lines[opened : number - 1])
            above = lines[opened - 2] if opened > 1 else ""
            file, not_run = (_marker(above, kind) for kind in ("file", "not run"))
            blocks.append(Block(opened, language, text, file, not_run))
            opened = 0
        else:
            opened, language = number, line[3:]
    assert not opened, f"{name}:{opened}: this block has no end"
    return blocks


def _marker(line: str, kind: str) -> str:
    found = re.fullmatch(rf"<!-- {kind}: (\S.*) -->", line)
    return found[1] if found else ""


def _commands(text: str) -> Iterator[tuple[str, str]]:
    """The commands of a console block, each with what it prints."""
    assert text.startswith("$ "), text
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        end = next(place for place, line in enumerate(lines, 1) if not line.endswith("\\\n"))
        yield "".join(lines[:end]), "".join(lines[end:])


def _pattern(expected: str) -> str:
    lines = (line.rstrip() for line in expected.strip().splitlines())
    return "".join(r"(?:.*\n)*?" if line == "…" else re.escape(line).replace("…", ".*?") + r"\s*\n" for line in lines)


def _words(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


# Running.


@pytest.fixture
def system(broker_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    # What a busy machine is too slow for, its front ends would answer otherwise than the documents say.
    monkeypatch.setattr("bus.client.liveness.PING_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr("bus.http.views.health.READY_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr("bus.http.relaying.ANSWER_SECONDS", PATIENCE_SECONDS)
    with System(broker_url, tmp_path) as system:
        yield system


def test_every_block_runs_or_says_why_not() -> None:
    for name in NAMES:
        assert not re.search(r"^([ \t]+```|[ \t]*~~~)", _words(name), re.MULTILINE), (
            f"{name}: fences are ``` without indent"
        )
        for block in _blocks(name):
            known = block.language in (*SYSTEM_LANGUAGES, *DATA_LANGUAGES, *NODE_LANGUAGES)
            assert known or block.not_run, f"{name}:{block.line}: a block of {block.language!r} that nothing runs"


@pytest.mark.parametrize("name", NAMES)
def test_what_a_document_shows_is_what_happens(request: pytest.FixtureRequest, name: str) -> None:
    blocks = [block for block in _blocks(name) if not block.not_run]
    if not any(block.language in SYSTEM_LANGUAGES for block in blocks):
        for block in blocks:
            _parse(block)
        return
    system: System = request.getfixturevalue("system")
    if SHOWN_DATABASE in _words(name):
        system.replaced[SHOWN_DATABASE] = _with_schemas(request.getfixturevalue("database_url"))
    for block in blocks:
        _run(block, system, f"{name}:{block.line}")


def test_what_the_documents_show_in_javascript_runs(system: System) -> None:
    blocks = [(name, block) for name in NAMES for block in _blocks(name) if block.language in NODE_LANGUAGES]
    shown = [(name, block) for name, block in blocks if not block.not_run]
    assert shown
    need_node_packages(system.folder, *NODE_PACKAGES)
    for name, block in shown:
        (system.folder / "example.mjs").write_text(block.text, encoding="utf-8")
        run = system.start(["node", "example.mjs"])
        assert run.returncode == 0, f"{name}:{block.line}: {run.stdout}"


def _with_schemas(url: str) -> str:
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        for application in APPLICATIONS:
            connection.execute(f"CREATE SCHEMA {application.name}".encode())
    return plain


def _run(block: Block, system: System, place: str) -> None:
    if block.file:
        path = system.folder / block.file
        if not path.exists():
            path.write_text(block.text, encoding="utf-8")
        assert path.read_text(encoding="utf-8") == block.text, f"{place}: {block.file} is another"
    elif block.language == "python":
        run = system.start([sys.executable, "-c", block.text])
        assert run.returncode == 0, f"{place}: {run.stdout}"
    elif block.language == "sh":
        run = system.run(block.text)
        assert run.returncode == 0, f"{place}: {run.stdout}"
    elif block.language == "console":
        for command, expected in _commands(block.text):
            _run_command(command, expected, system, place)
    else:
        _parse(block)


def _run_command(command: str, expected: str, system: System, place: str) -> None:
    program = next(word for word in shlex.split(command) if "=" not in word)
    if program in PACKAGES:
        need_programs(program)
    run = system.run(command)
    assert run.returncode == 0, f"{place}: {command}{run.stdout}"
    printed = "".join(f"{line.rstrip()}\n" for line in LOGGED.sub("", run.stdout).strip().splitlines())
    assert re.fullmatch(_pattern(expected), printed), f"{place}: $ {command}{printed}\nand not\n{expected}"


def _parse(block: Block) -> None:
    if block.language == "json":
        json.loads(block.text)
    elif block.language == "toml":
        tomllib.loads(block.text)


def test_bus_run_prints_what_the_readme_shows(tmp_path: Path) -> None:
    """Of `make run`, the part that is ours: what it installs before is shown, not run.

    This environment is the `.venv` of the folder, and is not active there.
    """
    shown = next(block.text for block in _blocks("README.md") if block.text.startswith("$ make run\n"))
    banner = shown.partition("\n\n")[2]
    console_port, *ports = free_ports(1 + len(APPLICATIONS))
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("BUS_", "AUTH_", "CATALOG_"))
    }
    environment["CONSOLE_PORT"] = str(console_port)
    environment |= {f"{each.name.upper()}_PORT": str(port) for each, port in zip(APPLICATIONS, ports, strict=True)}
    (tmp_path / ".venv").symlink_to(sys.prefix)
    output = tmp_path / "output"
    with output.open("wb") as stream:
        run = subprocess.Popen(
            [tmp_path / ".venv" / "bin" / "python", "-m", "bus.cli", "run", "--console"],
            cwd=tmp_path,
            env=environment,
            stdout=stream,
            stderr=subprocess.DEVNULL,
        )
    try:
        wait_until(lambda: "Ctrl-C stops it." in output.read_text(), START_SECONDS, "the banner")
        printed = output.read_text()
    finally:
        run.terminate()
        run.wait(STOP_SECONDS)
    for each, port in zip(APPLICATIONS, ports, strict=True):
        printed = printed.replace(f"http://127.0.0.1:{port}", SHOWN_URLS[each.name])
    printed = re.sub(rf"http://127.0.0.1:{console_port}/\?token=[\w-]{{32}}", CONSOLE_URL, printed)
    assert printed.split() == banner.split()


# Links and names.


def test_every_link_leads_somewhere() -> None:
    for name in NAMES:
        prose = re.sub(r"^```.*?^```", "", _words(name), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", prose):
            if not target.startswith(("https://", "http://")):
                _check_link(name, target)


def test_the_index_names_every_document() -> None:
    index = _words("docs/README.md")
    documents = [name.removeprefix("docs/") for name in NAMES if name.startswith("docs/") and name != "docs/README.md"]
    assert "configuration.md" in documents
    assert [name for name in documents if f"]({name})" not in index] == []


def _check_link(name: str, target: str) -> None:
    file, _, anchor = unquote(target).partition("#")
    path = (ROOT / name).parent / file if file else ROOT / name
    assert path.exists(), f"{name} links to {target}, which is not there"
    if anchor:
        headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        assert anchor in map(_anchor, headings), f"{name} links to {target}, which has no such heading"


def _anchor(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_every_operation_and_every_field_is_in_the_wire_document() -> None:
    wire = _words("docs/wire.md")
    found: dict[str, type[Operation[Any]]] = operations_of(APPLICATIONS)
    for name, operation in found.items():
        assert f"`{name}`" in wire or f"`SERVICE.{name.partition('.')[2]}`" in wire, name
        for each in operation.__struct_fields__:
            assert f"`{each}`" in wire, f"{name}: {each}"
        for code in operation.refusals:
            assert f"`{code}`" in wire, code


def test_every_code_is_in_the_wire_document() -> None:
    codes = {code for path in ROOT.glob("bus/**/*.py") for code in _codes(path)}
    codes |= {code for path in ROOT.glob("auth/**/*.py") for code in _codes(path)}
    assert {"malformed-json", "wrong-type", "database-away", "weak-password", "internal-error", "queue-full"} <= codes
    wire = _words("docs/wire.md")
    assert [code for code in sorted(codes) if f"`{code}`" not in wire] == []


def _codes(path: Path) -> Iterator[str]:
    """Every text in a call or a table that looks like a code: words joined by hyphens, or a code's place."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        made = node.func if isinstance(node, ast.Call) else None
        name = made.attr if isinstance(made, ast.Attribute) else getattr(made, "id", "")
        if isinstance(node, ast.Call) and (name in ("Invalid", "Unavailable", "RuleViolation", "FieldError", "of")):
            yield from _texts(node.args)
        elif isinstance(node, ast.Dict):
            yield from (code for value in node.values if isinstance(value, ast.Tuple) for code in _texts(value.elts))


def _texts(nodes: list[ast.expr]) -> Iterator[str]:
    texts = (node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return (text for text in texts if re.fullmatch(r"[a-z]+(-[a-z0-9]+)+", text))


def test_every_setting_is_in_the_configuration_document() -> None:
    asked: set[str] = set()

    class Environment(dict[str, str]):
        def get(self, name: str, default: Any = None) -> Any:
            asked.add(name)
            return super().get(name, default)

    read_settings(Environment(), *declared_by(APPLICATIONS))
    names = {name for name in asked if not name.endswith("_FILE")}
    for provisioner in (bus.testing.servers.rabbitmq.PROVISIONER, bus.testing.servers.postgres.PROVISIONER):
        names |= {provisioner.url_variable, provisioner.kind_variable, provisioner.image_variable}
    configuration = _words("docs/configuration.md")
    assert {"BUS_URL", "CATALOG_DATABASE_URL", "BUS_TEST_URL"} <= names
    assert [name for name in sorted(names) if f"`{name}`" not in configuration] == []
