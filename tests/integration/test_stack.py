"""The embedded stack keeps its promises: data survives, nobody is left behind, two homes do not meet."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import shutil
import signal
import socket
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import aioboto3
import asyncpg
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from jgo.maven import MavenContext

from leadstream.errors import ConfigError, FatalError, TransientError
from leadstream.settings import STACK_FILE_NAME
from leadstream.stack import jars, supervisor
from leadstream.stack.home import read_stack_record
from leadstream.stack.ports import choose_ports
from leadstream.stack.process import Command, GuardedProcess
from leadstream.stack.supervisor import Stack

PARTS = ("kafka", "registry", "postgres", "s3")
VANISH_TIMEOUT_SECONDS = 20
SCHEMA = json.dumps({"type": "record", "name": "Probe", "fields": [{"name": "id", "type": "string"}]})
OTHER_SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from leadstream.stack.supervisor import Stack

async def main():
    stack = Stack(Path(sys.argv[1]))
    await stack.start()
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def other_home() -> Iterator[Path]:
    """A second home."""
    folder = Path(tempfile.mkdtemp(prefix="leadstream-"))
    folder.chmod(0o711)
    yield folder / "home"
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
async def killed_home(other_home: Path) -> AsyncIterator[tuple[Path, dict[str, str], list[int]]]:
    """The second home after its supervisor, a process of its own, was killed; with its addresses and pids."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", OTHER_SUPERVISOR, str(other_home), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    record = read_stack_record(other_home)
    assert record is not None
    assert record.alive
    await write_data(record.environment)
    pids = [part["pid"] for part in record.parts.values()]
    guards = [psutil.Process(pid).ppid() for pid in pids]
    process.kill()
    await process.wait()
    yield other_home, record.environment, pids + guards


async def test_every_part_is_ready_and_has_an_address(stack: Stack) -> None:
    """After start, the four parts run and the environment names an address for each."""
    assert {name: stack.parts[name].state for name in PARTS} == dict.fromkeys(PARTS, "ready")
    assert stack.environment["SCHEMA_REGISTRY_URL"].endswith("/apis/ccompat/v7")


async def test_a_home_tells_others_where_its_stack_is_and_keeps_its_secrets_private(stack: Stack) -> None:
    """``stack.json`` has the environment and the pids, and only its owner may read it or the passwords."""
    record = read_stack_record(stack.home)
    assert record is not None
    assert (record.pid, record.alive, record.environment) == (os.getpid(), True, stack.environment)
    assert {name: record.parts[name]["pid"] for name in PARTS} == {name: stack.parts[name].pid for name in PARTS}
    for name in (STACK_FILE_NAME, "secrets.json"):
        assert stat.S_IMODE((stack.home / name).stat().st_mode) == 0o600


async def test_a_second_supervisor_on_the_same_home_is_refused(stack: Stack) -> None:
    """The refusal says who is up; the running stack and its record are not touched."""
    with pytest.raises(ConfigError, match=f"already up in .*pid {os.getpid()}"):
        await Stack(stack.home).start()
    record = read_stack_record(stack.home)
    assert record is not None
    assert record.alive


async def test_a_killed_supervisor_leaves_no_process_behind(
    killed_home: tuple[Path, dict[str, str], list[int]],
) -> None:
    """SIGKILL of the supervisor ends every part and every guard, and the record no longer counts as alive."""
    home, _, pids = killed_home
    await until(lambda: not any(psutil.pid_exists(pid) for pid in pids))
    record = read_stack_record(home)
    assert record is not None
    assert not record.alive


async def test_data_survives_a_kill_and_a_restart_and_two_homes_do_not_meet(
    stack: Stack, killed_home: tuple[Path, dict[str, str], list[int]]
) -> None:
    """A message, a schema, a row and an object are there after a kill and after a stop, at the same addresses."""
    home, environment, _ = killed_home
    for _ in ("after the kill", "after the stop"):
        async with Stack(home) as other:
            assert other.environment == environment
            assert await read_data(environment) == (b"value", SCHEMA, "row", b"object")
            assert not set(environment.values()) & (set(stack.environment.values()) - {"landing", "us-east-1"})
            assert "probe" not in await topics(stack.environment)
        assert not (home / STACK_FILE_NAME).exists()


