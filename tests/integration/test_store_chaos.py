#!/usr/bin/env python3
"""The store under chaos: a capture is read into a redis-server that is killed, paused, filled, cut off, and lied to.
Afterwards every transition is in the streams exactly once and in order, losses only with gap records.

    test_store_chaos.py BINARY [--long] [TEST]...      --long: pauses of 30 s
"""
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import private_redis
import store_truth as truth

BINARY, PAUSE = "", 3.0
NAME = "chaos"
SECONDS = 2.0  # of feeding
CONNECTIONS = 2500


STEPS = []


def later(seconds, step):
    STEPS.append(threading.Timer(seconds, step))
    STEPS[-1].start()


def ended(result):
    """What `result` is, once every later step is done."""
    while STEPS:
        STEPS.pop().join(truth.LIMIT)
    return result


class Chaos(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="spanwatch-chaos-")
        cls.capture = os.path.join(cls.folder.name, "c.pcap")
        cls.octets = truth.pcapfile.pcap_octets(truth.traffic(CONNECTIONS, 7))
        with open(cls.capture, "wb") as f:
            f.write(cls.octets)
        cls.expected = truth.records(BINARY, NAME, cls.capture)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def feed(self, url, steps, *options, seconds=SECONDS):
        process = truth.read(BINARY, url, NAME, "-", *options, stdin=subprocess.PIPE)
        feeder = truth.Feeder(process.stdin, self.octets, seconds, steps)
        process.stdin = None  # the feeder's
        feeder.start()
        return process, feeder

    def run_with(self, url, steps, *options, **more):
        status, errors = ended(truth.finish(*self.feed(url, steps, *options, **more)))
        self.assertEqual(status, 0, errors)
        return errors

    def check_all(self, redis, missing=0, **more):
        self.assertEqual(truth.check(redis, NAME, self.expected, **more), missing)
        if missing == 0:
            truth.check_connections(redis, NAME, self.expected)

    def test_nothing_happens(self):
        with truth.Server() as redis:
            self.run_with(redis.url, [], seconds=0)
            self.check_all(redis)
            self.assertEqual(redis("EXISTS", "spanwatch:{chaos}:gaps"), 0)

    def test_input_stands_still(self):
        """What has come is stored meanwhile, and the lock is kept for longer than it lives by itself."""
        with truth.Server() as redis:
            def step():
                stored = lambda: sum(redis("XLEN", "spanwatch:{chaos/%d}:transitions" % p) for p in range(16))
                truth.wait_for("what has come to be stored", lambda: stored() > len(self.expected) / 4)
                token = redis("GET", "spanwatch:{chaos}:lock")
                time.sleep(12)
                self.assertEqual(redis("GET", "spanwatch:{chaos}:lock"), token)
                self.assertGreater(redis("PTTL", "spanwatch:{chaos}:lock"), 5000)
            self.run_with(redis.url, [(0.5, step)])
            self.check_all(redis)
            self.assertIsNone(redis("GET", "spanwatch:{chaos}:lock"))

    def restart(self, redis):
        def step():
            redis.kill()
            later(0.3, redis.start)
        return step

    def test_killed_with_append_only_file(self):
        with truth.Server(aof=True) as redis:
            errors = self.run_with(redis.url, [(0.3, self.restart(redis)), (0.7, self.restart(redis))])
            self.assertIn("reached again", errors)
            self.check_all(redis)

    def test_killed_without_persistence(self):
        """What is kept (here: all of the run) comes again."""
        with truth.Server() as redis:
            self.run_with(redis.url, [(0.5, self.restart(redis))], "--set", "store.keep_s=600")
            self.check_all(redis)

    def test_killed_without_persistence_and_little_kept(self):
        """What is older than what is kept is lost, and gap records count it exactly."""
        with truth.Server() as redis:
            process, feeder = self.feed(redis.url, [(0.8, self.restart(redis))], "--set", "store.keep_s=1",
                                        seconds=2 * SECONDS)
            _, errors = ended(truth.finish(process, feeder))
            missing = truth.check(redis, NAME, self.expected)
            self.assertGreater(missing, 0, errors)
            self.assertEqual(sum(n for _, _, n in truth.gaps(redis, NAME, "transitions")), missing)

    def test_paused(self):
        with truth.Server() as redis:
            def step():
                redis.pause()
                later(PAUSE, redis.go_on)
            self.run_with(redis.url, [(0.3, step)])
            self.check_all(redis)

    def test_out_of_memory(self):
        with truth.Server() as redis:
            def full():
                used = int(redis("INFO", "memory").decode().split("used_memory:")[1].split()[0])
                redis("CONFIG", "SET", "maxmemory", used + (1 << 19))
                later(2.0, lambda: redis("CONFIG", "SET", "maxmemory", 0))
            errors = self.run_with(redis.url, [(0.3, full)])
            self.assertIn("OOM", errors)
            self.check_all(redis)

    def test_read_only(self):
        with truth.Server() as redis:
            def replica():
                redis("REPLICAOF", "127.0.0.1", 1)
                later(1.0, lambda: redis("REPLICAOF", "NO", "ONE"))
            errors = self.run_with(redis.url, [(0.3, replica)])
            self.assertIn("READONLY", errors)
            self.check_all(redis)

    def test_too_few_replicas(self):
        with truth.Server() as redis:
            def demand():
                redis("CONFIG", "SET", "min-replicas-to-write", 1)
                later(1.0, lambda: redis("CONFIG", "SET", "min-replicas-to-write", 0))
            errors = self.run_with(redis.url, [(0.3, demand)])
            self.assertIn("NOREPLICAS", errors)
            self.check_all(redis)

    def test_busy_and_flushed_scripts(self):
        with truth.Server("--busy-reply-threshold", "100") as redis:
            def busy():
                slow = private_redis.Connection(redis.path)
                words = ("EVAL", "local t=redis.call('TIME') repeat local n=redis.call('TIME') "
                                 "until (n[1]-t[1])*1000000+n[2]-t[2]>1000000 return 1", "0")
                slow(*words)
                slow.close()
                redis("SCRIPT", "FLUSH")
            self.run_with(redis.url, [(0.3, lambda: later(0, busy))], seconds=2 * SECONDS)
            self.check_all(redis)

    def test_password_changed(self):
        with truth.Server() as redis:
            redis("CONFIG", "SET", "requirepass", "one")
            def change():
                redis("CONFIG", "SET", "requirepass", "two")
                redis("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
                later(1.0, lambda: redis("CONFIG", "SET", "requirepass", "one"))
            errors = self.run_with("unix://:one@" + redis.path, [(0.3, change)])
            self.assertIn("WRONGPASS", errors)
            self.assertNotIn("one@", errors)
            self.check_all(redis)

    def relayed(self, *steps, **more):
        with truth.Server() as redis:
            relay = truth.Relay(redis)
            try:
                self.run_with(relay.url, [(share, lambda step=step: step(relay)) for share, step in steps], **more)
            finally:
                relay.close()
            self.check_all(redis)

    def test_connection_cut(self):
        self.relayed(*[(share / 10, truth.Relay.cut) for share in range(1, 10)])

    def test_connection_delayed(self):
        def slow(relay):
            relay.delay = 0.05
        def fast(relay):
            relay.delay = 0.0
        self.relayed((0.2, slow), (0.4, truth.Relay.cut), (0.7, fast))

    def test_connection_throttled(self):
        def slow(relay):
            relay.rate = 300000
        def fast(relay):
            relay.rate = None
        self.relayed((0.2, slow), (0.5, truth.Relay.cut), (0.6, fast))

    def test_connection_half_closed(self):
        self.relayed((0.3, truth.Relay.half_close), (0.6, truth.Relay.half_close))

    def test_entry_from_elsewhere(self):
        """An entry of now among those of the past: it is left alone while ours can go on, taken out where they cannot."""
        with truth.Server() as redis:
            redis("XADD", "scratch", "1-0", "a", "b")
            redis("XADD", "scratch", "9-0", "a", "b")
            redis("XDEL", "scratch", "9-0")
            try:
                redis("XSETID", "scratch", "1-0")
            except RuntimeError as answer:
                self.skipTest(f"this server's streams cannot be mended: {answer}")
            def absurd():
                for p in range(16):
                    redis("XADD", "spanwatch:{chaos/%d}:transitions" % p, "99999999999999-0", "what", "absurd")
            def near():
                own, key = private_redis.Connection(redis.path), "spanwatch:{chaos/3}:transitions"
                def last():
                    entries = own("XREVRANGE", key, "+", "-", "COUNT", 1)
                    return int(entries[0][0].decode().split("-")[0]) if entries else 10**14
                truth.wait_for("the stream goes on", lambda: last() < 10**13)
                own("XADD", key, f"{last() + 3}-0", "what", "near")
                own.close()
            steps = [(0.2, absurd), (0.5, lambda: later(0, near))]
            errors = self.run_with(redis.url, steps, seconds=2 * SECONDS)
            self.assertIn("99999999999999-0", errors)
            self.check_all(redis, foreign=1)

    def test_stream_deleted(self):
        """By an eviction or by hand: what is kept comes again."""
        with truth.Server() as redis:
            self.run_with(redis.url, [(0.5, lambda: redis("DEL", "spanwatch:{chaos/3}:transitions"))], "--set",
                          "store.keep_s=600")
            self.check_all(redis)

    def test_reader_killed_and_resumed(self):
        with truth.Server() as redis:
            process, feeder = self.feed(redis.url, [])
            time.sleep(SECONDS / 2)
            process.send_signal(signal.SIGKILL)
            process.communicate()
            feeder.join(truth.LIMIT)
            self.assertGreater(redis("EXISTS", "spanwatch:{chaos/3}:transitions"), 0)
            refused = truth.finish(truth.read(BINARY, redis.url, NAME, self.capture))
            self.assertEqual(refused[0], 1)
            self.assertIn("--replace", refused[1])
            status, errors = truth.finish(truth.read(BINARY, redis.url, NAME, self.capture, "--resume"))
            self.assertEqual(status, 0, errors)
            self.check_all(redis)
            status, errors = truth.finish(truth.read(BINARY, redis.url, NAME, self.capture, "--replace"))
            self.assertEqual(status, 0, errors)
            self.check_all(redis)
            status, errors = truth.finish(truth.read(BINARY, redis.url, NAME, self.capture, "--resume", "--set",
                                                     "tracker.time_wait=7"))
            self.assertEqual(status, 1, errors)
            self.assertIn("--resume", errors)


if __name__ == "__main__":
    if not private_redis.is_there():
        print("skipped: there is no redis-server here")
        sys.exit(77)
    BINARY = os.path.abspath(sys.argv.pop(1))
    if "--long" in sys.argv:
        sys.argv.remove("--long")
        PAUSE, truth.LIMIT = 30.0, 300.0
    unittest.main(warnings="ignore")
