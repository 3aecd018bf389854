"""What imports what: the layout's promise that imports point one way."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from commands.command_line import VERSION
from tests.conftest import ROOT, Program

# From the bottom up, in the order in which an observation travels upwards: a module imports from
# lower rows, at its top or within a function. A new module needs its row: the lowest that fits.
LAYERS = (
    "ingest ingest.errors ingest.reporting ingest.reporting.redaction ingest.reporting.text",
    "ingest.places ingest.deadline",
    "ingest.observation",
    "ingest.reporting.logs ingest.reporting.summary",
    "ingest.reporting.observer ingest.destination ingest.aws ingest.aws.errors",
    "ingest.reporting.rejections ingest.reporting.progress ingest.aws.session",
    "ingest.clients",
    "ingest.destinations",
    "ingest.settings.converters ingest.settings.env_file",
    "ingest.settings.fields",
    "ingest.settings.secret",
    "ingest.settings.sources",
    "ingest.settings",
    "timestream_writer",
    "ingest.openweathermap ingest.openweathermap.retry ingest.openweathermap.rate_limit",
    "ingest.openweathermap.api_key ingest.openweathermap.curl ingest.openweathermap.reply",
    "ingest.openweathermap.fetch_loop",
    "ingest.openweathermap.client ingest.reporting.healthcheck",
    "ingest.journal ingest.journal.damage",
    "ingest.journal.schema",
    "ingest.journal.rows ingest.journal.run_lock ingest.journal.polling ingest.journal.said",
    "ingest.journal.queue ingest.journal.history ingest.journal.rejected",
    "ingest.journal.fallback",
    "ingest.delivery",
    "ingest.pipeline",
    "ingest.run",
)

MOST_LINES = 300
MOST_LINES_OF_A_FUNCTION = 40


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


TOP = sorted(ROOT.glob("*.py"))
INGEST = sorted((ROOT / "ingest").rglob("*.py"))
COMMANDS = sorted((ROOT / "commands").rglob("*.py"))
EMBEDDED = sorted((ROOT / "embedded").glob("*.py"))
PRODUCTION = {module_of(path): path for path in (*TOP, *INGEST, *COMMANDS)}
LAYER = {name: number for number, row in enumerate(LAYERS) for name in row.split()}


def imports(path: Path) -> set[str]:
    """Full names of all modules that the file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno} is a relative import"
            base = node.module or ""
            below = {f"{base}.{name.name}" for name in node.names} & PRODUCTION.keys()
            found |= below or {base}
    return found


def tops(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(path)}


def layer(module: str) -> int:
    """Commands stand above the package, and the entry point and `secrets` above those."""
    if module in LAYER:
        return LAYER[module]
    return len(LAYERS) + (module in ("ingest_weather", "secrets"))


def may_import(name: str, other: str) -> bool:
    """Lower ones only. Commands are held apart by the test of circles."""
    if name.startswith("commands") and other.startswith("commands"):
        return True
    return layer(other) < layer(name)


def test_each_module_of_the_package_has_its_row() -> None:
    inside = {module_of(path) for path in INGEST} | {"timestream_writer"}
    assert inside ^ LAYER.keys() == set()


def test_imports_point_downwards() -> None:
    wrong = [
        f"{name} imports {other}"
        for name, path in PRODUCTION.items()
        for other in (imports(path) & PRODUCTION.keys()) - {name}
        if not may_import(name, other)
    ]
    assert wrong == []


def test_no_imports_go_round_in_a_circle() -> None:
    """Those within functions count, too."""
    left = {name: imports(path) & PRODUCTION.keys() for name, path in PRODUCTION.items()}
    while free := [name for name, needs in left.items() if not needs & left.keys() - {name}]:
        for name in free:
            del left[name]
    assert left == {}


def test_files_and_functions_stay_small() -> None:
    too_long = []
    for name, path in PRODUCTION.items():
        text = path.read_text(encoding="utf-8")
        if (lines := len(text.splitlines())) > MOST_LINES:
            too_long.append(f"{name}: {lines} lines")
        too_long += [
            f"{name}.{node.name}: {node.end_lineno - node.lineno + 1} lines"
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef)
            and node.end_lineno
            and node.end_lineno - node.lineno >= MOST_LINES_OF_A_FUNCTION
        ]
    assert too_long == []


def test_at_the_top_stand_only_the_names_that_users_were_promised() -> None:
    assert {path.name for path in TOP} == {
        "ingest_weather.py",
        "secrets.py",
        "timestream_writer.py",
    }


