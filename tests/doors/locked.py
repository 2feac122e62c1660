"""A stack whose doors are locked: who does not have the right key, certificate and rights does not get in."""

from __future__ import annotations

import base64
import contextlib
import secrets
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from leadstream.stack.kafka import Kafka
from leadstream.stack.ports import HOST, choose_ports
from leadstream.stack.process import Command, Program
from leadstream.stack.supervisor import Stack
from schemas.kafka_rights import RIGHTS, Right
from tests.doors.certificates import Authority
from tests.doors.proxies import login_before, tls_before, tls_before_postgres

NAME = "localhost"
"""The host name in every certificate; the same servers answer at 127.0.0.1, which stands in none."""
ITERATIONS = 4096
TIMEOUT_SECONDS = 20
RESOURCES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional-id": ResourceType.TRANSACTIONAL_ID,
}
PROPERTIES = """
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller},SASL_SSL://{host}:{sasl},SSL://{host}:{mtls}
advertised.listeners=PLAINTEXT://{host}:{port},SASL_SSL://{name}:{sasl},SSL://{name}:{mtls}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL
sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={truststore}
listener.name.ssl.ssl.client.auth=required
ssl.principal.mapping.rules=RULE:^CN=([^,]+).*$/$1/,DEFAULT
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
# The plain listener is the tests' own way in, and the registry's.
super.users=User:ANONYMOUS
"""


class LockedKafka:
    """The embedded broker with two more listeners (SASL_SSL, and SSL with client certificates) and an authorizer."""

    name = "kafka"

    def __init__(self, plain: Kafka, folder: Path, properties: Mapping[str, object]) -> None:
        self.port = plain.port
        self._plain = plain
        self._folder = folder
        self._properties = properties

    async def prepare(self) -> None:
        """As the embedded broker; later lines of the properties win."""
        await self._plain.prepare()
        with (self._folder / "server.properties").open("a") as file:
            file.write(PROPERTIES.format(**self._properties))

    def command(self) -> Command:
        """As the embedded broker."""
        return self._plain.command()

    async def ready(self) -> bool:
        """As the embedded broker."""
        return await self._plain.ready()


class LockedStack(Stack):
    """The embedded stack with that broker."""

    def __init__(self, home: Path, authority: Authority) -> None:
        super().__init__(home)
        self._authority = authority
        self.ports: dict[str, int] = {}

    async def _programs(self) -> list[Program]:
        kafka, *others = await super()._programs()
        assert isinstance(kafka, Kafka)
        certificate, key = self._authority.issue("kafka", host=NAME)
        keystore = certificate.with_suffix(".store.pem")
        keystore.write_bytes(key.read_bytes() + certificate.read_bytes())
        self.ports = choose_ports(self.home / "locked-ports.json", ("sasl", "mtls"))
        properties = {
            "host": HOST, "name": NAME, "port": kafka.port, "controller": kafka._controller_port, **self.ports,
            "keystore": keystore, "truststore": self._authority.ca_file,
        }  # fmt: skip
        return [LockedKafka(kafka, self.home / "kafka", properties), *others]


