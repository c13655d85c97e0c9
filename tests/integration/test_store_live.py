#!/usr/bin/env python3
"""`spanwatch probe` and its store, live between two network namespaces, through the deaths of the server and of the probe
itself.    test_store_live.py BINARY [TEST]...

A recorder beside the probe takes the same packets; what `read` makes of its capture is the truth.
"""
import os
import signal
import subprocess
import time

import live_store
import private_redis
import store_truth as truth
from live_store import live_probe

NAME = "live"
FLUSH_NS = 200 * 10**6
TIMERS = ("--set", "tracker.time_wait=1")


class Live(live_store.Case):
    NAME = NAME
    SETTINGS = ("--set", "store.partitions=16") + TIMERS

    def setUp(self):
        super().setUp()
        self.capture = os.path.join(self.folder.name, "truth.pcap")
        self.traffic = self.recorder = None

    def tearDown(self):
        if self.traffic is not None:
            self.traffic.stop()
        try:  # an embedded server that a failed test left
            private_redis.Connection(os.path.join(self.state, "redis.sock"))("SHUTDOWN", "NOSAVE")
        except OSError:
            pass
        super().tearDown()

    def record(self):
        self.recorder = live_probe.Recorder(self.cable.server, "eth0", self.capture)
        self.traffic = live_store.Traffic(self.cable)

    def end_of_record(self):
        self.traffic.stop()
        self.traffic = None
        time.sleep(2.5)  # TIME_WAIT, and what is on its way
        self.recorder.stop()

    def test_server_killed_and_paused(self):
        with self.server(aof=True) as redis:
            self.record()
            self.capture_begins("--redis", redis.url)
            time.sleep(1.5)
            redis.kill()
            time.sleep(1.0)
            redis.start()
            time.sleep(1.0)
            redis.pause()
            time.sleep(2.0)
            redis.go_on()
            time.sleep(1.0)
            self.end_of_record()
            self.end()
            self.compare(redis)

    @staticmethod
    def who(entry):
        """A connection, but for the time: ports are used again."""
        return entry[2], entry[3], entry[1]

    def flows(self, records):
        """The entries of each flow that is whole: from its SYN to its end."""
        flows = {}
        for r in records:
            if r["type"] == "transition":
                flows.setdefault(r["flow"], []).append(truth.as_entry(r))
        return {k: v for k, v in flows.items() if v[0][7] == "syn" and v[-1][5] == "CLOSED/CLOSED"}

    def compare(self, redis, slack_ns=0):
        """Flows that lie wholly outside the gaps are stored wholly; nothing is twice or out of order."""
        have, order = {}, []
        for p in range(16):
            where = "spanwatch:{live/%d}:transitions" % p
            entries = truth.stream(redis, where)
            truth.check_ids(entries, where)
            for _, fields in entries:
                values = tuple(v for _, v in fields)
                have.setdefault(self.who(values), []).append(values)
                order.append(values)
        self.assertEqual(len(order), len(set(order)), "entries are there twice")
        for entries in have.values():
            times = [truth.ns(e[0]) for e in entries]
            self.assertEqual(times, sorted(times), entries)
        gaps = [(a - slack_ns, b) for a, b, n in truth.gaps(redis, NAME, "packets")]
        wanted = self.flows(truth.records(self.BINARY, NAME, self.capture, *TIMERS))
        began = min(truth.ns(e[0]) for entries in have.values() for e in entries)
        compared = 0
        for entries in wanted.values():
            first, last = truth.ns(entries[0][0]), truth.ns(entries[-1][0])
            if first < began or any(a <= last and first <= b for a, b in gaps):
                continue
            # the recorder's stamps and the probe's lie some microseconds apart, and so do the flows' identities
            stored = next((es for who, es in have.items() if who[:2] == entries[0][2:4]
                           and abs(truth.ns(es[0][0]) - first) < 10**7), [])
            self.assertEqual([e[2:] for e in stored], [e[2:] for e in entries], f"{first} to {last}, gaps: {gaps}\n" + self.told())
            for x, y in zip(stored, entries):
                self.assertLess(abs(truth.ns(x[0]) - truth.ns(y[0])), 10**7)
            compared += 1
        self.assertGreater(compared, 20)
        return gaps

    def test_probe_killed(self):
        with self.server(aof=True) as redis:
            self.record()
            self.capture_begins("--redis", redis.url)
            for again in range(2, 4):
                time.sleep(1.5)
                killed = time.time_ns()
                self.kill()
                time.sleep(0.5)
                self.capture_begins("--redis", redis.url, times=again)
            time.sleep(1.0)
            self.end_of_record()
            self.end()
            gaps = self.compare(redis)
            self.assertEqual(len(gaps), 2)
            # the second gap begins not long before the kill: little more than the capture's own delay and flush_ms
            self.assertGreater(gaps[1][0], killed - FLUSH_NS * 4)

    def test_probe_and_server_killed(self):
        """While the server is away the spool keeps what comes, and the next probe stores it first."""
        with self.server(aof=True) as redis:
            self.record()
            self.capture_begins("--redis", redis.url)
            time.sleep(1.5)
            redis.kill()
            time.sleep(1.5)
            killed = time.time_ns()
            self.kill()
            self.assertTrue(os.listdir(os.path.join(self.state, NAME + ".spool")))
            redis.start()
            self.capture_begins("--redis", redis.url, times=2)
            time.sleep(1.5)
            self.end_of_record()
            self.end()
            gaps = self.compare(redis)
            self.assertEqual(len(gaps), 1)
            self.assertGreater(gaps[0][0], killed - FLUSH_NS * 4)

    def test_second_probe_is_refused(self):
        with self.server(aof=True) as redis:
            self.capture_begins("--redis", redis.url)
            time.sleep(1.5)
            first, self.probe = self.probe, None
            self.state += "2"
            try:
                self.start("--redis", redis.url)
                self.assertEqual(self.probe.wait(20), 1)
                self.assertIn("a running probe writes under this name", self.told())
                forget = subprocess.run([self.BINARY, "forget", "--yes", "--redis", redis.url, NAME], capture_output=True, text=True)
                self.assertEqual(forget.returncode, 1, forget.stderr)
            finally:
                first.send_signal(signal.SIGTERM)
                self.assertEqual(first.wait(20), 0, self.told())
            forget = subprocess.run([self.BINARY, "forget", "--yes", "--redis", redis.url, NAME], capture_output=True, text=True)
            self.assertEqual(forget.returncode, 0, forget.stderr)
            self.assertEqual(redis("KEYS", "*"), [])

    def test_lock_taken_over(self):
        with self.server(aof=True) as redis:
            self.capture_begins("--redis", redis.url)
            time.sleep(1.5)
            redis("SET", "spanwatch:{live}:lock", "another")
            self.assertEqual(self.probe.wait(20), 1)
            self.assertIn("has taken the store over", self.told())

    def embedded_process(self):
        """The number of the process of the probe's own server, once there is one."""
        found = []

        def look():
            try:
                own = private_redis.Connection(os.path.join(self.state, "redis.sock"))
            except OSError:
                return False
            try:
                found.append(own("INFO", "server").decode().split("process_id:")[1].split()[0])
            except (OSError, EOFError):
                return False
            finally:
                own.close()
            return True

        truth.wait_for("a server", look)
        return found[0]

    def test_embedded_dies(self):
        """It is started again each time, by a probe that found it running too, and nothing is lost: what it had not
        written yet comes again."""
        self.record()
        self.capture_begins()
        servers = [self.embedded_process()]
        for deaths in range(1, 4):
            time.sleep(1.5)
            if deaths == 3:
                self.kill()
                self.capture_begins(times=2)
                self.assertEqual(self.embedded_process(), servers[-1])
            os.kill(int(servers[-1]), signal.SIGKILL)
            self.wait_for_words("starting it again", deaths)
            servers.append(self.embedded_process())
        self.assertEqual(len(set(servers)), 4)
        self.end_of_record()
        self.end()
        self.assertFalse(os.path.exists(os.path.join(self.state, "redis.sock")))
        time.sleep(1.5)  # nothing starts it now
        self.assertFalse(os.path.exists(os.path.join(self.state, "redis.sock")))
        self.assertEqual(self.told().count("starting it again"), 3)
        self.capture_begins(times=3)
        kept = private_redis.Connection(os.path.join(self.state, "redis.sock"))
        self.assertEqual(len(self.compare(kept)), 2)  # of the kill, and of the time before this start
        kept.close()
        self.end()

    def test_embedded(self):
        """A server of its own: found again after a kill, ended with the probe, its history kept."""
        self.record()
        self.capture_begins()
        time.sleep(1.5)
        path = os.path.join(self.state, "redis.sock")
        own = private_redis.Connection(path)
        server = own("INFO", "server").decode().split("process_id:")[1].split()[0]
        self.assertEqual(own("CONFIG", "GET", "port"), [b"port", b"0"])
        self.assertEqual(own("CONFIG", "GET", "appendonly"), [b"appendonly", b"yes"])
        own.close()
        self.kill()
        self.capture_begins(times=2)
        time.sleep(1.0)
        again = private_redis.Connection(path)
        self.assertEqual(again("INFO", "server").decode().split("process_id:")[1].split()[0], server)
        again.close()
        self.end_of_record()
        self.end()
        self.assertFalse(os.path.exists(path))
        self.capture_begins(times=3)
        kept = private_redis.Connection(path)
        self.compare(kept)
        kept.close()
        self.end()


if __name__ == "__main__":
    live_store.main()
