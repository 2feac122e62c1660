"""Erasing people from what a partition knows, and from what it has sent. Pure."""

from __future__ import annotations

from processors.changes import BatchChanges
from processors.content import encode_body, hash_body
from processors.progress import ActiveLoad, Change
from schemas.records import lead_fields


def erase(outcome: BatchChanges, command_id: str, offset: int) -> BatchChanges:
    """Erase every lead of ``outcome``'s partition that is to stay out (``state.forgotten``).

    Each gets a delete record without content, which stands where its last record stood in the order of its lead,
    and a tombstone; its entry of the state goes. ``command_id``, ``offset``: the command that asked for it.
    """
    state = outcome.state
    forgotten = [key for key in state.all_keys() if state.forgotten.has_lead(state.source, key)]
    body = dict.fromkeys(lead_fields()) | {"ages_served": []}
    body_bytes = encode_body(body)
    for key in forgotten:
        known = state.get(key)
        if known is None:
            continue
        place = ActiveLoad(
            load_id=command_id,
            load_seq=known.load_seq,
            bucket="",
            object_key="",
            object_version="",
            first_offset=offset,
            is_stale=False,
        )
        outcome.changes.append(
            Change(
                op="d",
                key=key,
                load=place,
                content_hash=hash_body(body_bytes),
                body=body,
                body_bytes=body_bytes,
                row_number=known.row_number,
                line_number=0,
                raw_offset=offset,
                raw_schema_id=0,
                mapping_version=outcome.source.version,
                erased_by=command_id,
            )
        )
        outcome.erased.append(key)
    return outcome
