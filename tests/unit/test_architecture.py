"""What imports what: the layout's promise that imports point one way."""

import ast
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT, Program

# From the bottom up; a module imports from lower rows, at its top or within a function. A new
# module needs its row here: choose the lowest that fits.
LAYERS = (
    "ingest ingest.errors",
    "ingest.deadline ingest.observation",
    "ingest.reporting ingest.reporting.logs",
    "ingest.reporting.summary ingest.places",
    "ingest.aws ingest.aws.session ingest.openweathermap.curl",
    "ingest.openweathermap ingest.openweathermap.rate_limit ingest.openweathermap.client",
    "ingest.journal ingest.journal.queue ingest.journal.run_lock ingest.journal.fallback",
    "ingest.settings ingest.settings.sources timestream_writer ingest.reporting.healthcheck",
    "ingest.delivery ingest.reporting.progress commands commands.command_line",
    "ingest.pipeline",
)


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
    """Commands stand above all but the entry point; secrets is imported by nobody of ours."""
    if module in LAYER:
        return LAYER[module]
    return len(LAYERS) + (2 if module == "ingest_weather" else 1)


def test_imports_point_downwards() -> None:
    wrong = [
        f"{name} imports {other}"
        for name, path in PRODUCTION.items()
        for other in imports(path) & PRODUCTION.keys() - {name}
        if not (name.startswith("commands.") and other.startswith("commands"))
        and layer(other) > layer(name)
    ]
    assert wrong == []


def test_only_the_demo_imports_the_embedded_services() -> None:
    users = {name for name, path in PRODUCTION.items() if "embedded" in tops(path)}
    assert users == {"commands.demo"}


def test_only_those_that_speak_http_import_pycurl_and_one_of_them_makes_handles() -> None:
    users = {name for name, path in PRODUCTION.items() if "pycurl" in imports(path)}
    assert users == {
        "ingest.openweathermap.curl",
        "ingest.openweathermap.client",
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
        "from ingest.settings import sources\n"
        "sources.HOME = sources.Path('/nowhere')\nsources.load_settings()",
        {"WEATHER_SECRET_ID": "", "OPENWEATHERMAP_API_KEY": "not-a-real-key"},
    )
    assert not seen & {*HEAVY, "boto3", "botocore", "dotenv", "pycurl"}


def test_a_whole_run_imports_only_what_it_needs(program: Program) -> None:
    seen = modules_after(
        "import ingest_weather\nassert ingest_weather.main([]) == 0", program.env()
    )
    assert {"boto3", "pycurl"} <= seen
    assert seen & {*HEAVY, "embedded", "commands.tables", "difflib", "dotenv"} == set()


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, ingest_weather\n"
        "try:\n    ingest_weather.main(['--help'])\n"
        "except SystemExit as end:\n    assert not end.code"
    )
    assert not modules_after(code) & {*HEAVY, "boto3", "botocore", "dotenv", "pycurl"}
