"""secrets.py is our settings' name and the standard library's module, however a program starts."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import ROOT, Program

KEY = "a-key-for-every-way-to-start"
SETTINGS = {"WEATHER_SECRET_ID": "", "OPENWEATHERMAP_API_KEY": KEY}
PYTHON = sys.executable

# What each start has to do; it prints what it saw as one line of JSON. boto3 is imported as well:
# it needs the standard module itself.
PROBE = """
import json
import secrets
from pathlib import Path

from ingest import settings
import ingest_weather
import boto3
import multiprocessing.managers

root = Path(ingest_weather.__file__).resolve().parent
ours = Path(secrets.__file__).resolve() == root / "secrets.py"
seen = {
    "ours": ours,
    "key": settings.load_settings().api_key,
    "token": len(secrets.token_hex(16)),
    "choice": secrets.choice(["only"]),
    "equal": secrets.compare_digest(b"same", b"same"),
    "boto3": boto3.session.Session is not None,
}
if ours:
    from secrets import load_settings

    seen["key by name"] = load_settings().api_key
    assert load_settings is settings.load_settings


def report():
    print(json.dumps(seen))
"""

# The order of the Lambda runtime: its own modules and boto3, then the handler from the task root.
LAMBDA = """
import importlib
import sys

import boto3

sys.path.{how}
importlib.import_module("probe").report()
"""

PYTEST_PROBE = """
import probe


def test_probe():
    assert probe.seen["token"] == 32
    probe.report()
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program's modules and pytest settings, with a probe next to them."""
    folder = tmp_path_factory.mktemp("app")
    for source in [*ROOT.glob("*.py"), ROOT / "pyproject.toml"]:
        shutil.copy(source, folder)
    for package in ("ingest", "commands"):
        shutil.copytree(ROOT / package, folder / package)
    (folder / "probe.py").write_text(PROBE)
    (folder / "started.py").write_text("import probe\n\nprobe.report()\n")
    (folder / "tests").mkdir()
    (folder / "tests" / "test_probe.py").write_text(PYTEST_PROBE)
    runtime = folder.with_name("runtime")
    runtime.mkdir()
    root = str(folder)
    (runtime / "append.py").write_text(LAMBDA.format(how=f"append({root!r})"))
    (runtime / "prepend.py").write_text(LAMBDA.format(how=f"insert(0, {root!r})"))
    (runtime / "sitecustomize.py").write_text("import secrets\n")
    return folder


PYTEST = [PYTHON, "-m", "pytest", "-s", "-q"]
PYTEST_SCRIPT = [str(Path(PYTHON).with_name("pytest")), "-s", "-q"]

# How it is started, the folder it is started from, and whose `secrets` is imported: ours, the
# standard one, or (None) whichever the runner's plugins leave.
WAYS: dict[str, tuple[list[str], str, bool | None]] = {
    "script from its own folder": ([PYTHON, "started.py"], "{app}", True),
    "script from /": ([PYTHON, "{app}/started.py"], "/", True),
    "script by a relative path": ([PYTHON, "../app0/started.py"], "{runtime}", True),
    "python -m": ([PYTHON, "-m", "started"], "{app}", True),
    "python -c": ([PYTHON, "-c", "import probe; probe.report()"], "{app}", True),
    "python -c from /": (
        [PYTHON, "-c", "import sys; sys.path.insert(0, {app!r}); import started"],
        "/",
        True,
    ),
    "python -O": ([PYTHON, "-OO", "{app}/started.py"], "/", True),
    "python -P with a path": (
        [PYTHON, "-P", "-c", "import sys; sys.path.append({app!r}); import started"],
        "/",
        False,
    ),
    "python -m pytest": (PYTEST, "{app}", None),
    "python -m pytest with a file": ([*PYTEST, "tests/test_probe.py"], "{app}", None),
    "pytest": (PYTEST_SCRIPT, "{app}", None),
    "pytest from / with a path": ([*PYTEST_SCRIPT, "{app}/tests"], "/", None),
    "python -m pytest from / with a path": (
        [*PYTEST, "{app}/tests/test_probe.py"],
        "/",
        None,
    ),
    "pytest from the tests' folder": (PYTEST_SCRIPT, "{app}/tests", None),
    "pytest without its cache": ([*PYTEST_SCRIPT, "-p", "no:cacheprovider"], "{app}", None),
    "pytest with importlib": ([*PYTEST_SCRIPT, "--import-mode=importlib"], "{app}", None),
    "pytest with append": ([*PYTEST_SCRIPT, "--import-mode=append"], "{app}", None),
    "Lambda, its task root first": ([PYTHON, "{runtime}/prepend.py"], "/", False),
    "Lambda, its task root last": ([PYTHON, "{runtime}/append.py"], "/", False),
}


