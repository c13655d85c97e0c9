#!/usr/bin/env python3
"""A probe that ends, in order or by kill -9, and starts again: its connections go on under the same `flow`, what happened
meanwhile is found out, and the time that was missed is a gap record.    test_warm_start.py BINARY [TEST]...

Four connections: one speaks on after the restart, one was closed while nobody watched, one was reset then, one is closed
in order after it. With several workers, each of them has its own address, and the second run may have more workers or fewer.
"""
import json
import os
import signal
import socket
import struct
import subprocess
import time

import live_store
import store_truth as truth
from live_store import ENVIRONMENT, live_probe, netns

NAME = "warm"
PORT = 7001
ADDRESSES = [live_probe.ADDRESS["client"]] + ["10.78.0.%d" % n for n in range(11, 18)]


class WarmStart(live_store.Case):
    NAME = NAME
    SETTINGS = ("--set", "snapshot.period=1")

    def setUp(self):
        super().setUp()
        with self.cable.client:
            for address in ADDRESSES[1:]:
                netns.ip("addr", "add", address + "/24", "dev", "eth0")
        self.redis = self.server(aof=True)
        self.redis.__enter__()

    def tearDown(self):
        super().tearDown()
        self.redis.__exit__()

    def start(self, *options):
        with open(self.errors, "wb"):
            pass  # told() is of this run
        super().start("--redis", self.redis.url, *options)
        self.wait_for_words("capturing")
        time.sleep(0.3)

    def ask(self, *words):
        done = subprocess.run((self.BINARY, "query") + words + ("--redis", self.redis.url, "--probe", NAME, "--format", "json"),
                              capture_output=True, text=True, check=True, env=ENVIRONMENT)
        return json.loads(done.stdout, parse_float=str)

    def transitions(self, near):
        address = "%s:%d" % near
        return self.ask("transitions", "--client", address)["rows"]

    def pair(self, listener, address=ADDRESSES[0]):
        with self.cable.client:
            near = socket.create_connection((live_probe.ADDRESS["server"], PORT), 20, (address, 0))
        name = near.getsockname()
        far, _ = listener.accept()
        near.sendall(b"question")
        far.recv(100)
        far.sendall(b"answer")
        near.recv(100)
        return near, far, name

    def restart(self, number, before=1, after=1):
        self.start("--workers", str(before))
        with self.cable.listen(PORT) as listener:
            pairs = [self.pair(listener, address) for address in ADDRESSES]
            (near, far, speaks), (near1, far1, closed), (near2, far2, reset), (near3, far3, later) = pairs[:4]
            time.sleep(2.5)  # a keyframe, and everything stored
            self.end(number)
            stopped = time.time()
            near1.close()
            far1.close()
            near2.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            near2.close()
            time.sleep(1)
            self.redis("DEL", "spanwatch:{warm}:status")  # as after a longer time: it expires
            self.start("--workers", str(after))
            started = time.time()
            for one, other, _ in pairs[:1] + pairs[4:]:
                one.sendall(b"more")
                other.recv(100)
            near3.close()
            far3.recv(100)
            far3.close()
            time.sleep(3)
            self.check_known(speaks, closed, reset, later)
            self.check_gap(stopped, started)
            for one, other, _ in pairs[:1] + pairs[4:]:
                one.close()
                other.close()
            far2.close()
            time.sleep(1.5)
        self.end(signal.SIGTERM)
        for _, _, name in pairs[:1] + pairs[4:]:
            rows = self.transitions(name)
            self.assertEqual((rows[-1]["client_state"], rows[-1]["server_state"]), ("TIME_WAIT", "CLOSED"), rows)
            self.assertEqual(len({row["flow"] for row in rows}), 1, rows)
            self.assertLessEqual({row.get("inferred", "gap") for row in rows}, {"gap"}, rows)  # both directions came to it

    def check_known(self, speaks, closed, reset, later):
        open_now = {row["client"]: row for row in self.ask("connections")["rows"]}
        for near in (speaks, later):
            flows = {row["flow"] for row in self.transitions(near)}
            self.assertEqual(len(flows), 1, "another flow after the restart: %s" % self.transitions(near))
        name = "%s:%d" % speaks
        self.assertEqual((open_now[name]["client_state"], open_now[name]["server_state"]), ("ESTABLISHED", "ESTABLISHED"))
        name = "%s:%d" % later
        self.assertEqual((open_now[name]["client_state"], open_now[name]["server_state"]), ("TIME_WAIT", "CLOSED"))
        # what nobody saw is not made up: these still stand as they were
        for near in (closed, reset):
            self.assertEqual(open_now["%s:%d" % near]["client_state"], "ESTABLISHED")
        for near in (speaks, closed, reset, later):
            was = ("CLOSED", "CLOSED")
            for row in self.transitions(near):
                self.assertEqual((row.get("client_was", row["client_state"]), row.get("server_was", row["server_state"])), was)
                was = (row["client_state"], row["server_state"])

    def check_gap(self, stopped, started):
        gaps = [g for g in self.ask("transitions")["gaps"] if g["why"] == "the probe was down"]
        self.assertEqual(len(gaps), 1, gaps)
        self.assertEqual(gaps[0]["what"], "packets")
        self.assertLessEqual(float(gaps[0]["from"]), stopped + 0.1)
        self.assertGreaterEqual(float(gaps[0]["from"]), stopped - 3)
        self.assertLessEqual(float(gaps[0]["to"]), started)
        self.assertGreater(float(gaps[0]["to"]), stopped)

    def test_ends_in_order(self):
        self.restart(signal.SIGTERM)
        self.assertIn("connections of the last run", self.told())

    def test_ends_in_order_with_fewer_workers_after(self):
        self.restart(signal.SIGTERM, before=3, after=2)
        self.assertIn("with 8 connections of the last run", self.told())

    def test_is_killed_with_more_workers_after(self):
        self.restart(signal.SIGKILL, before=2, after=3)
        self.assertIn("with 8 connections that the store knows", self.told())

    def test_is_killed(self):
        self.restart(signal.SIGKILL)
        self.assertIn("connections that the store knows", self.told())

    def test_damaged_checkpoint(self):
        self.start()
        with self.cable.listen(PORT) as listener:
            near, far, name = self.pair(listener)
            time.sleep(2.5)
            self.end(signal.SIGTERM)
            path = os.path.join(self.state, NAME + ".flows")
            with open(path, "r+b") as f:
                f.seek(200)
                octet = f.read(1)
                f.seek(200)
                f.write(bytes([octet[0] ^ 1]))
            self.start()
            self.assertIn("damaged", self.told())
            self.assertIn("connections that the store knows", self.told())
            near.sendall(b"more")
            far.recv(100)
            near.close()
            far.close()
            time.sleep(1.5)
            self.assertEqual(len({row["flow"] for row in self.transitions(name)}), 1)
        self.assertFalse(os.path.exists(path))
        self.end(signal.SIGTERM)


if __name__ == "__main__":
    live_store.main()
