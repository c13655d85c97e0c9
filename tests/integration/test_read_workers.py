#!/usr/bin/env python3
"""`read --workers N --redis`: the store holds the same entries, with the same IDs, whatever N.    test_read_workers.py BINARY GENERATE

Every stream and hash of a generated capture, with 1, 2 and 3 workers; the same after a read that was cut short by `kill -9` and
gone on with by `--resume` and another number of workers; and while the capture is a pipe that stands still, what came before the
pause is stored, and the lock is kept.
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
import private_redis

NAME = "workers"
BINARY = GENERATE = None


def texts(value):
    if isinstance(value, bytes):
        return value.decode()
    return [texts(v) for v in value] if isinstance(value, list) else value


def contents(redis):
    """{key: what it holds}, but for the lock and what tells of the run and not of the capture."""
    found = {}
    for key in texts(redis("KEYS", "*")):
        kind = texts(redis("TYPE", key))
        if kind == "stream":
            found[key] = texts(redis("XRANGE", key, "-", "+"))
        elif kind == "hash" and not key.endswith(":status") and key != "spanwatch:probes":
            found[key] = texts(redis("HGETALL", key))
    return found


class Store(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="spanwatch-workers-")
        cls.capture = os.path.join(cls.folder, "churn.pcap")
        subprocess.run([GENERATE, "--seed", "5", "--connections", "1500", "--rate", "200", "--rst-permille", "50", "churn",
                        cls.capture], check=True)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def command(self, redis, workers, *more):
        return [BINARY, "read", "--name", NAME, "--redis", redis.url, "--format", "none", "--set", "snapshot.period=1",
                "--set", "store.partitions=4", "--workers", str(workers), *more]

    def whole(self, workers):
        with private_redis.Server() as redis:
            subprocess.run(self.command(redis, workers, self.capture), check=True, timeout=300)
            return contents(redis)

    def test_same_entries(self):
        one = self.whole(1)
        self.assertGreater(sum(len(v) for k, v in one.items() if k.endswith(":transitions")), 10000)
        self.assertTrue(any(k.endswith(":snapshots") for k in one))
        for workers in (2, 3):
            self.assertEqual(self.whole(workers), one, f"--workers {workers}")

    def test_resume(self):
        one = self.whole(1)
        with private_redis.Server() as redis, open(self.capture, "rb") as f:
            octets = f.read()
            with subprocess.Popen(self.command(redis, 2, "-"), stdin=subprocess.PIPE) as p:
                p.stdin.write(octets[:len(octets) // 2])
                p.stdin.flush()
                until = time.monotonic() + 60
                while redis("EXISTS", "spanwatch:{%s/0}:transitions" % NAME) == 0 and time.monotonic() < until:
                    time.sleep(0.02)
                os.kill(p.pid, signal.SIGKILL)
                try:
                    p.stdin.close()
                except BrokenPipeError:
                    pass
            redis("DEL", "spanwatch:{%s}:lock" % NAME)
            subprocess.run(self.command(redis, 3, "--resume", self.capture), check=True, timeout=300)
            self.assertEqual(contents(redis), one)

    def test_pause(self):
        with private_redis.Server() as redis, open(self.capture, "rb") as f:
            octets = f.read()
            lock, streams = "spanwatch:{%s}:lock" % NAME, ["spanwatch:{%s/%d}:transitions" % (NAME, n) for n in range(4)]
            with subprocess.Popen(self.command(redis, 2, "-"), stdin=subprocess.PIPE) as p:
                p.stdin.write(octets[:len(octets) // 2])
                p.stdin.flush()
                count, until = 0, time.monotonic() + 60
                while count < 5000 and time.monotonic() < until:
                    time.sleep(0.05)
                    count = sum(redis("XLEN", s) for s in streams)
                self.assertGreaterEqual(count, 5000)
                time.sleep(12)  # longer than a lock that nobody renews
                self.assertEqual(redis("EXISTS", lock), 1)
                p.stdin.write(octets[len(octets) // 2:])
                p.stdin.close()
                self.assertEqual(p.wait(timeout=120), 0)
            self.assertEqual(contents(redis), self.whole(1))


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    if shutil.which("redis-server") is None:
        print("there is no redis-server")
        sys.exit(77)
    BINARY, GENERATE = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    unittest.main(argv=sys.argv[:1])
