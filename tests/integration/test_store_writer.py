#!/usr/bin/env python3
"""The writer with a probe's clock, through its interface: alarms, retention, what is left out when there is no room, and
what it refuses at the start.    test_store_writer.py BINARY DRIVER [TEST]..."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

import private_redis
import store_truth as truth

BINARY = DRIVER = ""
CAPTURE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "pcaps", "refused.pcap")


class Driver:
    def __init__(self, url, folder, *options):
        self.process = subprocess.Popen([DRIVER, url, folder, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)

    def __call__(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise truth.Wrong("the driver ended: " + self.process.stderr.read())
        return answer.strip()

    def counters(self, command):
        words = self(command).split()
        return dict(zip(words[::2], map(int, words[1::2])))

    def end(self):
        left = self("end")
        self.process.stdin.close()
        errors = self.process.stderr.read()
        if self.process.wait(20) != 0:
            raise truth.Wrong("the driver failed: " + errors)
        self.process.stdout.close()
        self.process.stderr.close()
        return left, errors

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


class Writer(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory(prefix="spanwatch-writer-")
        self.redis = truth.Server()
        self.redis.start()

    def tearDown(self):
        self.redis.__exit__()
        self.folder.cleanup()

    def driver(self, *options):
        return Driver(self.redis.url, self.folder.name, *options)

    def entries(self, key):
        return [dict(fields) for _, fields in truth.stream(self.redis, "spanwatch:{driver%s" % key)]

    def transitions(self):
        return sum(len(self.entries("/%d}:transitions" % p)) for p in range(4))

    def test_alarms(self):
        """In the stream, in the hash of those in force, on both channels; numbered without a hole through a restart and a
        kill."""
        listener = private_redis.Connection(self.redis.path)
        listener("SUBSCRIBE", "spanwatch:alarms")
        listener("SUBSCRIBE", "spanwatch:alarms:syn_flood")
        d = self.driver()
        self.assertEqual(d("alarm syn_flood raised"), "alarm 1")
        self.assertEqual(d("alarm port_scan raised"), "alarm 2")
        d("wait")
        self.assertEqual(d.end()[0], "left 0")
        d = self.driver("spool=" + os.path.join(self.folder.name, "spool"))
        self.assertEqual(d("alarm syn_flood cleared"), "alarm 3")
        d("wait")
        got = []
        for _ in range(5):
            kind, channel, text = listener.read()
            got.append((kind, channel.decode(), json.loads(text)["seq"]))
        listener.close()
        self.redis.kill()
        self.assertEqual(d("alarm churn raised"), "alarm 4")
        d("run 500")
        d.kill()
        self.redis.start()
        self.assertEqual(self.redis("EXISTS", "spanwatch:{driver}:alarms"), 0)  # no persistence here
        d = self.driver("spool=" + os.path.join(self.folder.name, "spool"))
        self.assertEqual(d("alarm churn updated"), "alarm 5")
        d("wait")
        d.end()
        self.assertEqual([e["seq"] for e in self.entries("}:alarms")], ["4", "5"])
        self.assertEqual([json.loads(e["json"])["status"] for e in self.entries("}:alarms")], ["raised", "updated"])
        self.assertEqual(self.redis("HKEYS", "spanwatch:{driver}:active"), [b"id-churn"])
        self.assertEqual(got, [(b"message", "spanwatch:alarms", 1), (b"message", "spanwatch:alarms:syn_flood", 1),
                               (b"message", "spanwatch:alarms", 2), (b"message", "spanwatch:alarms", 3),
                               (b"message", "spanwatch:alarms:syn_flood", 3)])

    def test_alarm_sent_again_is_not_published_again(self):
        d = self.driver("keep_s=600")
        d("alarm churn raised")
        d("wait")
        self.redis("DEL", "spanwatch:{driver}:alarms")
        listener = private_redis.Connection(self.redis.path)
        listener("SUBSCRIBE", "spanwatch:alarms")
        d("alarm churn updated")
        d("wait")
        d.end()
        self.assertEqual([e["seq"] for e in self.entries("}:alarms")], ["1", "2"])
        self.assertEqual(json.loads(listener.read()[2])["seq"], 2)
        listener.close()

    def test_spooled_and_stored(self):
        """More than memory takes goes to disk, and comes back in order."""
        d = self.driver("queue_mib=1", "spool=" + os.path.join(self.folder.name, "spool"))
        d("put 100")
        d("wait")
        self.redis.pause()
        for _ in range(30):
            d("put 1000")
        counters = d.counters("run 500")
        self.assertGreater(counters["spooled"], 10000)
        self.assertEqual(counters["lost"], 0)
        self.redis.go_on()
        d("wait")
        self.assertEqual(self.transitions(), 30100)
        self.assertEqual(d.end()[0], "left 0")
        for p in range(4):
            where = "spanwatch:{driver/%d}:transitions" % p
            entries = truth.stream(self.redis, where)
            truth.check_ids(entries, where)
            times = [truth.ns(dict(f)["ts"]) for _, f in entries]
            self.assertEqual(times, sorted(times))
        self.assertEqual(os.listdir(os.path.join(self.folder.name, "spool")), [])

    def test_shed(self):
        """When memory and disk are full: snapshots go before transitions, alarms are kept, and gaps count what went."""
        d = self.driver("queue_mib=1", "spool_mib=1", "spool=" + os.path.join(self.folder.name, "spool"))
        d("put 10")
        d("wait")
        self.redis.pause()
        for _ in range(30):
            d("put 1000")
        self.assertEqual(d("keyframe"), "keyframe 1")
        self.assertEqual(d("alarm churn raised"), "alarm 1")
        counters = d.counters("run 1500")
        self.assertGreater(counters["lost"], 1000)
        self.redis.go_on()
        d("wait")
        d("run 1200")
        d("put 10")
        d("wait")
        d.end()
        stored = self.transitions()
        lost = sum(n for _, _, n in truth.gaps(self.redis, "driver", "transitions"))
        self.assertEqual(stored + lost, 30020)
        self.assertGreater(lost, 0)
        self.assertEqual(sum(n for _, _, n in truth.gaps(self.redis, "driver", "snapshots")), 1)
        self.assertEqual([e["seq"] for e in self.entries("}:alarms")], ["1"])

    def test_retention(self):
        """Transitions go up to the begin of a keyframe, never past it."""
        began = time.time()
        d = self.driver("retention_s=60")
        for ago in (400, 300):
            d(f"put 3000 {ago}")
        d("keyframe 200")
        d("put 3000 150")
        d("keyframe 100")
        d("put 3000 50")
        d("keyframe")
        d("put 10")
        d("wait")
        self.assertEqual(self.transitions(), 12010)
        d("run 12000")
        times = [float(e["ts"]) for p in range(4) for e in self.entries("/%d}:transitions" % p)]
        self.assertGreater(len([t for t in times if t > began - 60]), 3000)  # after the keyframe of 100 s ago: all
        self.assertLess(len(times), 9000)  # whole nodes go, so some older ones may stay
        kinds = [(e["kind"], e["keyframe"]) for e in self.entries("/0}:snapshots")]
        self.assertIn(("begin", "1"), kinds)
        d.end()

    def refused(self, arguments, status, *words, environment=None):
        done = subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=60,
                              env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0", **(environment or {})})
        self.assertEqual(done.returncode, status, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertNotIn("hush", done.stderr)

    def test_refused_at_the_start(self):
        read = ["read", "--format", "none", CAPTURE, "--redis"]
        self.refused(read + ["rediss://u:hush@localhost"], 2, "--redis", "later version")
        self.refused(read + ["unix:///nonexistent"], 1, "cannot be reached")
        self.refused(read + ["redis://127.0.0.1:1"], 1, "cannot be reached")
        self.redis("ACL", "SETUSER", "writer", "on", ">right", "~*", "&*", "+@all")
        self.refused(read + ["unix://writer:hush@" + self.redis.path], 1, "does not take this user and password")
        done = subprocess.run([BINARY, *read, "unix://writer:right@" + self.redis.path + "?db=3", "--name", "acl"],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.redis("SELECT", 3)
        self.assertEqual(self.redis("HEXISTS", "spanwatch:probes", "acl"), 1)
        self.redis("SELECT", 0)
        self.redis("SET", "spanwatch:{typed/5}:transitions", "x")
        self.refused(read + [self.redis.url, "--name", "typed"], 1, "spanwatch:{typed/5}:transitions", "is a string")
        self.redis("SET", "spanwatch:{locked}:lock", "another")
        self.refused(read + [self.redis.url, "--name", "locked"], 1, "locked", "a running probe writes under this name")
        self.assertEqual(self.redis("GET", "spanwatch:{locked}:lock"), b"another")

    def test_a_probe_refused_at_the_start(self):
        probe = ["probe", "-i", "lo", "--duration", "1", "--set", "state_folder=" + os.path.join(self.folder.name, "s")]
        spool = os.path.join(self.folder.name, "file")
        with open(spool, "w", encoding="ascii"):
            pass
        self.refused(probe + ["--redis", self.redis.url, "--set", "store.spool_folder=" + spool], 1, "spool", "cannot be made")
        os.chmod(self.redis.path, 0o700)
        self.refused(probe + ["--redis", self.redis.url], 1, self.redis.path, "unixsocketperm", "--user")
        self.refused(probe, 1, "redis-server: is not installed", "apt-get install redis-server",
                     environment={"PATH": self.folder.name})

    def test_wedged(self):
        """A stream that ends far ahead when the probe starts may hold what is ours: it is left alone, what it cannot take
        is in a gap record, the others go on; once a person has mended it, so does it."""
        key = "spanwatch:{driver/1}:transitions"
        self.redis("XADD", key, "99999999999999-0", "from", "elsewhere")
        d = self.driver()
        d("put 400")
        d("wait")
        d("run 2500")
        lost = sum(n for _, _, n in truth.gaps(self.redis, "driver", "transitions"))
        self.assertGreater(lost, 50)
        self.assertEqual(self.transitions() - 1 + lost, 400)
        self.assertEqual(self.redis("XLEN", key), 1)
        self.redis("DEL", key)
        d("run 6000")
        d("put 400")
        d("wait")
        _, errors = d.end()
        self.assertEqual(self.transitions() + lost, 800)
        self.assertIn("ends with the ID 99999999999999-0", errors)

    def test_server_comes_late(self):
        """IDs that were given before the streams' ends were known are raised where they must be."""
        d = self.driver()
        d("put 400")
        d("wait")
        d.end()
        self.redis("SAVE")
        self.redis.kill()
        d = self.driver("spool=" + os.path.join(self.folder.name, "spool"))
        d("put 400 1")  # a second ago: before what is stored
        self.assertEqual(d.counters("run 700")["reached"], 0)
        self.redis.start()
        d("wait")
        d.end()
        self.assertEqual(self.transitions(), 800)
        for p in range(4):
            truth.check_ids(truth.stream(self.redis, "spanwatch:{driver/%d}:transitions" % p), "late")

    def test_other_partitions(self):
        d = self.driver()
        d("put 10")
        d("wait")
        d.end()
        d = self.driver("partitions=8")
        _, errors = d.process.communicate(timeout=20)
        self.assertEqual(d.process.returncode, 1)
        self.assertIn("store.partitions=4", errors)


if __name__ == "__main__":
    if not private_redis.is_there():
        print("skipped: there is no redis-server here")
        sys.exit(77)
    BINARY, DRIVER = os.path.abspath(sys.argv.pop(1)), os.path.abspath(sys.argv.pop(1))
    if os.geteuid() != 0 or shutil.which("ip") is None:
        Writer.test_a_probe_refused_at_the_start = unittest.skip("needs root")(Writer.test_a_probe_refused_at_the_start)
    unittest.main(warnings="ignore")
