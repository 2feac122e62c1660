"""Roles in Postgres: each can do its job and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from leadstream.cli.database import _statement
from leadstream.sql import statements
from leadstream.stack.supervisor import Stack
from sink.migrate import migrate, pending
from sink.queries import query

PASSWORD = "of-a-test"
ROLES = ("owner", "writer", "reader", "analyst", "operator")
EXPLAINABLE = ("SELECT", "INSERT", "UPDATE", "WITH")
OURS = """
    select relname, relkind, pg_get_userbyid(relowner) as owner
    from pg_class
    where relnamespace = 'public'::regnamespace
"""

ALLOWED = {
    "reader": ["select * from leads_masked", "select * from lead_sources", "select * from loads"],
    "analyst": [
        "select * from leads", "select * from lead_history", "select * from leads_unique", "select * from dead_letters",
        "select * from loads", "select * from replays", "select * from sink_offsets", "select * from exports",
    ],
    "operator": [
        "update dead_letters set status = 'ignored', status_why = 'why'",
        "insert into exports values ('a', 'b', '{}', now(), 0)",
    ],
    "owner": [
        "create table of_a_new_version (a int)", "alter table leads add column of_a_new_version text",
        "comment on view lead_sources is 'mine'", "delete from leads",
    ],
}  # fmt: skip
REFUSED = {
    "writer": [
        "delete from loads", "truncate leads", "drop table leads", "alter table leads add column a int",
        "update lead_history set phone = null", "delete from dead_letters", "delete from replays",
        "select * from exports", "update leadstream_migrations set version_num = ''", "create table a (b int)",
        "grant leads_owner to current_user", "set role leads_owner", "create role a", "select * from pg_authid",
    ],
    "reader": [
        "select * from leads", "select phone from leads", "select * from lead_history", "select * from dead_letters",
        "select * from leads_unique", "select * from sink_offsets", "update loads set status = 'done'",
        "create view a as select * from leads_masked", "set role leads_analyst",
    ],
    "analyst": [
        "update leads set phone = null", "insert into sink_offsets values ('a', 0, 0)", "delete from loads",
        "update dead_letters set status = 'ignored'", "insert into exports values ('a', 'b', '{}', now(), 0)",
        "create table a (b int)", "truncate leads", "set role leads_writer",
    ],
    "operator": [
        "update dead_letters set value = null", "delete from dead_letters", "update leads set phone = null",
        "insert into loads select * from loads", "delete from exports", "drop table exports", "set role leads_owner",
    ],
    "owner": ["create role a", "select * from pg_authid", "alter system set ssl = off", "create database a"],
}  # fmt: skip


class Roles:
    """A database of its own, and for each role a user that is granted it."""

    def __init__(self, dsn: str) -> None:
        self._dsn = urlsplit(dsn)

    def dsn(self, role: str | None = None) -> str:
        """The superuser's DSN, or that of the user of a role."""
        login = self._dsn.netloc if role is None else f"user_{role}:{PASSWORD}@{self._dsn.netloc.rpartition('@')[2]}"
        return self._dsn._replace(netloc=login, path="/roles").geturl()

    async def connect(self, role: str) -> Any:
        """A connection as the user of a role."""
        return await asyncpg.connect(self.dsn(role))


@pytest.fixture(scope="module")
async def roles(stack: Stack) -> AsyncIterator[Roles]:
    """Migrated by the owner's user alone, who is no superuser and owns neither the database nor the schema."""
    made = Roles(stack.environment["POSTGRES_DSN"])
    administrator = await asyncpg.connect(stack.environment["POSTGRES_DSN"])
    await administrator.execute("CREATE DATABASE roles")
    for role in ROLES:
        if not await administrator.fetchval("select true from pg_roles where rolname = $1", f"leads_{role}"):
            await administrator.execute(f"CREATE ROLE leads_{role} NOLOGIN")
        await administrator.execute(f"CREATE USER user_{role} PASSWORD '{PASSWORD}' IN ROLE leads_{role}")
    inside = await asyncpg.connect(made.dsn())
    await inside.execute("GRANT CREATE ON SCHEMA public TO leads_owner")
    await inside.close()
    await asyncio.to_thread(migrate, made.dsn("owner"))
    yield made
    await administrator.execute("DROP DATABASE roles WITH (FORCE)")
    for role in ROLES:
        await administrator.execute(f"DROP USER user_{role}")
    await administrator.close()


