#!/usr/bin/env python3
"""A live probe and the CMDB of its store: at the start, on SIGHUP, with a store that is away. As root.    test_cmdb_probe.py BINARY"""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import private_redis

BINARY = ""
PATIENCE = 60


def has_capture():
    """May this user open lo for capturing?"""
    import socket
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
        return os.geteuid() == 0
    except OSError:
        return False


class CmdbProbe(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        os.chmod(self.folder.name, 0o755)  # the probe reads it as nobody
        self.redis = private_redis.Server("--unixsocketperm", "777")
        os.chmod(self.redis.folder, 0o755)
        self.errors = open(os.path.join(self.folder.name, "errors"), "w+", encoding="utf-8")
        self.process = None

    def tearDown(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.errors.close()
        self.redis.__exit__()
        self.folder.cleanup()

    def write(self, text):
        with open(os.path.join(self.folder.name, "cmdb.csv"), "w", encoding="utf-8") as f:
            f.write(text)

    def probe(self, *options):
        environment = dict(os.environ, ASAN_OPTIONS="detect_leaks=0")  # the leak checker cannot work confined
        self.process = subprocess.Popen(
            [BINARY, "probe", "-i", "lo", "--name", "p", "--filter", "port 1", "--format", "none", "--redis", self.redis.url,
             "--set", "state_folder=" + os.path.join(self.folder.name, "state"), *options], stderr=self.errors, env=environment)

    def said(self):
        with open(self.errors.name, encoding="utf-8") as f:
            return f.read()

    def wait(self, what):
        deadline = time.monotonic() + PATIENCE
        while not what():
            self.assertIsNone(self.process.poll(), self.said())
            self.assertLess(time.monotonic(), deadline, self.said())
            time.sleep(0.05)

    def services(self):
        flat = self.redis("HGETALL", "spanwatch:cmdb")
        return {k.decode(): json.loads(v) for k, v in zip(flat[::2], flat[1::2])}

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.assertEqual(self.process.wait(PATIENCE), 0, self.said())

    def test_start_and_reload(self):
        self.redis.start()
        self.write("service,owner\nweb,ops\n")
        self.probe("--cmdb", os.path.join(self.folder.name, "cmdb.csv"))
        self.wait(lambda: self.services() == {"web": {"owner": "ops"}})
        self.write("service,owner\nweb,ops,x\n")
        self.process.send_signal(signal.SIGHUP)
        self.wait(lambda: "stays as it was" in self.said())
        self.assertIn("cmdb.csv:2: found 3 columns", self.said())
        self.assertEqual(self.services(), {"web": {"owner": "ops"}})
        self.write("service,owner\ndb,data\n")
        self.process.send_signal(signal.SIGHUP)
        self.wait(lambda: self.services() == {"db": {"owner": "data"}})
        self.end()

    def test_a_store_that_comes_later(self):
        self.write("service,owner\nweb,ops\n")
        self.probe("--cmdb", os.path.join(self.folder.name, "cmdb.csv"))
        self.wait(lambda: "cmdb: the store has not got it" in self.said())
        self.redis.start()
        self.wait(lambda: self.services() == {"web": {"owner": "ops"}})
        self.assertEqual(self.said().count("has not got it"), 1)
        self.end()

    def test_the_end_does_not_wait_for_a_silent_store(self):
        self.redis.start()
        self.write("service,owner\nweb,ops\n")
        self.probe("--cmdb", os.path.join(self.folder.name, "cmdb.csv"))
        self.wait(lambda: self.services() != {})
        self.redis.process.send_signal(signal.SIGSTOP)
        try:
            self.write("service,owner\ndb,data\n")
            self.process.send_signal(signal.SIGHUP)
            self.wait(lambda: "configuration loaded" in self.said())
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(PATIENCE)
        finally:
            self.redis.process.send_signal(signal.SIGCONT)
        self.assertIn(self.process.returncode, (0, 1), self.said())


if __name__ == "__main__":
    if len(sys.argv) < 2 or not os.access(sys.argv[1], os.X_OK):
        print("skipped: usage is test_cmdb_probe.py BINARY, and the binary must be there")
        sys.exit(77)
    if not private_redis.is_there() or not has_capture():
        print("skipped: no redis-server here, or no right to capture")
        sys.exit(77)
    BINARY = os.path.abspath(sys.argv.pop(1))
    unittest.main()
