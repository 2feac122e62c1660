"""Quix Streams' own CSV source (JSON values). The caller takes the time from the broker's clock."""

from __future__ import annotations

import uuid

from quixstreams import Application
from quixstreams.models import Topic
from quixstreams.sources.core.csv import CSVSource

from bench.peers.serve import Answer, Request, serve
from leadstream.settings import Settings


def key_of(row: dict[str, str]) -> str:
    """The provider's key."""
    return row["Operation #"]


def send(request: Request) -> Answer:
    """Run the source until the file has ended."""
    app = Application(
        broker_address=Settings.load().kafka.bootstrap_servers,
        consumer_group=f"bench-{uuid.uuid4().hex}",
        auto_create_topics=False,
        loglevel="WARNING",
    )
    topic = Topic(name=request["topic"], key_serializer="string", value_serializer="json")
    app.add_source(CSVSource(path=request["path"], name=request["topic"], key_extractor=key_of), topic)
    app.run()
    return {}


if __name__ == "__main__":
    serve(send)