def start(app: Path, way: str, **environment: str) -> dict[str, object]:
    """What the probe saw, started by `env -i`: with an empty environment but for its settings."""
    command, folder, _ = WAYS[way]
    runtime = app.with_name("runtime")

    def fill(text: str) -> str:
        filled = text.replace("{app!r}", repr(str(app))).replace("{app}", str(app))
        return filled.replace("{runtime}", str(runtime)).replace("app0", app.name)

    assignments = [f"{name}={value}" for name, value in {**SETTINGS, **environment}.items()]
    done = subprocess.run(
        ["env", "-i", *assignments, *map(fill, command)],
        cwd=fill(folder),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    seen: dict[str, object] = json.loads(lines[0])
    return seen


def check(seen: dict[str, object]) -> None:
    ours = seen.pop("ours")
    if ours:
        assert seen.pop("key by name") == KEY
    assert seen == {"key": KEY, "token": 32, "choice": "only", "equal": True, "boto3": True}


@pytest.mark.parametrize("way", WAYS)
def test_settings_are_loaded_and_the_standard_module_works(way: str, app: Path) -> None:
    seen = start(app, way)
    expected = WAYS[way][2]
    assert expected is None or seen["ours"] is expected
    check(seen)


@pytest.mark.parametrize("way", WAYS)
def test_both_work_if_a_sitecustomize_loaded_the_standard_module(way: str, app: Path) -> None:
    # The plugins' own imports come too late to count.
    seen = start(
        app, way, PYTHONPATH=str(app.with_name("runtime")), PYTEST_DISABLE_PLUGIN_AUTOLOAD="1"
    )
    assert seen["ours"] is False
    check(seen)


@pytest.mark.parametrize("python_path", ["", "with sitecustomize"])
@pytest.mark.parametrize("way", ["script", "-m", "import"])
def test_the_program_itself_runs_to_the_end(
    way: str, python_path: str, program: Program, app: Path
) -> None:
    run_it = "import ingest_weather; ingest_weather.leave(ingest_weather.main([]))"
    command, folder = {
        "script": ([str(ROOT / "ingest_weather.py")], "/"),
        "-m": (["-m", "ingest_weather"], str(ROOT)),
        "import": (["-c", run_it], str(ROOT)),
    }[way]
    extra = {"PYTHONPATH": str(app.with_name("runtime"))} if python_path else {}
    done = subprocess.run(
        [PYTHON, *command],
        env=program.env(extra),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def ours() -> Iterator[ModuleType]:
    """Our module, whatever `secrets` the test run itself has."""
    return load("secrets", ROOT / "secrets.py")


def test_every_name_of_the_standard_module_is_there(ours: ModuleType) -> None:
    standard = load("standard_secrets", Path(os.__file__).with_name("secrets.py"))
    assert ours.__all__ == standard.__all__
    for name in standard.__all__:
        assert callable(getattr(ours, name))
    assert vars(standard).keys() <= vars(ours).keys()


def test_the_standard_names_work(ours: ModuleType) -> None:
    assert len(ours.token_bytes(7)) == 7
    assert len(ours.token_hex()) == 2 * ours.DEFAULT_ENTROPY
    assert ours.token_urlsafe(16).isascii()
    assert ours.randbelow(1) == 0
    assert 0 <= ours.randbits(3) < 8
    assert ours.choice([5]) == 5
    assert ours.compare_digest("a", "a")
    assert not ours.compare_digest("a", "b")
    assert ours.SystemRandom().random() < 1


def test_names_of_settings_are_looked_up_on_demand(ours: ModuleType) -> None:
    from ingest import settings

    assert ours.load_settings is settings.load_settings
    assert ours.Settings is settings.Settings
    assert "load_settings" not in vars(ours)


@pytest.mark.parametrize("name", ["token_hexx", "__path__", "__wrapped__", "nothing_of_the_kind"])
def test_an_unknown_name_is_an_attribute_error_of_secrets(ours: ModuleType, name: str) -> None:
    with pytest.raises(AttributeError, match=rf"^module 'secrets' has no attribute '{name}'$"):
        getattr(ours, name)
    assert not hasattr(ours, name)


def test_an_unknown_name_cannot_be_imported(app: Path) -> None:
    code = "from secrets import load_setings"
    done = subprocess.run(
        [PYTHON, "-c", code], cwd=app, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "ImportError: cannot import name 'load_setings' from 'secrets'" in done.stderr


def test_the_standard_module_alone_is_loaded_if_nothing_else_is_asked_for(app: Path) -> None:
    """boto3 imports this module while settings may be half imported."""
    code = "import secrets, sys; secrets.token_hex(); print('ingest.settings' in sys.modules)"
    done = subprocess.run(
        [PYTHON, "-c", code], cwd=app, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "False\n"


def test_a_python_without_its_standard_module_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "__file__", "/nowhere/os.py")
    with pytest.raises(ImportError, match=r"was not found next to os\.py"):
        load("secrets", ROOT / "secrets.py")
