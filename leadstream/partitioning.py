"""Which lane a lead belongs to: the partition that Kafka's own clients would choose for its key."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from aiokafka.partitioner import murmur2

POSITIVE_MASK = 0x7FFFFFFF
_SEED = 0x9747B28C
_MULTIPLIER = 0x5BD1E995
_WORD_BYTES = 4
_SLOT_BYTES = 8


def lead_key(source: str, provider_key: str) -> str:
    """The key of a lead on the canonical topic and in Postgres."""
    return f"{source}:{provider_key}"


def lane_of(key: str, lanes: int) -> int:
    """Partition of ``key`` by murmur2, as the Java client's default partitioner does it."""
    return int(murmur2(key.encode()) & POSITIVE_MASK) % lanes


def lanes_of(keys: Sequence[bytes], lanes: int) -> list[int]:
    """As :func:`lane_of` for each key, many times faster: keys of one length are hashed all at once."""
    lengths = list(map(len, keys))
    if len(set(lengths)) == 1:
        return [(value & POSITIVE_MASK) % lanes for value in _murmur2_of_all(keys, lengths[0])]
    by_length: dict[int, list[int]] = {}
    for place, length in enumerate(lengths):
        by_length.setdefault(length, []).append(place)
    found = [0] * len(keys)
    for length, places in by_length.items():
        for place, value in zip(places, _murmur2_of_all([keys[place] for place in places], length), strict=True):
            found[place] = (value & POSITIVE_MASK) % lanes
    return found


def _murmur2_of_all(keys: Sequence[bytes], length: int) -> array[int]:
    """murmur2 of keys that all have ``length`` bytes.

    The steps are those of ``aiokafka.partitioner.murmur2``. Each number in them stands for all keys: a long integer in
    which every key has 64 bits of its own, of which 32 are its number; the rest takes in a product's upper half, or
    what a shift brings in from the neighbour, until the mask clears it. So Python makes one step for all keys.
    """
    whole_words, rest = divmod(length, _WORD_BYTES)
    one_each = int.from_bytes((1).to_bytes(_SLOT_BYTES, "little") * len(keys), "little")
    mask = one_each * 0xFFFFFFFF
    filler = b"\0" * (-length % _WORD_BYTES)
    words = array("I", filler.join(keys) + filler)
    words_a_key = whole_words + bool(rest)
    hashes = one_each * (_SEED ^ length)
    for at in range(words_a_key):
        word = int.from_bytes(array("Q", words[at::words_a_key]).tobytes(), "little")
        if at < whole_words:
            word = word * _MULTIPLIER & mask
            word = (word ^ (word >> 24 & one_each * 0xFF)) * _MULTIPLIER & mask
            hashes = (hashes * _MULTIPLIER & mask) ^ word
        else:  # the last one to three bytes
            hashes = (hashes ^ word) * _MULTIPLIER & mask
    hashes = (hashes ^ (hashes >> 13 & one_each * 0x7FFFF)) * _MULTIPLIER & mask
    hashes ^= hashes >> 15 & one_each * 0x1FFFF
    return array("Q", hashes.to_bytes(_SLOT_BYTES * len(keys), "little"))
