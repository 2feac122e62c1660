"""Quix Streams' own CSV source (JSON values). The broker's clock says when the last row was there."""

from __future__ import annotations

import tempfile
import time
import uuid
from pathlib import Path

from quixstreams import Application
from quixstreams.models import Topic
from quixstreams.sources.core.csv import CSVSource

from bench.peers.serve import Answer, Request, serve
from leadstream.settings import Settings


class TimedSource(CSVSource):
    """Says when it began: in a file, as it runs in a process of its own."""

    def run(self) -> None:
        """Look at the clock, and send the rows."""
        stamp_of(self.name).write_text(str(time.time()))
        super().run()


def stamp_of(name: str) -> Path:
    """The file with the time at which the source of this name began."""
    return Path(tempfile.gettempdir()) / f"{name}.began"


def key_of(row: dict[str, str]) -> str:
    """The provider's key."""
    return row["Operation #"]


def send(request: Request) -> Answer:
    """Run the source until the file has ended; gives when it began."""
    app = Application(
        broker_address=Settings.load().kafka.bootstrap_servers,
        consumer_group=f"bench-{uuid.uuid4().hex}",
        auto_create_topics=False,
        loglevel="WARNING",
    )
    topic = Topic(name=request["topic"], key_serializer="string", value_serializer="json")
    app.add_source(TimedSource(path=request["path"], name=request["topic"], key_extractor=key_of), topic)
    app.run()
    return {"began_at": float(stamp_of(request["topic"]).read_text())}


if __name__ == "__main__":
    serve(send)