async def test_a_part_that_dies_is_started_again(stack: Stack) -> None:
    """A database that was killed is back at the same address a little later."""
    part = stack.parts["postgres"]
    pid = part.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await until(lambda: part.state == "ready" and part.pid not in (None, pid))
    connection = await asyncpg.connect(stack.environment["POSTGRES_DSN"])
    await connection.close()


async def test_a_part_killed_on_purpose_stays_down_until_it_is_restarted(stack: Stack) -> None:
    """`kill_part` gives a fault test a part that is away for as long as it likes."""
    await stack.kill_part("s3")
    await asyncio.sleep(4 * supervisor.WATCH_INTERVAL_SECONDS)
    assert (stack.parts["s3"].state, stack.parts["s3"].pid) == ("killed", None)
    await stack.restart_part("s3")
    assert stack.parts["s3"].state == "ready"


async def test_a_stage_that_keeps_dying_is_given_up_with_the_end_of_its_log(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage gets the stack's addresses; after its last restart the error shows what it wrote."""
    monkeypatch.setattr(supervisor, "FIRST_RESTART_DELAY_SECONDS", 0.01)
    code = "import os; raise SystemExit('no way to ' + os.environ['S3_BUCKET'])"
    await stack.add_process("doomed", [sys.executable, "-c", code])
    with pytest.raises(FatalError, match=r"doomed died 6 times(.|\n)*no way to landing"):
        await asyncio.wait_for(stack.wait_failed(), VANISH_TIMEOUT_SECONDS)


async def test_a_part_that_cannot_start_says_why(stack: Stack) -> None:
    """The error of a command that is not there carries the end of the log; nothing stays behind."""
    with pytest.raises(FatalError, match=r"could not start(.|\n)*No such file or directory"):
        await stack.add_process("missing", ["/no/such/command"])
    assert "missing" not in stack.parts


async def test_a_killed_guard_takes_its_part_with_it(tmp_path: Path) -> None:
    """Not even the death of a guard leaves a part running without supervision."""
    lock = os.open(tmp_path, os.O_RDONLY)
    process = GuardedProcess.start(Command(["sleep", "60"], tmp_path), tmp_path / "log", lock)
    os.close(lock)
    os.kill(psutil.Process(process.pid).ppid(), signal.SIGKILL)
    await process.exited()
    await until(lambda: not psutil.pid_exists(process.pid))


async def test_what_a_part_started_ends_with_it(tmp_path: Path) -> None:
    """A process that a part left running in its group is gone when the part has stopped."""
    lock = os.open(tmp_path, os.O_RDONLY)
    script = "sleep 60 & echo $! > child; wait"
    process = GuardedProcess.start(Command(["sh", "-c", script], tmp_path), tmp_path / "log", lock)
    os.close(lock)
    child = tmp_path / "child"
    await until(lambda: child.exists() and child.read_text() != "")
    await process.stop()
    await until(lambda: not psutil.pid_exists(int(child.read_text())))


def test_ports_are_remembered_and_replaced_when_somebody_took_one(tmp_path: Path) -> None:
    """A home keeps its ports; only one that is in use by now is chosen anew."""
    file = tmp_path / "ports.json"
    first = choose_ports(file, ["kafka", "s3"])
    assert choose_ports(file, ["kafka", "s3"]) == first
    with socket.create_server(("127.0.0.1", first["kafka"])):
        second = choose_ports(file, ["kafka", "s3"])
    assert second["kafka"] != first["kafka"]
    assert second["s3"] == first["s3"]


def test_a_port_that_was_asked_for_and_is_in_use_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the variable: nobody gets another port than the one given."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("LEADSTREAM_KAFKA_PORT", str(server.getsockname()[1]))
        with pytest.raises(ConfigError, match=r"LEADSTREAM_KAFKA_PORT: port \d+ is in use"):
            choose_ports(tmp_path / "ports.json", ["kafka"])


def test_a_download_without_a_network_says_what_and_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the artifact and the command to try again; no half file is left in the cache."""
    monkeypatch.setenv("LEADSTREAM_CACHE", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(TransientError, match=r"could not download \S+:\S+:\S+.*jars fetch"):
        jars.ensure_downloads()
    assert not list((tmp_path / "jars").iterdir())


def test_a_download_with_other_bytes_than_locked_is_refused(tmp_path: Path) -> None:
    """A file whose hash is not the locked one never enters the cache."""
    artifact = jars.read_lock()[0]
    context = MavenContext(repo_cache=tmp_path, offline=True)
    project = context.project(artifact.group, artifact.name).at_version(artifact.version)
    place = project.artifact(artifact.classifier, artifact.packaging).cached_path
    assert place is not None
    place.parent.mkdir(parents=True)
    place.write_bytes(b"not what was locked")
    with pytest.raises(FatalError, match="sha256"):
        jars.download(context, artifact, tmp_path / "cache")
    assert not artifact.place(tmp_path / "cache").exists()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for the condition; fails when it does not come true in time."""
    async with asyncio.timeout(VANISH_TIMEOUT_SECONDS):
        while not condition():  # noqa: ASYNC110  # other processes send no event
            await asyncio.sleep(0.05)


async def topics(environment: dict[str, str]) -> list[str]:
    """The names of Kafka's topics."""
    admin = AIOKafkaAdminClient(bootstrap_servers=environment["KAFKA_BOOTSTRAP_SERVERS"])
    await admin.start()
    try:
        names: list[str] = await admin.list_topics()
        return names
    finally:
        await admin.close()


async def write_data(environment: dict[str, str]) -> None:
    """Leave something in every part."""
    servers = environment["KAFKA_BOOTSTRAP_SERVERS"]
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.create_topics([NewTopic("probe", 1, 1)])
    await admin.close()
    producer = AIOKafkaProducer(bootstrap_servers=servers, acks="all")
    await producer.start()
    await producer.send_and_wait("probe", b"value")
    await producer.stop()
    await asyncio.to_thread(registry_call, environment, "POST", "/subjects/probe-value/versions", SCHEMA)
    connection = await asyncpg.connect(environment["POSTGRES_DSN"])
    await connection.execute("CREATE TABLE probe AS SELECT 'row' AS text")
    await connection.close()
    async with s3_client(environment) as client:
        await client.put_object(Bucket=environment["S3_BUCKET"], Key="probe", Body=b"object")


async def read_data(environment: dict[str, str]) -> tuple[bytes, str, str, bytes]:
    """What `write_data` left."""
    consumer = AIOKafkaConsumer(bootstrap_servers=environment["KAFKA_BOOTSTRAP_SERVERS"], auto_offset_reset="earliest")
    await consumer.start()
    consumer.assign([TopicPartition("probe", 0)])
    message = await asyncio.wait_for(consumer.getone(), VANISH_TIMEOUT_SECONDS)
    await consumer.stop()
    subject = "/subjects/probe-value/versions/latest"
    schema = await asyncio.to_thread(registry_call, environment, "GET", subject)
    connection = await asyncpg.connect(environment["POSTGRES_DSN"])
    row = await connection.fetchval("SELECT text FROM probe")
    await connection.close()
    async with s3_client(environment) as client:
        answer = await client.get_object(Bucket=environment["S3_BUCKET"], Key="probe")
        body = await answer["Body"].read()
    return message.value, json.dumps(json.loads(schema["schema"])), row, body


def registry_call(environment: dict[str, str], method: str, path: str, schema: str | None = None) -> dict[str, str]:
    """One call of the registry's Confluent API."""
    url = urlsplit(environment["SCHEMA_REGISTRY_URL"])
    connection = http.client.HTTPConnection(url.netloc, timeout=30)
    body = None if schema is None else json.dumps({"schema": schema})
    connection.request(method, url.path + path, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    answer: dict[str, str] = json.loads(response.read())
    connection.close()
    assert response.status == http.HTTPStatus.OK, answer
    return answer


def s3_client(environment: dict[str, str]) -> aioboto3.session.ClientCreatorContext:
    """A client of the home's object store."""
    return aioboto3.Session().client(
        "s3",
        endpoint_url=environment["S3_ENDPOINT_URL"],
        region_name=environment["S3_REGION"],
        aws_access_key_id=environment["S3_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["S3_SECRET_ACCESS_KEY"],
    )
