"""What imports what: the layout's promise that imports point one way."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Program

# From the bottom up; a module imports from lower rows, at its top or within a function. A new
# module needs its row here: choose the lowest that fits.
LAYERS = (
    {"errors"},
    {"weather", "deadline", "logs"},
    {"summary"},
    {"aws", "curl_handle", "journal", "places", "rate"},
    {"settings", "openweathermap", "timestream_writer", "run_lock", "store", "healthcheck"},
    {"delivery", "progress", "command_line"},
    {"stream"},
    {"commands"},
    {"ingest_weather"},
)
# Offers what settings.py has under the name that deployments expect; nothing of ours imports it.
APART = {"secrets"}

PRODUCTION = {path.stem: path for path in ROOT.glob("*.py")}
COMMANDS = sorted((ROOT / "commands").glob("*.py"))
EMBEDDED = sorted((ROOT / "embedded").glob("*.py"))
OURS = {*PRODUCTION, "commands", "embedded", "tests", "benchmarks"}


def imports(path: Path) -> set[str]:
    """Top-level names of all that the file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}:{node.lineno} is a relative import"
            found.add((node.module or "").partition(".")[0])
    return found


def layer(module: str) -> int:
    for number, row in enumerate(LAYERS):
        if module in row:
            return number
    raise AssertionError(f"{module} has no row in LAYERS")


def name_of(path: Path) -> str:
    return "commands" if path.parent.name == "commands" else path.stem


@pytest.mark.parametrize(
    "path",
    [*(path for name, path in PRODUCTION.items() if name not in APART), *COMMANDS],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_imports_point_one_way(path: Path) -> None:
    here = name_of(path)
    for module in imports(path) & OURS - {here}:
        if module == "embedded":
            assert path.name == "demo.py", f"{path.name} imports {module}"
        else:
            assert layer(module) < layer(here), f"{path.name} imports {module}"


def test_only_those_that_speak_http_import_pycurl_and_one_of_them_makes_handles() -> None:
    files = [*PRODUCTION.values(), *COMMANDS]
    names = {path.name for path in files if "pycurl" in imports(path)}
    assert names == {"curl_handle.py", "healthcheck.py", "openweathermap.py"}
    makers = {path.name for path in files if "pycurl.Curl()" in path.read_text(encoding="utf-8")}
    assert makers == {"curl_handle.py"}


def test_the_table_of_measures_and_the_errors_stand_alone() -> None:
    assert imports(ROOT / "errors.py") & OURS == set()
    assert imports(ROOT / "weather.py") & OURS == {"errors"}
    outside = {"socket", "sqlite3", "subprocess", "time", "os", "io", "boto3", "botocore"}
    assert not imports(ROOT / "weather.py") & outside


def test_secrets_takes_nothing_but_settings() -> None:
    assert imports(ROOT / "secrets.py") & OURS == {"settings"}


@pytest.mark.parametrize("path", [*PRODUCTION.values(), *COMMANDS], ids=lambda path: path.name)
def test_the_loader_is_imported_from_settings(path: Path) -> None:
    assert "secrets" not in imports(path)


@pytest.mark.parametrize("path", EMBEDDED, ids=lambda path: path.name)
def test_the_embedded_services_know_nothing_of_the_program(path: Path) -> None:
    """A mistake of the program must not be repeated by what it is tested against."""
    assert not imports(path) & (OURS - {"embedded"})


HEAVY = ("moto", "rich", "werkzeug", "flask", "requests", "hypothesis", "pytest", "matplotlib")
NOT_AT_IMPORT = (*HEAVY, "boto3", "botocore", "dotenv", "pycurl", "sqlite3", "settings")


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
        "import settings\nsettings.HOME = settings.Path('/nowhere')\nsettings.load_settings()",
        {"WEATHER_SECRET_ID": "", "OPENWEATHERMAP_API_KEY": "not-a-real-key"},
    )
    assert not seen & {*HEAVY, "boto3", "botocore", "dotenv", "pycurl"}


def test_a_whole_run_imports_only_what_it_needs(program: Program) -> None:
    seen = modules_after(
        "import ingest_weather\nassert ingest_weather.main([]) == 0", program.env()
    )
    assert {"boto3", "pycurl"} <= seen
    assert seen & {*HEAVY, "embedded", "commands", "difflib", "dotenv"} == set()


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys, ingest_weather\n"
        "try:\n    ingest_weather.main(['--help'])\n"
        "except SystemExit as end:\n    assert not end.code"
    )
    assert not modules_after(code) & {*HEAVY, "boto3", "botocore", "dotenv", "pycurl"}