async def test_everything_belongs_to_the_owners_role_and_the_analyst_can_read_it(roles: Roles) -> None:
    """Whoever is granted leads_owner can migrate next time; a table that a new version adds is in grants.sql."""
    connection = await roles.connect("analyst")
    relations = [row for row in await connection.fetch(OURS) if row["relkind"] in (b"r", b"v")]
    assert len(relations) > 10
    assert {row["owner"] for row in relations} == {"leads_owner"}
    for row in relations:
        await connection.execute(f"select * from {row['relname']} limit 0")
    await connection.close()
    assert await asyncio.to_thread(pending, roles.dsn("writer")) == []
    assert await asyncio.to_thread(migrate, roles.dsn("owner")) == []


async def test_a_superuser_and_the_owner_migrate_in_turns(stack: Stack, roles: Roles) -> None:
    """What a superuser made is the role's as well."""
    await asyncio.to_thread(migrate, roles.dsn())
    administrator = await asyncpg.connect(roles.dsn())
    await administrator.execute("ALTER TABLE leads OWNER TO CURRENT_USER")
    await asyncio.to_thread(migrate, roles.dsn())
    assert await administrator.fetchval("select pg_get_userbyid(relowner) from pg_class where relname = 'leads'") == (
        "leads_owner"
    )
    await administrator.close()


@pytest.mark.parametrize("role", ["writer", "operator"])
async def test_a_role_can_run_every_statement_of_its_part(role: str, roles: Roles) -> None:
    """The sink's statements as leads_writer, those of the commands as leads_operator.

    Explaining a statement checks the rights as running it does.
    """
    connection = await roles.connect(role)
    if role == "writer":
        await connection.execute(query("make_incoming"))
        await connection.execute(query("make_incoming_dead_letters"))
        texts = {name: query(name) for name in statements("sink")}
    else:
        texts = {name: _statement(name) for name in statements("leadstream.cli")}
    explained = 0
    for name, text in texts.items():
        body = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--")).strip()
        if body.startswith(EXPLAINABLE):
            try:
                await connection.execute(f"EXPLAIN (GENERIC_PLAN) {body}")
            except asyncpg.InsufficientPrivilegeError as exc:
                raise AssertionError(f"{name}: {exc}") from exc
            explained += 1
    assert explained > 10
    await connection.close()


async def test_the_sink_can_copy_and_flush_as_writer(roles: Roles) -> None:
    """What is no statement of queries.sql: COPY, and waiting for the disk."""
    connection = await roles.connect("writer")
    async with connection.transaction():
        await connection.execute(query("wait_for_disk"))
        await connection.execute(query("flush"))
    for table in ("leads", "lead_history", "dead_letters"):
        await connection.copy_records_to_table(table, records=[])
    await connection.close()


@pytest.mark.parametrize(("role", "statement"), [(role, text) for role, texts in ALLOWED.items() for text in texts])
async def test_a_role_may_do_its_job(role: str, statement: str, roles: Roles) -> None:
    """Rolled back afterwards."""
    connection = await roles.connect(role)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(statement)
    await transaction.rollback()
    await connection.close()


@pytest.mark.parametrize(("role", "statement"), [(role, text) for role, texts in REFUSED.items() for text in texts])
async def test_a_role_may_do_nothing_else(role: str, statement: str, roles: Roles) -> None:
    """Postgres refuses it for want of the right, not for another reason."""
    connection = await roles.connect(role)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(statement)
    await connection.close()
