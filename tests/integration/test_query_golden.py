#!/usr/bin/env python3
"""Answers of `spanwatch query` as people and programs get them, octet by octet.    test_query_golden.py BINARY [--accept]

A capture goes into a redis-server of the test's own by `read --redis`, names and attributes by `cmdb load`; then the
questions below are asked. query_golden.txt has each command and its standard output; --accept writes it anew.
"""
import difflib
import json
import os
import subprocess
import sys
import tempfile

import private_redis

HERE = os.path.dirname(os.path.abspath(__file__))
PCAPS = os.path.join(os.path.dirname(os.path.dirname(HERE)), "pcaps")
EXPECTED = os.path.join(HERE, "query_golden.txt")
NAMES = {
    "cmdb": {"http": {"owner": "web-team", "tier": 1, "site": "Ulm, \"south\""}, "postgresql": {"owner": "data-team", "tier": 2}},
    "clients": [{"address": "192.0.2.96/28", "name": "branch"}, {"address": "192.0.2.104", "name": "pos-terminal-17"},
                {"address": "2001:db8::/64", "name": "labor-ä"}],
}
QUESTIONS = """
connections --at -4s
connections --at -4s --client branch --format csv
connections --at -4s --client pos-terminal-17 --format json
connections --at -4s --client labor-ä --state TIME_WAIT
connections --at -4s --server [2001:db8::10]:80 --format json --limit 1
connections --at -4s --cmdb owner=data-team --client-state FIN_WAIT_2
summary --at -4s
summary --at -4s --by cmdb.owner,state --format csv
summary --at -4s --by server,service --format json
summary --at -4s --by client --client 192.0.2.0/24 --limit 3
summary --at -4s --by cmdb.tier --cmdb owner=web-team
clients --at -4s --service http
clients --at -4s --client pos-terminal-17 --format json
clients --at -4s --service postgresql --format csv
diff --from -8s --to -4s --service postgresql
diff --from -8s --to -4s --client pos-terminal-17 --format json
transitions --client 192.0.2.115
transitions --client 192.0.2.115 --format csv --limit 2
alarms --severity critical
active --kind syn_flood --format json
"""


def run(*words, status=0):
    done = subprocess.run(words, capture_output=True, timeout=60, env=dict(os.environ, LC_ALL="C", TZ="UTC"))
    if done.returncode != status:
        raise SystemExit("test_query_golden: %s: %s" % (words, done.stderr.decode()))
    return done.stdout.decode()


def answers(binary, redis):
    """Of a store with ten partitions: how many there are may not show."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as names:
        json.dump(NAMES, names)
        names.flush()
        run(binary, "cmdb", "load", "--redis", redis.url, names.name)
    run(binary, "read", "--redis", redis.url, "--format", "none", "--set", "store.partitions=10", os.path.join(PCAPS, "demo.pcap"))
    for question in QUESTIONS.strip().splitlines():
        yield "$ query %s\n%s\n" % (question, run(binary, "query", *question.split(), "--redis", redis.url).replace("\r\n", "<CR>\n"))


def main():
    if not private_redis.is_there():
        print("test_query_golden: skipped: there is no redis-server")
        return 77
    with private_redis.Server() as redis:
        found = "".join(answers(os.path.abspath(sys.argv[1]), redis))
    if "--accept" in sys.argv:
        with open(EXPECTED, "w", encoding="utf-8") as f:
            f.write(found)
        return 0
    with open(EXPECTED, encoding="utf-8") as f:
        expected = f.read()
    sys.stdout.writelines(difflib.unified_diff(expected.splitlines(True), found.splitlines(True), "expected", "found"))
    return int(found != expected)


if __name__ == "__main__":
    sys.exit(main())
