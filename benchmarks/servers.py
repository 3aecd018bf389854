"""Two nginx servers on loopback: Current Weather for any place, and what of AWS a run asks.

They do nothing but answer, so that what is measured is the program and not them. A delay is beyond
nginx without modules of others: `delayed_server.py` stands in for both where one is wanted.
"""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from benchmarks.common import API_KEY, ROOT, BenchmarkError

# Debian's package of each command.
PACKAGES = {"nginx": "nginx-light", "curl": "curl"}

# Where nginx stands is not on everybody's PATH.
PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))

WEATHER = (
    '{"coord":{"lon":-0.1257,"lat":51.5085},"weather":[{"id":803,"main":"Clouds",'
    '"description":"broken clouds","icon":"04d"}],"base":"stations","main":{"temp":11.43,'
    '"feels_like":10.82,"temp_min":10.56,"temp_max":12.22,"pressure":1016,"humidity":93,'
    '"sea_level":1016,"grnd_level":1012},"visibility":10000,"wind":{"speed":3.6,"deg":210},'
    '"clouds":{"all":75},"dt":$dt,"sys":{"type":2,"id":2019646,"country":"GB",'
    '"sunrise":1604820000,"sunset":1604853600},"timezone":0,"id":$arg_id,'
    '"name":"Station $arg_id","cod":200}'
)
# By X-Amz-Target; $address is the server's own.
AWS = {
    "Timestream_20181101.WriteRecords": (
        '{"RecordsIngested":{"MagneticStore":0,"MemoryStore":100,"Total":100}}'
    ),
    "Timestream_20181101.DescribeEndpoints": (
        '{"Endpoints":[{"Address":"$address","CachePeriodInMinutes":1440}]}'
    ),
    "secretsmanager.GetSecretValue": (
        f'{{"Name":"weather-ingest","SecretString":"{{\\"OPENWEATHERMAP_API_KEY\\":'
        f'\\"{API_KEY}\\"}}"}}'
    ),
}

_CONFIG = """
daemon off;
master_process off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    client_body_buffer_size 1m;
    client_max_body_size 8m;
    {maps}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        {server}
    }}
}}
"""


class Addresses(NamedTuple):
    """Where the two servers are. The weather's path begins with the `dt` that it is to have."""

    weather: str
    aws: str

    def environment(self, dt: int) -> dict[str, str]:
        """What brings the program to them, and to weather observed at dt, epoch seconds."""
        return {
            "OPENWEATHERMAP_URL": f"{self.weather}/{dt}/data/2.5/weather",
            "OPENWEATHERMAP_API_KEY": API_KEY,
            "OPENWEATHERMAP_CALLS_PER_MINUTE": "1000000",
            "WEATHER_SECRET_ID": "",
            "WEATHER_DEADLINE_SECONDS": "3600",
            "AWS_ENDPOINT_URL": self.aws,
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
        }


def need(*commands: str) -> None:
    """See that these are installed: root has them from apt, others are told how."""
    missing = [PACKAGES[each] for each in commands if not shutil.which(each, path=PATH)]
    if not missing:
        return
    install = f"apt-get install {' '.join(missing)}"
    apt = shutil.which("apt-get", path=PATH)
    if not apt or os.geteuid() != 0:
        raise BenchmarkError(f"{' and '.join(missing)} must be installed. As root: {install}")
    print(install, file=sys.stderr)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        for words in (["update", "-q"], ["install", "-qy", "--no-install-recommends", *missing]):
            subprocess.run([apt, *words], env=environment, stdout=sys.stderr, check=True)
    except subprocess.CalledProcessError as error:
        raise BenchmarkError(f"It failed. As root: apt-get update; {install}") from error


def command(name: str) -> str:
    """Its full path, once `need` has seen to it."""
    found = shutil.which(name, path=PATH)
    assert found  # noqa: S101  (`need` saw it)
    return found


@contextmanager
def nginx_servers() -> Iterator[Addresses]:
    """Both servers, until the end of the block."""
    weather = f"location ~ ^/(?<dt>[0-9]+)/ {{ default_type application/json; {_return(WEATHER)} }}"
    with _nginx("", weather) as weather_address, _aws_server() as aws_address:
        yield Addresses(weather_address, aws_address)


def _aws_server() -> AbstractContextManager[str]:
    answers = "".join(f"{target} {_quoted(body)};\n" for target, body in AWS.items())
    maps = f"map $http_x_amz_target $answer {{ default '';\n{answers} }}"
    kind = "application/x-amz-json-1.0"
    server = f"""
        location / {{
            set $address http://$http_host;
            default_type {kind};
            if ($answer = '') {{ return 404; }}
            return 200 $answer;
        }}"""
    return _nginx(maps, server)


def _return(body: str) -> str:
    return f"return 200 {_quoted(body)};"


def _quoted(body: str) -> str:
    escaped = body.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


@contextmanager
def _ended(process: "subprocess.Popen[bytes]") -> Iterator["subprocess.Popen[bytes]"]:
    """The process, ended with the block."""
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@contextmanager
def _nginx(maps: str, server: str) -> Iterator[str]:
    """One nginx with this inside its `server`; its address."""
    with tempfile.TemporaryDirectory() as folder:
        port, file = free_port(), Path(folder, "nginx.conf")
        file.write_text(
            _CONFIG.format(folder=folder, port=port, maps=maps, server=server), encoding="utf-8"
        )
        story = Path(folder, "error.log")
        started = [command("nginx"), "-p", folder, "-e", str(story), "-c", str(file)]
        with _ended(subprocess.Popen(started, stdin=subprocess.DEVNULL)) as process:
            wait_for(port, process, story)
            yield f"http://127.0.0.1:{port}"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def wait_for(port: int, process: "subprocess.Popen[bytes]", story: Path) -> None:
    """Until somebody listens there. story: the file that says why not."""
    give_up_at = time.monotonic() + 10
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if process.poll() is not None or time.monotonic() > give_up_at:
            said = story.read_text(encoding="utf-8", errors="replace") if story.exists() else ""
            raise BenchmarkError(f"The server did not start. {said}")
        time.sleep(0.01)


@contextmanager
def delayed_servers(delay_ms: int) -> Iterator[Addresses]:
    """Both in one process of asyncio that answers each request after a delay."""
    with tempfile.TemporaryDirectory() as folder:
        port, story = free_port(), Path(folder, "said")
        server = ROOT / "benchmarks" / "delayed_server.py"
        started = [sys.executable, str(server), str(port), str(delay_ms)]
        with story.open("wb") as said:
            process = subprocess.Popen(started, stdin=subprocess.DEVNULL, stderr=said)
        with _ended(process):
            wait_for(port, process, story)
            yield Addresses(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{port}")