@dataclass
class Doors:
    """The locked stack, and the keys to it."""

    stack: LockedStack
    authority: Authority
    stranger: Authority
    """Of whose certificates nobody here thinks anything."""
    ports: dict[str, int]
    token: str
    admin: AdminClient
    """Kafka's own client, as the super user."""
    passwords: dict[str, str] = field(default_factory=dict)

    def add_kafka_user(self, user: str, rights: Iterable[Right], mechanism: str = "SCRAM-SHA-256") -> None:
        """A user with a password, and with these rights."""
        password = self._password(user)
        made = ScramCredentialInfo(getattr(ScramMechanism, mechanism.replace("-", "_")), ITERATIONS)
        for done in self.admin.alter_user_scram_credentials(
            [UserScramCredentialUpsertion(user, made, password.encode())]
        ).values():
            done.result(TIMEOUT_SECONDS)
        self.grant(user, rights)

    def grant(self, user: str, rights: Iterable[Right]) -> None:
        """Give a user (of a password or of a certificate) rights."""
        bindings = [
            AclBinding(
                RESOURCES[right.resource],
                right.name,
                ResourcePatternType.PREFIXED if right.is_prefix else ResourcePatternType.LITERAL,
                f"User:{user}",
                "*",
                AclOperation[operation],
                AclPermissionType.ALLOW,
            )
            for right in rights
            for operation in right.operations
        ]
        if bindings:
            for done in self.admin.create_acls(bindings).values():
                done.result(TIMEOUT_SECONDS)

    def kafka(self, user: str, mechanism: str = "SCRAM-SHA-256") -> dict[str, str]:
        """The settings of who logs into Kafka with a password."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": f"{NAME}:{self.ports['sasl']}",
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": mechanism,
            "KAFKA_SASL_USERNAME": user,
            "KAFKA_SASL_PASSWORD": self._password(user),
            "KAFKA_SSL_CA_FILE": str(self.authority.ca_file),
        }

    def kafka_by_certificate(self, user: str) -> dict[str, str]:
        """The settings of who logs into Kafka with a certificate."""
        certificate, key = self.authority.issue(user)
        return {
            "KAFKA_BOOTSTRAP_SERVERS": f"{NAME}:{self.ports['mtls']}",
            "KAFKA_SECURITY_PROTOCOL": "SSL",
            "KAFKA_SSL_CA_FILE": str(self.authority.ca_file),
            "KAFKA_SSL_CERT_FILE": str(certificate),
            "KAFKA_SSL_KEY_FILE": str(key),
        }

    def registry(self) -> dict[str, str]:
        """The settings of who logs into the registry with user and password."""
        return {
            "SCHEMA_REGISTRY_URL": self.registry_url(NAME),
            "SCHEMA_REGISTRY_USERNAME": "stages",
            "SCHEMA_REGISTRY_PASSWORD": self._password("registry"),
            "SCHEMA_REGISTRY_CA_FILE": str(self.authority.ca_file),
        }

    def registry_url(self, host: str) -> str:
        """The registry behind its login."""
        return f"https://{host}:{self.ports['registry']}" + urlsplit(self.stack.environment["SCHEMA_REGISTRY_URL"]).path

    def s3(self) -> dict[str, str]:
        """The settings of who reads the bucket with a key."""
        return {"S3_ENDPOINT_URL": f"https://{NAME}:{self.ports['s3']}", "S3_CA_FILE": str(self.authority.ca_file)}

    def postgres(self, user: str, host: str = NAME, ca_file: Path | None = None, password: str | None = None) -> str:
        """The DSN of a user, by TLS alone."""
        return (
            f"postgresql://{user}:{password or self._password(user)}@{host}:{self.ports['postgres']}/leadstream"
            f"?sslmode=verify-full&sslrootcert={ca_file or self.authority.ca_file}"
        )

    async def add_postgres_user(self, user: str, *roles: str) -> None:
        """A user with a password that is granted roles."""
        connection = await asyncpg.connect(self.stack.environment["POSTGRES_DSN"])
        try:
            await connection.execute(f"CREATE USER {user} PASSWORD '{self._password(user)}'")
            for role in roles:
                await connection.execute(f"GRANT {role} TO {user}")
        finally:
            await connection.close()

    def _password(self, user: str) -> str:
        return self.passwords.setdefault(user, f"pw-{secrets.token_hex(12)}")


@contextlib.asynccontextmanager
async def locked_doors(home: Path, folder: Path) -> AsyncIterator[Doors]:
    """The stack behind locked doors; each stage of :data:`RIGHTS` has its user in Kafka."""
    authority, stranger = Authority(folder, "authority"), Authority(folder, "stranger")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("proxies", host=NAME))
    async with LockedStack(home, authority) as stack, contextlib.AsyncExitStack() as proxies:
        environment = stack.environment
        admin = AdminClient({"bootstrap.servers": environment["KAFKA_BOOTSTRAP_SERVERS"]})
        token = f"token-{secrets.token_hex(12)}"
        doors = Doors(stack, authority, stranger, dict(stack.ports), token, admin)
        registry = urlsplit(environment["SCHEMA_REGISTRY_URL"])
        basic = basic_login("stages", doors._password("registry"))
        doors.ports["registry"] = await proxies.enter_async_context(
            login_before(f"http://{registry.netloc}", {basic, f"Bearer {doors.token}"}, context)
        )
        for part, proxy in (("s3", tls_before), ("postgres", tls_before_postgres)):
            port = stack.parts[part].port
            assert port is not None
            doors.ports[part] = await proxies.enter_async_context(proxy(port, context))
        for user, rights in RIGHTS.items():
            doors.add_kafka_user(user, rights)
        yield doors


def basic_login(user: str, password: str) -> str:
    """The header of a login with user and password (RFC 7617)."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
