#!/usr/bin/env python3
"""Writes the seeds of fuzz/log_reader: python3 fuzz/log_reader/make_seeds.py fuzz/corpus/log_reader

Files with checksums are left to the fuzz target, which mends them (a first byte of 1).
"""
import pathlib
import struct
import sys

BLOCK = 4096
LIFE = 0x0102030405060708


def put(ident, body, flags=0, death=b"", who=b"a", key=b"", error=b"", group=0):
    return (struct.pack("<QqqqHHB", ident, 1_700_000_000_000_000_000, 0, 0, 0, group, flags) + death
            + bytes([len(who)]) + who + bytes([len(key)]) + key + struct.pack("<H", len(error)) + error + body)


def state(next_id=1024):
    return struct.pack("<QQQB", next_id, next_id, 1, 0) + struct.pack("<12Q", *range(12))


GOSSIP = b"\x04" + struct.pack("<I", 4) + b"test" + struct.pack("<I", 3) + b"\x01\x02\x03"
RECORDS = {
    "put": (16, put(1, GOSSIP)),
    "put_dead_with_key": (16, put(2, GOSSIP, flags=3, death=struct.pack("<Bq", 1, 5), key=b"key", error=b"late")),
    "take": (17, struct.pack("<Q", 1)),
    "lease": (18, struct.pack("<QQH", 1, 9, 2)),
    "hold": (19, struct.pack("<Q", 1)),
    "ack": (20, struct.pack("<Q", 1)),
    "nack": (21, struct.pack("<QHq", 1, 2, 77) + struct.pack("<H", 2) + b"no"),
    "return": (22, struct.pack("<QH", 1, 0)),
    "dead": (23, struct.pack("<QBq", 1, 0, 77) + struct.pack("<H", 3) + b"why"),
    "revive": (24, struct.pack("<Q", 1)),
    "remove": (25, struct.pack("<Q", 1)),
    "evict": (28, struct.pack("<Q", 1)),
    "key": (26, struct.pack("<QqB", 1, 5, 4) + b"key"),
    "state": (27, state()),
    "mark": (2, b""),
    "seal": (3, struct.pack("<QQ", 2, 3)),
}


def record(kind, payload, seq):
    return struct.pack("<IBBHQ", 24 + len(payload), kind, 0, 0, seq) + payload + bytes(8)


def batch(records, seq):
    body, counted = b"", 0
    for kind, payload in records:
        body += record(kind, payload, seq + counted)
        counted += kind >= 16
    head = b"QHBATCH1" + struct.pack("<QIIQ", LIFE, 56 + len(body), len(records), seq)
    whole = record(1, head, seq) + body
    return whole + bytes(-len(whole) % BLOCK), seq + counted


def header(blocks):
    fields = (b"QHWALSEG" + struct.pack("<HHI", 1, 0, 0) + struct.pack("<QQQQQ", 1, blocks * BLOCK, LIFE, 1, 1)
              + bytes(range(16)) + struct.pack("<q", 1) + state() + b"\x03sim")
    return fields + bytes(BLOCK - len(fields))


def segment(batches, tail=b""):
    body, seq = b"", 1
    for records in batches:
        one, seq = batch(records, seq)
        body += one
    return header(1 + (len(body) + len(tail)) // BLOCK) + body + tail


def composed(batches, flips=()):
    out = b""
    for records in batches:
        for kind, payload in records:
            out += bytes([kind, len(payload)]) + payload
        out += b"\x00"
    return out[:-1] + b"\xff" + b"".join(struct.pack("<HB", at, mask) for at, mask in flips)


def main(folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    seeds = {f"record_{name}": b"\x00" + payload for name, (_, payload) in RECORDS.items()}
    all_records = [one for one in RECORDS.values()]
    logical = [one for one in all_records if one[0] >= 16]
    seeds["segment_mended"] = b"\x01" + segment([logical[:4], logical[4:], [RECORDS["mark"]]])
    seeds["segment_sealed"] = b"\x01" + segment([logical[:2], [RECORDS["seal"]]])
    seeds["segment_hole"] = b"\x01" + segment([logical[:2]], bytes(BLOCK)) + batch(logical[:1], 9)[0]
    seeds["segment_as_it_stands"] = b"\x00" + segment([logical[:1]])
    seeds["composed"] = b"\x02" + composed([logical[:6], logical[6:], [RECORDS["mark"]], [RECORDS["seal"]]])
    seeds["composed_flipped"] = b"\x02" + composed([logical[:6], logical[6:]], [(BLOCK + 20, 1)])
    seeds["composed_flipped_twice"] = b"\x02" + composed([[one] for one in logical[:4]], [(2 * BLOCK + 70, 128), (3 * BLOCK + 4, 2)])
    for name, data in seeds.items():
        (folder / name).write_bytes(data)


if __name__ == "__main__":
    main(sys.argv[1])
