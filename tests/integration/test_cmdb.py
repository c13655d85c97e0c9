#!/usr/bin/env python3
"""`spanwatch cmdb load` and a real redis-server.    test_cmdb.py BINARY"""
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import unittest

import private_redis

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BINARY = ""


class Cmdb(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.redis = private_redis.Server()
        self.redis.start()

    def tearDown(self):
        self.redis.__exit__()
        self.folder.cleanup()

    def file(self, name, content):
        path = os.path.join(self.folder.name, name)
        with open(path, "w", encoding="utf-8") as f:
            f.write(content if isinstance(content, str) else json.dumps(content))
        return path

    def load(self, *files, status=0, options=()):
        done = subprocess.run([BINARY, "cmdb", "load", "--redis", self.redis.url, *options, *files], capture_output=True,
                              timeout=60, text=True, env=dict(os.environ, LC_ALL="C"))
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual(done.stderr.count("\n"), status != 0, done.stderr)
        return done.stdout if status == 0 else done.stderr

    def hash(self, key):
        flat = self.redis("HGETALL", key)
        return {k.decode(): json.loads(v) for k, v in zip(flat[::2], flat[1::2])}

    def writes(self):
        """How many of the commands that `cmdb load` writes with the server has had."""
        stats = self.redis("INFO", "commandstats").decode()
        return re.findall(r"cmdstat_(?:hset|exec|rename|unlink|expire):calls=\d+", stats)

    def keys(self):
        return sorted(key.decode() for key in self.redis("KEYS", "*"))

    CLIENTS = [{"address": "10.7.0.17/32", "name": "pos-terminal-17", "site": "Ulm"}, {"address": "2001:DB8:0::/32", "name": "ü"}]

    def test_what_the_store_holds(self):
        path = self.file("c.json", {"cmdb": {"https": {"owner": "web-team", "tier": 1}, "db": {}}, "clients": self.CLIENTS})
        text = self.load(path)
        self.assertEqual(self.hash("spanwatch:cmdb"), {"https": {"owner": "web-team", "tier": 1}, "db": {}})
        self.assertEqual(self.hash("spanwatch:clients"),
                         {"10.7.0.17": {"name": "pos-terminal-17", "site": "Ulm"}, "2001:db8::/32": {"name": "ü"}})
        self.assertIn('added service https: {"owner":"web-team","tier":1}\n', text)
        self.assertIn("services: 2; 2 added, 0 changed, 0 removed\nclients: 2; 2 added, 0 changed, 0 removed\n", text)
        self.assertEqual(self.load(path), "services: 2, as before\nclients: 2, as before\n")
        self.assertEqual(self.keys(), ["spanwatch:clients", "spanwatch:cmdb"])
        self.assertEqual([self.redis("TTL", key) for key in self.keys()], [-1, -1])

    def test_what_vanished_from_the_file(self):
        self.load(self.file("c.json", {"cmdb": {"a": {"x": 1}, "b": {}, "c": {}}, "clients": self.CLIENTS}))
        text = self.load(self.file("c.json", {"cmdb": {"a": {"x": 2}, "b": {}}}))
        self.assertEqual(self.hash("spanwatch:cmdb"), {"a": {"x": 2}, "b": {}})
        self.assertEqual(self.hash("spanwatch:clients"), {})
        self.assertIn('changed service a: {"x":2}, was {"x":1}\n', text)
        self.assertIn("removed service c: {}\n", text)
        self.assertIn('removed client 10.7.0.17: {"name":"pos-terminal-17","site":"Ulm"}\n', text)
        self.assertIn("services: 2; 0 added, 1 changed, 1 removed\nclients: 0; 0 added, 0 changed, 2 removed\n", text)

    def test_csv_speaks_of_one_kind(self):
        self.load(self.file("c.json", {"cmdb": {"a": {}}, "clients": self.CLIENTS}))
        self.assertNotIn("clients", self.load(self.file("s.csv", "service,owner\nb,ops\n")))
        self.assertEqual(self.hash("spanwatch:cmdb"), {"b": {"owner": "ops"}})
        self.assertEqual(len(self.hash("spanwatch:clients")), 2)
        self.load(self.file("k.csv", "name,address\nlab,10.9.0.0/16\n"), self.file("s.csv", "service,owner\nc,ops\n"))
        self.assertEqual(self.hash("spanwatch:cmdb"), {"c": {"owner": "ops"}})
        self.assertEqual(self.hash("spanwatch:clients"), {"10.9.0.0/16": {"name": "lab"}})

    def test_a_faulty_file_writes_nothing(self):
        good = self.file("c.json", {"cmdb": {"a": {}}})
        self.load(good)
        written = self.writes()
        self.assertIn("d.csv:3: column \"service\": \"x\" is in line 2 too",
                      self.load(good, self.file("d.csv", "service\nx\nx\n"), status=2))
        self.assertIn('"a" is in', self.load(good, self.file("e.csv", "service\na\n"), status=2))
        self.assertEqual(self.hash("spanwatch:cmdb"), {"a": {}})
        self.assertEqual(self.writes(), written)

    def test_prefix(self):
        self.load(self.file("c.json", {"cmdb": {"a": {}}}), options=["--set", "store.prefix=site-2"])
        self.assertEqual(self.keys(), ["site-2:cmdb"])

    def test_refusals_of_the_store(self):
        path = self.file("c.json", {"cmdb": {"a": {"x": "y" * 1500}}})
        self.redis("SET", "spanwatch:cmdb", "a text")
        self.assertIn("spanwatch:cmdb: the store refuses: WRONGTYPE", self.load(path, status=1))
        self.redis("DEL", "spanwatch:cmdb")
        self.redis("CONFIG", "SET", "maxmemory", "1")
        self.assertIn("spanwatch:cmdb: the store refuses: OOM", self.load(path, status=1))
        self.redis("CONFIG", "SET", "maxmemory", "0")
        self.redis("CONFIG", "SET", "requirepass", "secret")
        message = self.load(path, status=1)
        self.assertIn("wants a password", message)
        self.assertNotIn("secret", message)
        self.redis.stop()
        self.assertIn("cannot be reached", self.load(path, status=1))

    def test_read_takes_them_along(self):
        """read --redis puts the files into the store; without any it names clients as the store does."""
        golden, pcap = os.path.join(ROOT, "tests", "golden"), os.path.join(ROOT, "pcaps", "demo.pcap")
        read = [BINARY, "read", "--redis", self.redis.url, "--services", os.path.join(golden, "services.json"), pcap]
        done = subprocess.run(read + ["--name", "one", "--cmdb", os.path.join(golden, "cmdb.json")], capture_output=True,
                              text=True, timeout=60, check=True)
        self.assertIn("cmdb: 5 entries of the store were changed", done.stderr)
        self.assertEqual(self.hash("spanwatch:cmdb")["web"], {"owner": "web-team", "tier": 1, "critical": True})
        self.assertEqual(self.hash("spanwatch:clients")["192.0.2.111"], {"name": "pos-terminal-11", "site": "Ulm"})
        self.redis("HSET", "spanwatch:clients", "x", "y")
        again = subprocess.run(read + ["--name", "two"], capture_output=True, text=True, timeout=60, check=True)
        self.assertEqual(again.stdout, done.stdout)
        self.assertIn("192.0.2.118 branch", again.stdout)
        self.assertIn("cmdb: 1 entries of the store are not valid", again.stderr)
        refused = self.file("c.json", {"cmdb": {"a": {}}})  # the name has streams: nothing is changed
        done = subprocess.run(read + ["--name", "two", "--cmdb", refused], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn("web", self.hash("spanwatch:cmdb"))

    def test_readers_never_see_half(self):
        """Two sets of many entries take turns; whoever reads meanwhile sees the one or the other."""
        sets = [{"s%d" % n: {"turn": turn} for n in range(5000)} for turn in range(2)]
        files = [self.file("%d.json" % turn, {"cmdb": sets[turn]}) for turn in range(2)]
        self.load(files[0])
        seen, stop = [set(), 0], threading.Event()
        reader = private_redis.Connection(self.redis.path)

        def read():
            while not stop.is_set():
                values = reader("HVALS", "spanwatch:cmdb")
                seen[0].add((len(values), len(set(values))))
                seen[1] += 1
        thread = threading.Thread(target=read)
        thread.start()
        for turn in (1, 0, 1, 0):
            self.load(files[turn])
        stop.set()
        thread.join()
        reader.close()
        self.assertEqual(seen[0], {(5000, 1)})
        self.assertGreater(seen[1], 8)

    def test_two_writers_at_once(self):
        """Whoever is last wins as a whole: never a mix of both."""
        sets = [{"s%d" % n: {"writer": writer} for n in range(writer, 2000 + writer)} for writer in range(2)]
        files = [self.file("%d.json" % writer, {"cmdb": sets[writer]}) for writer in range(2)]
        for _ in range(3):
            processes = [subprocess.Popen([BINARY, "cmdb", "load", "--redis", self.redis.url, path],
                                          stdout=subprocess.DEVNULL) for path in files]
            self.assertEqual([process.wait(60) for process in processes], [0, 0])
            self.assertIn(self.hash("spanwatch:cmdb"), sets)
        self.assertEqual(self.keys(), ["spanwatch:cmdb"])


if __name__ == "__main__":
    if len(sys.argv) < 2 or not os.access(sys.argv[1], os.X_OK):
        print("skipped: usage is test_cmdb.py BINARY, and the binary must be there")
        sys.exit(77)
    if not private_redis.is_there():
        print("skipped: no redis-server here")
        sys.exit(77)
    BINARY = os.path.abspath(sys.argv.pop(1))
    unittest.main()
