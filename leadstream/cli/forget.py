"""``forget``: a person is erased wherever leadstream can, kept out from then on, and it is said where copies remain."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from leadstream.cli import session
from leadstream.cli.database import Database, connect
from leadstream.cli.forget_order import Letter, erase_letters, known_forgotten, send_order, sink_caught_up
from leadstream.cli.output import JsonOption, counted, print_json, print_pairs, text
from leadstream.cli.sources import unknown_source
from leadstream.errors import ConfigError, LeadstreamError
from leadstream.forgotten import FORGET, UNFORGET, Digester, digester_of
from leadstream.masking import masked_email, masked_phone
from leadstream.settings import Settings
from leadstream.sources import read_sources
from leadstream.text import clean
from schemas import topics

SHOWN_FILES = 5
MAX_ROUNDS = 5


@dataclass(frozen=True)
class Subject:
    """Who was named: by a lead's key, a phone in E.164 or an e-mail, whatever is not empty."""

    key: str = ""
    phone: str = ""
    email: str = ""

    def digest(self, digester: Digester) -> bytes:
        """Its digest."""
        if self.key:
            return digester.of_lead(self.key.encode())
        return digester.of_phone(self.phone) if self.phone else digester.of_email(self.email)

    @property
    def shown(self) -> str:
        """For people."""
        return self.key or (masked_phone(self.phone) if self.phone else masked_email(self.email))

    @property
    def pattern(self) -> str:
        """A regular expression (of Postgres) for how a phone or an e-mail may stand in a vendor's row."""
        if self.phone:
            digits = self.phone.removeprefix("+").removeprefix("1")
            return r"(?<!\d)1?[-. ()/]*" + r"[-. ()/]*".join(digits) + r"(?!\d)"
        # Without a bound before it: the length of a cell stands there as a byte, which may be a letter.
        return "".join(c if c.isalnum() else f"\\{c}" for c in self.email) + r"(?![\w-])"


@dataclass
class Found:
    """What there is of a subject in Postgres."""

    leads: list[dict[str, Any]] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    refused: int = 0

    @property
    def keys(self) -> list[str]:
        """Keys of its leads."""
        return [lead["lead_key"] for lead in self.leads]

    @property
    def is_nothing(self) -> bool:
        """Whether nothing is left to erase."""
        return not (self.leads or self.letters or self.refused)


