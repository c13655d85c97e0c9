#!/usr/bin/env python3
"""What a probe wrote, read with Python's redis package: alarms since a moment and live, a client's transitions.

    read_with_python.py NAME CLIENT [--url URL] [--since SECONDS] [--follow]

Needs the package redis (Debian: python3-redis). Nothing is written. What a consumer has to know: IDs are milliseconds of
capture time, up to skew_ms above an entry's `ts`; read on to that and judge by `ts`. Alarms are in the stream before they
are published; (probe, seq) tells messages apart, so that one that was away reads what it missed and then listens.
"""
import argparse
import binascii
import json
import sys

import redis


def entries(store, key, begin=0):
    """All entries of a stream from a second on, page by page: a huge XRANGE would hold up the server."""
    start = "%d" % (begin * 1000)
    while True:
        page = store.xrange(key, min=start, count=500)
        yield from page
        if len(page) < 500:
            return
        start = "(" + page[-1][0].decode()


def transitions(store, name, client, begin):
    """{field: text} of one client: its partition is CRC-16/XMODEM of its address modulo their number."""
    probe = json.loads(store.hget("spanwatch:probes", name) or "null")
    if probe is None:
        sys.exit("the store has no probe " + name)
    partition = binascii.crc_hqx(client.encode(), 0) % probe["partitions"]
    for _, fields in entries(store, "spanwatch:{%s/%d}:transitions" % (name, partition), begin):
        t = {k.decode(): v.decode() for k, v in fields.items()}
        if t["client"].rpartition(":")[0].strip("[]") == client:
            yield t


def alarms(store, name, begin):
    for _, fields in entries(store, "spanwatch:{%s}:alarms" % name, begin):
        yield json.loads(fields[b"json"], parse_float=str)


def listen(channel, seen):
    """Live ones, each once."""
    for message in channel.listen():
        alarm = json.loads(message["data"], parse_float=str)
        if alarm["seq"] > seen.get(alarm["probe"], 0):
            seen[alarm["probe"]] = alarm["seq"]
            yield alarm


def show(alarm):
    print(alarm["ts"], alarm["probe"], alarm["seq"], alarm["severity"], alarm["status"], alarm["kind"], alarm.get("summary", ""), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("client")
    parser.add_argument("--url", default="unix:///var/lib/spanwatch/redis.sock")
    parser.add_argument("--since", type=int, default=0, metavar="SECONDS")
    parser.add_argument("--follow", action="store_true")
    args = parser.parse_args()
    store = redis.Redis.from_url(args.url)
    for t in transitions(store, args.name, args.client, args.since):
        print(t["ts"], t["client"], t["server"], t["service"], t["was"], "->", t["state"], t["cause"])
    channel = store.pubsub(ignore_subscribe_messages=True)
    if args.follow:
        channel.subscribe("spanwatch:alarms")  # before reading what was: nothing falls between
    seen = {}
    for alarm in alarms(store, args.name, args.since):
        seen[args.name] = alarm["seq"]
        show(alarm)
    if args.follow:
        for alarm in listen(channel, seen):
            show(alarm)


if __name__ == "__main__":
    main()
