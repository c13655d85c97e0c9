#!/usr/bin/env python3
"""`spanwatch top` on a terminal of tmux, over a real redis-server.    test_top.py BINARY"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import private_redis
from fill import fill

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BINARY = ""
PATIENCE = 30  # seconds until something must be on the screen, on a busy machine


class Terminal:
    """A program in a terminal of its own; the shell around it stays, to show how it ended."""

    def __init__(self, folder, command, columns=80, rows=24):
        self.socket = os.path.join(tempfile.mkdtemp(dir=folder), "tmux.sock")
        self.run("-f", "/dev/null", "new-session", "-d", "-x", str(columns), "-y", str(rows),
                 command + "; echo ended with $?; sleep 1000")

    def run(self, *words):
        environment = {k: v for k, v in os.environ.items() if k != "TMUX"}
        environment.update(LC_ALL="C.UTF-8", TERM="xterm-256color")
        return subprocess.run(["tmux", "-S", self.socket, *words], capture_output=True, text=True, check=True, timeout=30,
                              env=environment).stdout

    def keys(self, *keys):
        self.run("send-keys", *keys)

    def resize(self, columns, rows):
        self.run("resize-window", "-x", str(columns), "-y", str(rows))

    def screen(self):
        return self.run("capture-pane", "-p")

    def wait(self, *patterns):
        """The screen, once it has all of these regular expressions."""
        deadline = time.monotonic() + PATIENCE
        while True:
            screen = self.screen()
            missing = [p for p in patterns if not re.search(p, screen, re.M)]
            if not missing:
                return screen
            if time.monotonic() > deadline:
                raise AssertionError("no %r on the screen:\n%s" % (missing, screen))
            time.sleep(0.05)

    def close(self):
        subprocess.run(["tmux", "-S", self.socket, "kill-server"], capture_output=True, timeout=30)


class Top(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="spanwatch-top-")
        cls.redis = private_redis.Server()
        cls.redis.start()
        services = os.path.join(ROOT, "tests", "golden", "services.json")
        cmdb = os.path.join(ROOT, "tests", "golden", "cmdb.json")
        fill(cls.redis, BINARY, "demo", os.path.join(ROOT, "pcaps", "demo.pcap"), "--services", services)
        subprocess.run([BINARY, "cmdb", "load", "--redis", cls.redis.url, cmdb], check=True, stdout=subprocess.DEVNULL, timeout=60)
        alarm = {"type": "alarm", "ts": 1795420520.0, "probe": "demo", "seq": 1, "id": "a1", "kind": "close_wait", "severity": "critical",
                 "status": "raised", "since": 1795420515.0, "scope": {"service": "database"}, "summary": "clients wait for database"}
        cls.redis("HSET", "spanwatch:{demo}:active", "a1", json.dumps(alarm))

    @classmethod
    def tearDownClass(cls):
        cls.redis.__exit__()
        cls.folder.cleanup()

    def setUp(self):
        self.terminal = None

    def tearDown(self):
        if self.terminal is not None:
            self.terminal.close()

    def start(self, *options, columns=80, rows=24):
        self.terminal = Terminal(self.folder.name, " ".join([BINARY, "top", "--every", "0.2", "--redis", self.redis.url, *options]),
                                 columns, rows)
        return self.terminal

    def test_what_it_shows_and_opens(self):
        t = self.start()
        screen = t.wait(r"^  web +\d+ ", r"^> ", r"critical close_wait .*clients wait for database")
        self.assertRegex(screen, r"(?m)^spanwatch top  2026-11-23 07:55:2\d UTC  \d+ connections  demo$")
        self.assertRegex(screen, r"(?m)^  database +7 +7$")       # half-closed, all of them
        self.assertRegex(screen, r"(?m)^  http +1 +1$")           # half-open
        self.assertRegex(screen, r"(?m)^. branch \(192.0.2.112\) +2 +2 +\d+ s database$")
        rows = subprocess.run([BINARY, "query", "clients", "--redis", self.redis.url, "--format", "json"], check=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60).stdout
        total = sum(sum(row["states"].values()) for row in json.loads(rows)["rows"])
        self.assertIn("  %d connections  demo" % total, screen)
        t.keys("/", "1", "9", "2", ".", "0", ".", "2", ".", "1", "1", "2")
        t.wait(r"^> branch \(192.0.2.112\)", r"^  none that matches")
        t.keys("Enter", "Enter")
        screen = t.wait(r"^192.0.2.112  branch  \d+ changes", r"FIN_WAIT_2/CLOSE_WAIT +ack$", r"SYN_SENT/CLOSED +syn$")
        self.assertIn("192.0.2.10:5432", screen)
        t.keys("q")
        t.wait(r"^> branch \(192.0.2.112\)")
        t.keys("Escape")
        t.wait(r"^  web ")
        t.keys("3", "Enter")
        t.wait(r'^  "summary": "clients wait for database"')
        t.keys("q", "1", "Enter")
        t.wait(r"^web: \d+ connections", r"^  TIME_WAIT/CLOSED +\d+$")
        t.keys("q", "h")
        t.wait(r"^Help", r"HALF-CLOSED ")
        t.keys("q", "q")
        t.wait("^ended with 0$")

    def test_sorting(self):
        t = self.start()
        t.wait(r"^> ", "s sort: trouble")
        t.keys("s", "s", "s", "s", "s")
        t.wait("s sort: name", r"^> branch \(192.0.2.101\)")

    def test_sizes(self):
        t = self.start()
        t.wait(r"^> ")
        t.resize(60, 12)
        screen = t.wait(r"(?s)\A(?:[^\n]*\n){12}\Z")
        self.assertLessEqual(max(map(len, screen.splitlines())), 60)
        t.wait(r"^> .*192.0.2", "^q quit")
        t.resize(30, 5)
        t.wait("^40x10 at least")
        t.resize(160, 50)
        t.wait(r"^> branch \(192.0.2.\d+\) {20}", r"^  kiosk-é \(2001:db8::103\)", "^q quit")

    def test_a_store_that_goes_and_comes_back(self):
        t = self.start()
        t.wait(r"^> ")
        self.redis.process.send_signal(signal.SIGSTOP)
        try:
            t.wait(r"^this is \d+ s old, trying again: ", r"^> ")
            t.keys("h")
            t.wait("^Help")  # it does not wait for the store
            t.keys("q")
        finally:
            self.redis.process.send_signal(signal.SIGCONT)
        t.wait(r"\A[^\n]*\n(?!this is)", r"^> ")
        hidden = self.redis.path + ".hidden"
        os.rename(self.redis.path, hidden)  # a connection that stands is cut, a new one finds no socket
        try:
            self.redis("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            t.wait(r"^this is \d+ s old, trying again: .*cannot be reached")
        finally:
            os.rename(hidden, self.redis.path)
        t.wait(r"\A[^\n]*\n(?!this is)", r"^> ")
        t.keys("q")
        t.wait("^ended with 0$")

    def test_before_the_first_answer(self):
        t = Terminal(self.folder.name, BINARY + " top --redis unix:///nowhere/redis.sock")
        self.terminal = t
        t.wait("^trying again: .*cannot be reached", r"^  \.\.\.")
        t.keys("Enter", "s", "Tab", "Enter", "q")
        t.wait("^ended with 0$")

    def test_new_data_and_pause(self):
        t = self.start()
        t.wait(r"critical close_wait")
        t.keys("p")
        t.wait("PAUSED")
        time.sleep(1)
        other = {"type": "alarm", "kind": "syn_flood", "severity": "warning", "since": 1795420516.0, "id": "b", "summary": "late"}
        self.redis("HSET", "spanwatch:{demo}:active", "b", json.dumps(other))
        time.sleep(1)
        self.assertNotIn("syn_flood", t.screen())
        t.keys("p")
        t.wait(r"warning  syn_flood .* late")
        self.redis("HDEL", "spanwatch:{demo}:active", "b")
        deadline = time.monotonic() + PATIENCE
        while "syn_flood" in t.screen():
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.1)

    def test_no_terminal(self):
        done = subprocess.run([BINARY, "top", "--redis", self.redis.url], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=30)
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("must be a terminal", done.stderr)
        for words, why in ((["--every", "0"], "from 0.2 to 3600"), (["x"], 'found "x"'), (["--probe", "a b"], "--probe")):
            done = subprocess.run([BINARY, "top", *words], capture_output=True, text=True, timeout=30)
            self.assertEqual(done.returncode, 2)
            self.assertIn(why, done.stderr)


if __name__ == "__main__":
    if len(sys.argv) < 2 or not os.access(sys.argv[1], os.X_OK):
        print("skipped: usage is test_top.py BINARY, and the binary must be there")
        sys.exit(77)
    if not private_redis.is_there() or shutil.which("tmux") is None:
        print("skipped: no redis-server, or no tmux, here")
        sys.exit(77)
    BINARY = os.path.abspath(sys.argv.pop(1))
    unittest.main()