def forget(
    keys: Annotated[list[str] | None, typer.Argument(metavar="[KEY…]", help="Leads: SOURCE:PROVIDER-KEY.")] = None,
    phone: Annotated[
        list[str] | None, typer.Option(help="Whoever has this phone, in every source; repeatable.")
    ] = None,
    email: Annotated[list[str] | None, typer.Option(help="Whoever has this e-mail address; repeatable.")] = None,
    undo: Annotated[
        bool, typer.Option("--undo", help="Let them in again; what was erased does not come back.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be erased, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether you are sure.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Erase a person: from leads, history, dead letters and the workers' state, and from the topics as far as Kafka
    can. Rows that name them are passed over from then on, in old files and new ones, and counted as stale.

    It ends when Postgres has nothing of them any more, and says where copies remain and for how long. Given twice, the
    second finds nothing left to erase.

    \b
    Examples:
      leadstream forget texas:1001003 --dry-run
      leadstream forget texas:1001003 nevada:1106-22 --yes
      leadstream forget --phone 702-555-0101 --email pat@example.com
      leadstream forget --undo texas:1001003
    """
    subjects = subjects_of(keys or [], phone or [], email or [])
    settings = session.start()
    digester = digester_of(settings)
    if digester is None:
        raise ConfigError(
            "LEADSTREAM_PRIVACY_KEY is not set: nobody could be kept out",
            hint="set it to a long secret, the same for every stage and operator, and keep it",
        )
    if not undo:
        session.run(_check_sources(settings, subjects))
    forgotten = session.run(known_forgotten(settings))
    kept_out = {subject: forgotten.is_subject(subject.digest(digester)) for subject in subjects}
    if undo:
        _undo(settings, digester, kept_out, dry_run=dry_run, as_json=as_json)
        return
    found = session.run(_look(settings, subjects))
    documents = [_document(subject, found[subject]) | {"kept_out": kept_out[subject]} for subject in subjects]
    copies = session.run(_copies(settings, list(found.values())))
    for subject, document in zip(subjects, documents, strict=True):
        if warning := unknown_lead(subject, document):
            typer.echo(warning, err=True)
    if not dry_run:
        if not yes:
            for document in documents:
                typer.echo(_sentence(document, "would be"), err=True)
            confirm()
        for subject in subjects:
            session.run(_forget(settings, digester, subject))
        documents = [document | {"kept_out": True} for document in documents]
    if as_json:
        print_json({"dry_run": dry_run, "forgotten": documents, "copies": copies})
        return
    for document in documents:
        typer.echo(_sentence(document, "would be" if dry_run else "are"))
    if any(document["leads"] or document["dead_letters"] for document in documents):
        _print_copies(copies)


def subjects_of(keys: list[str], phones: list[str], emails: list[str]) -> list[Subject]:
    """Who is named on a command line.

    Raises:
        typer.BadParameter: nobody, or something that is no key, phone or e-mail.
    """
    # The transforms are slow to import: only this command pays for it.
    from processors.transforms import TransformError
    from processors.transforms.contact import to_email, to_phone

    for key in keys:
        if not all(key.partition(":")):
            raise typer.BadParameter(f"{key!r} is no lead's key: they look like nevada:1106-22", param_hint="KEY")
    subjects = [Subject(key=key) for key in keys]
    try:
        subjects += [Subject(phone=to_phone(clean(text) or "").partition(";")[0]) for text in phones]
        subjects += [Subject(email=to_email(clean(text) or "")) for text in emails]
    except TransformError as exc:
        raise typer.BadParameter(f"one of them {exc.message}", param_hint="--phone, --email") from exc
    if not subjects:
        raise typer.BadParameter("say who: a lead's key, --phone or --email", param_hint="KEY")
    return list(dict.fromkeys(subjects))


def unknown_lead(subject: Subject, document: dict[str, Any]) -> str:
    """A warning where a key names no lead, which may be a slip of the pen; empty where it does, or has before."""
    if not subject.key or document["leads"] or document["dead_letters"] or document["kept_out"]:
        return ""
    return f"warning: there is no lead {subject.key!r}: nothing of it is to be erased, but it is to be kept out"


def confirm() -> None:
    """Ask on standard error whether to erase.

    Raises:
        typer.Exit: the answer is no.
        typer.Abort: there is no answer.
    """
    unchanged = "nothing was erased (--yes erases without asking)"
    try:
        sure = typer.confirm("This cannot be undone. Erase?", err=True)
    except typer.Abort:
        typer.echo(f"\n{unchanged}", err=True)
        raise
    if not sure:
        typer.echo(unchanged, err=True)
        raise typer.Exit(1)


async def _check_sources(settings: Settings, subjects: list[Subject]) -> None:
    """Make sure that each key is of a source that is known, or was once and has loads.

    Raises:
        UnknownSourceError: one is not; suggests one.
    """
    configs, errors = read_sources(settings.sources_dir)
    unknown = {subject.key.partition(":")[0] for subject in subjects if subject.key}
    unknown -= configs.keys() | {error.file.stem for error in errors}
    if unknown:
        async with connect(settings.postgres) as database:
            unknown -= {row["source"] for row in await database.rows("loaded_sources")}
    for name in sorted(unknown):
        raise unknown_source(name, configs)


async def look(database: Database, subject: Subject) -> Found:
    """What there is of a subject now."""
    one = [[text] if text else [] for text in (subject.key, subject.phone, subject.email)]
    async with database.snapshot():
        leads = [row async for row in database.stream("leads_to_forget", *one)]
        keys = [key.encode() for key in {*one[0], *(lead["lead_key"] for lead in leads)}]
        patterns = [] if subject.key else [subject.pattern]
        letters = [
            Letter(row["dead_letter_id"], row["source"] or "")
            async for row in database.stream("letters_to_forget", keys, patterns)
        ]
        [refused] = await database.rows("refused_to_forget", keys)
    return Found(leads, letters, refused["count"])


async def _look(settings: Settings, subjects: list[Subject]) -> dict[Subject, Found]:
    async with connect(settings.postgres) as database:
        return {subject: await look(database, subject) for subject in subjects}


async def _forget(settings: Settings, digester: Digester, subject: Subject) -> None:
    """Give the order, and again as long as there is more to find: rows may have been on their way."""
    ordered: set[str] = set()
    async with connect(settings.postgres) as database:
        found = await look(database, subject)
        for _round in range(MAX_ROUNDS):
            ordered.update(found.keys)
            digests = [digester.of_lead(key.encode()) for key in sorted(ordered)]
            command_id = await send_order(settings, FORGET, digester, [subject.digest(digester), *digests])
            await erase_letters(settings, command_id, found.letters)
            await sink_caught_up(settings, database)
            found = await look(database, subject)
            if found.is_nothing:
                return
    raise LeadstreamError(
        f"of {subject.shown} are left: {counted(len(found.keys), 'lead')} and "
        f"{counted(len(found.letters) + found.refused, 'dead letter')}",
        hint="give the command again when the files under way are done",
    )


def _undo(
    settings: Settings, digester: Digester, kept_out: dict[Subject, bool], *, dry_run: bool, as_json: bool
) -> None:
    for subject, is_kept_out in kept_out.items():
        if not is_kept_out:
            raise LeadstreamError(
                f"{subject.shown} was not forgotten by this name", hint="name it as it was given then"
            )
        if not dry_run:
            session.run(send_order(settings, UNFORGET, digester, [subject.digest(digester)]))
    if as_json:
        print_json({"dry_run": dry_run, "let_in": [subject.shown for subject in kept_out]})
        return
    for subject in kept_out:
        would = "would be" if dry_run else "is"
        typer.echo(f"{subject.shown} {would} let in again, with the next file or replay that names it")


def _document(subject: Subject, found: Found) -> dict[str, Any]:
    return {
        "subject": subject.shown,
        "leads": found.keys,
        "versions": sum(lead["versions"] for lead in found.leads),
        "dead_letters": len(found.letters) + found.refused,
    }


def _sentence(document: dict[str, Any], verb: str) -> str:
    keys = document["leads"]
    what = counted(len(keys), "lead")
    if keys and keys != [document["subject"]]:
        what += f" ({', '.join(keys)})"
    versions, letters = counted(document["versions"], "version"), counted(document["dead_letters"], "dead letter")
    fate = "is kept out" if document["kept_out"] else "would be kept out"
    return f"{document['subject']}: {what}, {versions}, {letters} {verb} erased; {fate}"


async def _copies(settings: Settings, found: list[Found]) -> dict[str, Any]:
    """Where the data remains that leadstream cannot take away, as far as it knows."""
    sources: dict[str, int] = {}
    for lead in [lead for one in found for lead in one.leads]:
        sources[lead["source"]] = min(lead["first_load_seq"], sources.get(lead["source"], lead["first_load_seq"]))
    async with connect(settings.postgres) as database:
        files = [
            file
            for source, first in sorted(sources.items())
            for file in await database.rows("files_of_leads", source, first)
        ]
        exports = await database.rows("exports_made", list(sources))
    today = datetime.now(UTC).date()
    return {
        "raw_topics": [topics.raw_topic(source) for source in sorted(sources)],
        "raw_topics_until": today + timedelta(days=settings.topics.raw_retention_days),
        "compacted_topics": [topics.CANONICAL, *(topics.state_topic(source) for source in sorted(sources))],
        "compacted_after": today + timedelta(days=topics.CHANGES_KEPT_DAYS),
        "dead_letter_records": [letter.dead_letter_id for one in found for letter in one.letters],
        "files": files,
        "exports": exports,
    }


def _print_copies(copies: dict[str, Any]) -> None:
    typer.echo("\nwhere copies remain")
    letters, files = copies["dead_letter_records"], copies["files"]
    compacted = ", ".join(copies["compacted_topics"])
    lines = {
        "raw rows": f"{', '.join(copies['raw_topics'])}: gone by {copies['raw_topics_until']} at the latest",
        "changes": f"{compacted}: compacted away, changes from {copies['compacted_after']} on",
        "dead letters": f"{topics.DEAD_LETTERS}: {', '.join(letters)}, kept for ever unless its retention.ms is set",
        "files": f"{len(files):,} in S3, with every version that the bucket keeps: "
        + ", ".join(f"{file['bucket']}/{file['key']}" for file in files[:SHOWN_FILES])
        + (f" and {len(files) - SHOWN_FILES:,} more (--json lists them)" if len(files) > SHOWN_FILES else ""),
        "exports": ", ".join(f"{export['name']} ({text(export['exported_at'])})" for export in copies["exports"]),
        "Postgres": "its write-ahead log and your backups; the tables' old rows until vacuum",
        "readers": "whoever read leads.canonical was told by the header leadstream.forgotten",
    }
    empty = {"raw rows": not copies["raw_topics"], "dead letters": not letters, "files": not files,
             "exports": not copies["exports"]}  # fmt: skip
    print_pairs({name: line for name, line in lines.items() if not empty.get(name)})
