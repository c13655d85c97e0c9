#!/usr/bin/env python3
"""`spanwatch alarms`: catches up and follows, each message once and in order, over restarts of the store; filters; hands on.

    test_alarms_follow.py PROGRAM

A redis-server of its own on a private socket; exit status 77 without one.
"""
import argparse
import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time


class Store:
    def __init__(self, folder):
        self.folder, self.socket, self.process = folder, os.path.join(folder, "r.sock"), None

    def start(self):
        self.process = subprocess.Popen(
            ["redis-server", "--port", "0", "--unixsocket", self.socket, "--dir", self.folder, "--appendonly", "yes",
             "--appendfsync", "always", "--save", ""], stdout=subprocess.DEVNULL)
        for _ in range(200):
            if self.call("PING", check=False) == "PONG":
                return
            time.sleep(0.05)
        raise SystemExit("redis-server did not start")

    def stop(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def call(self, *words, check=True):
        done = subprocess.run(["redis-cli", "-s", self.socket, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True, check=False)
        if check and done.returncode != 0:
            raise SystemExit("redis-cli %s: status %d" % (words[0], done.returncode))
        return done.stdout.strip()

    def alarm(self, probe, seq, kind="syn_flood", severity="warning", service="api", publish=True):
        ts = 1700000000 + seq
        record = {"type": "alarm", "ts": ts, "probe": probe, "seq": seq, "id": "%016x" % seq, "kind": kind,
                  "severity": severity, "status": "raised", "since": ts, "scope": {"service": service},
                  "cmdb": {"owner": "payments" if service == "api" else "web"}, "summary": "alarm %d" % seq}
        text = json.dumps(record)
        self.call("XADD", "spanwatch:{%s}:alarms" % probe, "%d000-0" % ts, "ts", str(ts), "kind", kind, "severity", severity,
                  "status", "raised", "seq", str(seq), "json", text)
        if publish:
            self.call("PUBLISH", "spanwatch:alarms", text)


class Follower:
    def __init__(self, program, store, *options):
        self.lines = []
        self.process = subprocess.Popen([program, "alarms", "--redis", "unix://" + store.socket, "--format", "json", *options],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def wait(self, expected, what):
        for _ in range(300):
            if len(self.lines) >= len(expected):
                break
            time.sleep(0.05)
        time.sleep(0.3)
        got = [(a["probe"], a["seq"]) for a in self.lines]
        if got != expected:
            raise SystemExit("%s: got %s instead of %s" % (what, got, expected))

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(10) != 0:
            raise SystemExit("alarms ended with status %d" % self.process.returncode)


def follows(program, store):
    store.call("HSET", "spanwatch:probes", "edge1", "{}")
    store.alarm("edge1", 1)
    late = Follower(program, store)                                   # from now on
    early = Follower(program, store, "--from", "1699999999")          # from the begin
    early.wait([("edge1", 1)], "catching up")
    store.alarm("edge1", 2)
    store.alarm("edge1", 3, publish=False)                            # the channel only wakes
    store.call("HSET", "spanwatch:probes", "edge2", "{}")
    store.alarm("edge2", 1)
    early.wait([("edge1", 1), ("edge1", 2), ("edge1", 3), ("edge2", 1)], "following")
    store.stop()
    time.sleep(0.5)
    store.start()
    store.alarm("edge1", 4, publish=False)
    store.alarm("edge1", 5)
    everything = [("edge1", 1), ("edge1", 2), ("edge1", 3), ("edge2", 1), ("edge1", 4), ("edge1", 5)]
    early.wait(everything, "after a restart of the store")
    late.wait(everything[1:], "the one that began later")
    early.end()
    late.end()


def filters(program, store):
    wanted = {("--kind", "churn"): 12, ("--severity", "critical"): 13, ("--service", "web"): 14, ("--cmdb", "owner=web"): 14}
    followers = {w: Follower(program, store, *w) for w in wanted}
    time.sleep(1)
    store.alarm("edge1", 11)
    store.alarm("edge1", 12, kind="churn")
    store.alarm("edge1", 13, severity="critical")
    store.alarm("edge1", 14, service="web")
    for options, follower in followers.items():
        follower.wait([("edge1", wanted[options])], " ".join(options))
        follower.end()


def hands_on(program, store, folder):
    bodies, refused = [], [2]

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            refused[0] -= 1
            if refused[0] < 0:
                bodies.append((self.path, json.loads(body)))
            self.send_response(503 if refused[0] >= 0 else 200)
            self.end_headers()

        def log_message(self, *words):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    tried, taken = os.path.join(folder, "tried"), os.path.join(folder, "taken")
    command = 'echo x >> %s; [ $(wc -l < %s) -ge 3 ] && echo "$SPANWATCH_KIND" >> %s && cat >> %s' % (tried, tried, taken, taken)
    follower = Follower(program, store, "--exec", command, "--webhook", "http://127.0.0.1:%d" % server.server_port)
    time.sleep(1)
    store.alarm("edge1", 21)
    for _ in range(200):
        if bodies:
            break
        time.sleep(0.05)
    follower.end()
    server.shutdown()
    kind, record = open(taken, encoding="utf-8").read().splitlines()
    if kind != "syn_flood" or json.loads(record)["seq"] != 21:
        raise SystemExit("--exec got %s %s" % (kind, record))
    if len(bodies) != 1 or bodies[0][0] != "/api/v2/alerts":
        raise SystemExit("--webhook got %s" % bodies)
    alert = bodies[0][1][0]
    if alert["labels"]["alertname"] != "syn_flood" or alert["startsAt"] != "2023-11-14T22:13:41Z" or "endsAt" in alert:
        raise SystemExit("--webhook got %s" % alert)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spanwatch", metavar="PROGRAM")
    args = parser.parse_args()
    if not shutil.which("redis-server") or not shutil.which("redis-cli"):
        print("skipped: no redis-server here")
        return 77
    with tempfile.TemporaryDirectory(prefix="spanwatch-alarms-") as folder:
        store = Store(folder)
        store.start()
        try:
            follows(args.spanwatch, store)
            filters(args.spanwatch, store)
            hands_on(args.spanwatch, store, folder)
        finally:
            store.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