def test_nothing_promises_a_package_that_pip_could_install() -> None:
    """The program is started from its folder."""
    tables = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(tables) == {"tool"}
    assert not [name for name in ("setup.py", "setup.cfg") if (ROOT / name).exists()]


def test_the_version_is_a_number_in_one_file() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)
    named = [path for path in PRODUCTION.values() if f'"{VERSION}"' in path.read_text("utf-8")]
    assert named == [ROOT / "commands" / "command_line.py"]


def test_the_oldest_python_is_the_same_for_the_set_up_and_for_the_checks() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    oldest = tools["mypy"]["python_version"]
    assert tools["ruff"]["target-version"] == f"py{oldest.replace('.', '')}"
    for name in ("Makefile", "README.md"):
        assert f"Python {oldest} or newer" in (ROOT / name).read_text(encoding="utf-8")
    assert f"sys.version_info < ({oldest.replace('.', ', ')})" in (ROOT / "Makefile").read_text()


TIMESTREAM_WORDS = (
    "VARCHAR",
    "DOUBLE",
    "WriteRecords",
    "write_records",
    "RejectedRecords",
    "MeasureValue",
    "us-east-1",
    "LiveAnalytics",
)


def test_only_the_writer_knows_what_is_timestreams_own() -> None:
    told = [
        f"{module_of(path)}: {word}"
        for path in INGEST
        for word in TIMESTREAM_WORDS
        if word in path.read_text(encoding="utf-8")
        and module_of(path) != "ingest.aws.errors"  # the table of all services' error codes
    ]
    assert told == []


def test_only_the_demo_imports_the_embedded_services() -> None:
    users = {name for name, path in PRODUCTION.items() if "embedded" in tops(path)}
    assert users == {"commands.demo"}


def test_only_those_that_speak_http_import_pycurl_and_one_of_them_makes_handles() -> None:
    users = {name for name, path in PRODUCTION.items() if "pycurl" in imports(path)}
    assert users == {
        "ingest.openweathermap.curl",
        "ingest.openweathermap.client",
        "ingest.openweathermap.fetch_loop",
        "ingest.reporting.healthcheck",
    }
    makers = {name for name, path in PRODUCTION.items() if "pycurl.Curl()" in path.read_text()}
    assert makers == {"ingest.openweathermap.curl"}


def test_nobody_imports_the_loader_from_secrets() -> None:
    assert [name for name, path in PRODUCTION.items() if "secrets" in imports(path)] == []


def test_the_embedded_services_know_nothing_of_the_program() -> None:
    """A mistake of the program must not be repeated by what it is tested against."""
    ours = {"ingest", "commands", "timestream_writer", "ingest_weather", "tests"}
    assert [path.name for path in EMBEDDED if tops(path) & ours] == []


HEAVY = ("moto", "rich", "werkzeug", "flask", "requests", "hypothesis", "pytest", "matplotlib")
NOT_AT_IMPORT = (*HEAVY, "boto3", "botocore", "dotenv", "pycurl", "sqlite3", "ingest.settings")


def modules_after(code: str, env: dict[str, str] | None = None, cwd: str = str(ROOT)) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sorted(sys.modules))"],
        env=env or {},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_importing_the_program_imports_nothing_heavy() -> None:
    assert modules_after("import ingest_weather") & set(NOT_AT_IMPORT) == set()


def test_reading_settings_needs_neither_boto3_nor_dotenv() -> None:
    seen = modules_after(
        "from ingest.settings import fields, load_settings\n"
        "fields.HOME = fields.Path('/nowhere')\nload_settings()",
        {"WEATHER_SECRET_ID": "", "OPENWEATHERMAP_API_KEY": "not-a-real-key"},
    )
    assert not seen & {*HEAVY, "boto3", "botocore", "dotenv", "pycurl"}


def test_a_whole_run_imports_only_what_it_needs(program: Program) -> None:
    seen = modules_after(
        "import ingest_weather\nassert ingest_weather.main([]) == 0", program.env()
    )
    assert {"boto3", "pycurl"} <= seen
    assert seen & {*HEAVY, "embedded", "commands.show", "difflib", "dotenv"} == set()


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, ingest_weather\n"
        "try:\n    ingest_weather.main(['--help'])\n"
        "except SystemExit as end:\n    assert not end.code"
    )
    assert not modules_after(code) & {*HEAVY, "boto3", "botocore", "dotenv", "pycurl"}
