#!/usr/bin/env python3
"""How long questions take of a store of a million open connections and ten million transitions, and what Redis sends.

    query.py [--build DIR] [--flows N] [--transitions N] [--partitions LIST] [--runs N] [--check]

A private redis-server is filled by bench_fill_store, for each number of partitions anew. Each question is a whole run of
`spanwatch query --format json`, from start to end, at random past moments and of random clients; the table has medians,
the bytes that the server sent, and the longest command of its slow log. With --check only the answers are looked at
(what ctest does, at a small scale): the summary must count the connections that are listed.
"""
import argparse
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))
import private_redis  # noqa: E402

FIRST, HOUR, OPENED = 1_700_000_000, 3600, 300


def client(dice, flows):
    n = dice.randrange(flows // 10)
    return "10.%d.%d.%d" % (n >> 16 & 255, n >> 8 & 255, n & 255)


def moment(dice):
    return "%.3f" % dice.uniform(FIRST + OPENED, FIRST + HOUR - 1)


def questions(flows):
    return {
        "client's state": lambda d: ["connections", "--client", client(d, flows), "--at", moment(d)],
        "summary": lambda d: ["summary", "--by", "service,state", "--at", moment(d)],
        "client's history": lambda d: ["transitions", "--client", client(d, flows)],
    }


def fill(redis, fill_store, arguments):
    begin = time.monotonic()
    source = subprocess.Popen([fill_store, *map(str, arguments)], stdout=subprocess.PIPE)
    done = subprocess.run(["redis-cli", "-s", redis.path, "--pipe"], stdin=source.stdout, capture_output=True, text=True)
    source.stdout.close()
    if source.wait() != 0 or "errors: 0" not in done.stdout:
        raise SystemExit("query.py: filling failed: %s %s" % (done.stdout, done.stderr))
    return time.monotonic() - begin


def sent(redis):
    text = redis("INFO", "stats").decode()
    return int(text.split("total_net_output_bytes:")[1].split()[0])


def slowest(redis):
    """Of the commands that read; ms."""
    entries = [e for e in redis("SLOWLOG", "GET", "128") if e[3][0].upper() in (b"XRANGE", b"XREVRANGE", b"XINFO", b"HSCAN", b"HMGET")]
    return max((e[2] for e in entries), default=0) / 1000


def busy(redis):
    """Seconds of processor time: the server's, and of the questions so far."""
    text = redis("INFO", "cpu").decode()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (sum(float(text.split(k)[1].split()[0]) for k in ("used_cpu_user:", "used_cpu_sys:")), children.ru_utime + children.ru_stime)


def ask(spanwatch, redis, words):
    begin = time.monotonic()
    done = subprocess.run([spanwatch, "query", *words, "--redis", redis.url, "--format", "json"], capture_output=True)
    took = time.monotonic() - begin
    if done.returncode != 0:
        raise SystemExit("query.py: %s: %s" % (words, done.stderr.decode()))
    return took, json.loads(done.stdout)


def measure(spanwatch, redis, flows, runs):
    redis("CONFIG", "SET", "slowlog-log-slower-than", "1000")
    for name, make in questions(flows).items():
        dice, times, octets, rows, server, own = random.Random(1), [], [], [], [], []
        redis("SLOWLOG", "RESET")
        for _ in range(runs):
            before, cpu = sent(redis), busy(redis)
            took, answer = ask(spanwatch, redis, make(dice))
            times.append(took)
            octets.append(sent(redis) - before)
            rows.append(len(answer["rows"]))
            after = busy(redis)
            server.append(after[0] - cpu[0])
            own.append(after[1] - cpu[1])
        median = statistics.median
        print("  %-18s %7.1f ms   max %7.1f ms   processor: server %6.1f ms, query %6.1f ms   %8.0f kB sent   %5d rows   slowest command "
              "%.2f ms" % (name, median(times) * 1000, max(times) * 1000, median(server) * 1000, median(own) * 1000, median(octets) / 1000,
                           median(rows), slowest(redis)), flush=True)


def check(spanwatch, redis, flows):
    """The quick way of counting against the connections themselves."""
    dice = random.Random(2)
    for _ in range(5):
        at = moment(dice)
        counts = {}
        for row in ask(spanwatch, redis, ["connections", "--at", at])[1]["rows"]:
            key = row["service"], row["client_state"] + "/" + row["server_state"]
            counts[key] = counts.get(key, 0) + 1
        summary = {(r["service"], r["state"]): r["count"] for r in ask(spanwatch, redis, ["summary", "--at", at])[1]["rows"]}
        if counts != summary or not counts:
            raise SystemExit("query.py: at %s the summary is not what the connections are" % at)
        name = client(dice, flows)
        history = ask(spanwatch, redis, ["transitions", "--client", name])[1]["rows"]
        if any(r["client"].rpartition(":")[0] != name for r in history) or not history:
            raise SystemExit("query.py: the history of %s has others', or nothing" % name)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(HERE, "..", "..", "build"))
    parser.add_argument("--spanwatch")
    parser.add_argument("--fill-store")
    parser.add_argument("--flows", type=int, default=1_000_000)
    parser.add_argument("--transitions", type=int, default=10_000_000)
    parser.add_argument("--partitions", default="64,128,256")
    parser.add_argument("--runs", type=int, default=21)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    spanwatch = args.spanwatch or os.path.join(args.build, "spanwatch")
    fill_store = args.fill_store or os.path.join(args.build, "tests", "bench_fill_store")
    if not private_redis.is_there():
        print("query.py: skipped: there is no redis-server")
        return 77
    for partitions in map(int, args.partitions.split(",")):
        with private_redis.Server() as redis:
            took = fill(redis, fill_store, (args.flows, args.transitions, partitions))
            memory = redis("INFO", "memory").decode().split("used_memory_human:")[1].split()[0]
            print("%d partitions: filled in %.0f s, %s of memory" % (partitions, took, memory), flush=True)
            if args.check:
                check(spanwatch, redis, args.flows)
            else:
                measure(spanwatch, redis, args.flows, args.runs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
