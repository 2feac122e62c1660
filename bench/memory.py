"""``make bench-memory``: the most memory that the producer uses for a file of 1 GB."""

from __future__ import annotations

import asyncio
from pathlib import Path

from bench.growth import cut
from bench.results import Figures, save
from bench.stages import temporary_folder
from bench.world import seconds_between, world
from leadstream.sample_vendors import vendor

FILE_BYTES = 1_000_000_000
BLOCK_ROWS = 20_000
FIRST_KEY = 10_000_000
GOAL_MEGABYTES = 200
SOURCE = "big"
PATIENCE_SECONDS = 540.0


def write_big(path: Path) -> int:
    """Write a block of invented rows again and again, with new keys; gives the number of rows."""
    texas = vendor("texas")
    assert texas.key_column == 0
    [block] = cut(1, 950, BLOCK_ROWS)
    header, *records = block.split(b"\r\n")
    # A record may have line breaks in it: one begins where a line begins with a key.
    rests: list[bytes] = []
    for line in records:
        key, comma, rest = line.partition(b",")
        if key.isdigit():
            rests.append(comma + rest)
        else:
            rests[-1] += b"\r\n" + line
    rows = 0
    with path.open("wb") as file:
        file.write(header)
        while file.tell() < FILE_BYTES:
            first = FIRST_KEY + rows
            file.write(b"".join(b"\r\n%d%b" % (first + at, rest) for at, rest in enumerate(rests)))
            rows += len(rests)
    return rows


async def measure() -> Figures:
    """Split the file, and look at the producer's memory at the end."""
    with temporary_folder() as folder:
        path, key = Path(folder) / "big.csv", f"{SOURCE}/big.csv"
        rows = await asyncio.to_thread(write_big, path)
        async with world() as here:
            here.add_source(SOURCE, "texas")
            await here.put_all([(key, path)])
            here.start("produce")
            ended_at = await here.steps.until(key, "split", patience=PATIENCE_SECONDS)
            seconds = seconds_between(here.steps.made_at(key, "splitting"), ended_at)
            return {
                "file_megabytes": round(path.stat().st_size / 1e6),
                "rows": rows,
                "goal_megabytes": GOAL_MEGABYTES,
                "producer_peak_megabytes": round(here.memory_kilobytes()["produce"] * 1024 / 1e6),
                "producer_cpu_seconds": round(here.cpu_seconds()["produce"], 1),
                "seconds": round(seconds, 1),
            }


if __name__ == "__main__":
    found = asyncio.run(measure())
    print(found)
    save("memory", found)
