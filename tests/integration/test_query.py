#!/usr/bin/env python3
"""`spanwatch query` over a real redis-server, against answers by replay of everything.    test_query.py BINARY"""
import csv
import io
import ipaddress
import json
import os
import random
import signal
import subprocess
import sys
import time
import unittest
from collections import Counter

import private_redis
from reference_store import CLOSED, Oracle, Writer, address, from_record, invent, nanoseconds, place, stamp

BINARY = ""
HERE = os.path.dirname(os.path.abspath(__file__))
PCAPS = os.path.join(os.path.dirname(os.path.dirname(HERE)), "pcaps")
SECOND = 10**9


def run(*words, status=0):
    done = subprocess.run([BINARY, *words], capture_output=True, timeout=120, env=dict(os.environ, LC_ALL="C"))
    done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == status, (words, done.returncode, done.stderr)
    return done


def matches(c, f):
    """Does a connection of the oracle belong to a filter's answer?"""
    def end(which, endpoint):
        text = f.get(which)
        if text is None:
            return True
        net, _, port = text.rpartition("|")
        return ipaddress.ip_address(address(endpoint)) in ipaddress.ip_network(net) and port in ("", endpoint.rpartition(":")[2])
    return (end("client", c["client"]) and end("server", c["server"]) and f.get("service", c["service"]) == c["service"] and
            f.get("state", c["state"][0]) in c["state"] and f.get("client-state", c["state"][0]) == c["state"][0] and
            f.get("server-state", c["state"][1]) == c["state"][1])


def random_filter(dice):
    """As the oracle has it: addresses as "NET|PORT"."""
    f = {}
    if dice.random() < 0.5:
        f["client"] = dice.choice(["10.0.0.3|", "10.0.0.0/24|", "10.0.0.4|1030", "2001:db8::/64|", "2001:db8::5|", "0.0.0.0/0|", "10.9.0.0/16|"])
    if dice.random() < 0.3:
        f["server"] = dice.choice(["10.9.0.1|", "10.9.0.1|443", "2001:db8:9::1|443", "10.0.0.0/8|"])
    if dice.random() < 0.3:
        f["service"] = dice.choice(["https", "ssh", "tcp/8080", "nothing"])
    for key in ("state", "client-state", "server-state"):
        if dice.random() < 0.15:
            f[key] = dice.choice(["ESTABLISHED", "TIME_WAIT", "CLOSE_WAIT", "CLOSED", "SYN_SENT"])
    return f


def options(f):
    words = []
    for key, value in f.items():
        if key in ("client", "server"):
            net, _, port = value.rpartition("|")
            value = ("[%s]:%s" % (net, port) if ":" in net else net + ":" + port) if port else net
        words += ["--" + key, value]
    return words


class Store(unittest.TestCase):
    maxDiff = 4000

    def setUp(self):
        self.redis = private_redis.Server()
        self.redis.start()

    def tearDown(self):
        self.redis.__exit__()

    def ask(self, *words, status=0, quiet=True):
        """The JSON answer, numbers as text."""
        done = run("query", *words, "--redis", self.redis.url, "--format", "json", status=status)
        if status != 0:
            return done.stderr
        self.warnings = done.stderr
        if quiet:
            self.assertEqual([line for line in done.stderr.splitlines() if "does not run" not in line], [], words)
        return json.loads(done.stdout, parse_float=str, parse_int=str)

    def write(self, transitions, name="p", partitions=4, **how):
        writer = Writer(self.redis, name, partitions)
        writer.write(transitions, **how)
        writer.flush()
        return writer


class Random(Store):
    """Against the oracle, at random moments, with random filters."""

    def check_moment(self, oracle, ts, f):
        words = ["--at", stamp(ts), *options(f)]
        wanted = oracle.connections(ts, lambda c: matches(c, f))
        answer = self.ask("connections", *words)
        self.assertEqual(answer["rows"], wanted, (ts, f))
        self.assertEqual((answer["at"], answer["cut"], answer["gaps"]), (stamp(ts), "0", []))
        counts = Counter((r["service"], r["client_state"] + "/" + r["server_state"]) for r in wanted)
        rows = self.ask("summary", *words)["rows"]
        self.assertEqual({(r["service"], r["state"]): int(r["count"]) for r in rows}, counts, (ts, f))
        self.assertEqual(rows, sorted(rows, key=lambda r: -int(r["count"])))
        clients = {}
        for r in wanted:
            c = clients.setdefault(address(r["client"]), {"services": set(), "states": Counter()})
            c["services"].add(r["service"])
            c["states"][r["client_state"] + "/" + r["server_state"]] += 1
        rows = self.ask("clients", *words)["rows"]
        self.assertEqual({r["client"]: {"services": set(r["services"]), "states": Counter({k: int(v) for k, v in r["states"].items()})}
                          for r in rows}, clients)

    def test_random_moments(self):
        for seed, partitions, how in ((1, 1, {}), (2, 4, {"part": 3}), (3, 16, {"keyframe_every": 2})):
            self.redis("FLUSHALL")
            transitions = invent(seed)
            self.write(transitions, partitions=partitions, **how)
            oracle, dice = Oracle(transitions), random.Random(seed)
            first, last = transitions[0]["ts"], transitions[-1]["ts"]
            moments = [dice.randrange(first, last) for _ in range(14)] + [dice.choice(transitions)["ts"] for _ in range(5)]
            moments += [(dice.randrange(first, last) // (10 * SECOND) + 1) * 10 * SECOND for _ in range(5)]
            for ts in moments:
                self.check_moment(oracle, min(ts, last), random_filter(dice))

    def test_random_transitions(self):
        transitions = invent(7)
        self.write(transitions, partitions=5)
        dice = random.Random(7)
        for _ in range(12):
            f = random_filter(dice)
            begin, end = sorted(dice.choice(transitions)["ts"] for _ in range(2))
            rows = self.ask("transitions", "--from", stamp(begin), "--to", stamp(end), *options(f))["rows"]
            wanted = []
            for t in transitions:
                if begin <= t["ts"] <= end and matches(t, f):
                    was = {} if t["cause"] == "roles" else {s + "_was": t["was"][i] for i, s in enumerate(("client", "server"))
                                                            if t["was"][i] != t["state"][i]}
                    row = {"type": "transition", "ts": stamp(t["ts"]), "probe": "p"}
                    row |= {k: t[k] for k in ("flow", "client", "server", "service")}
                    row |= {"client_state": t["state"][0], "server_state": t["state"][1]} | was | {"cause": t["cause"]}
                    wanted.append(row | {k: t[k] for k in ("inferred", "vlan", "tunnel") if k in t})
            rows = [r for r in rows if r["cause"] != "moved"]
            self.assertEqual([r["ts"] for r in rows], sorted(r["ts"] for r in rows))
            key = lambda r: (r["ts"], r["flow"], json.dumps(r))
            self.assertEqual(sorted(rows, key=key), sorted(wanted, key=key))
            self.assertEqual([list(r) for r in rows], [list(w) for w in sorted(wanted, key=lambda w: rows.index(w))])

    def test_random_differences(self):
        transitions = invent(8)
        self.write(transitions, partitions=3)
        oracle, dice = Oracle(transitions), random.Random(8)
        for _ in range(10):
            f = {k: v for k, v in random_filter(dice).items() if "state" not in k}
            begin, end = sorted(dice.choice(transitions)["ts"] for _ in range(2))
            key = lambda c: (c["client"], c["server"], c["flow"])
            was = {key(c): c for c in oracle.connections(begin, lambda c: matches(c, f))}
            now = {key(c): c for c in oracle.connections(end, lambda c: matches(c, f))}
            pair = lambda c: (c["client_state"], c["server_state"]) if c else CLOSED
            wanted = {}
            for k in was | now:
                a, b = pair(was.get(k)), pair(now.get(k))
                if a != b:
                    change = "appeared" if k not in was else "vanished" if k not in now else "changed"
                    wanted[k] = [change, b, *(a[i] if a[i] != b[i] else None for i in (0, 1))]
            rows = self.ask("diff", "--from", stamp(begin), "--to", stamp(end), *options(f))["rows"]
            self.assertEqual({key(r): [r["change"], pair(r), r.get("client_was"), r.get("server_was")] for r in rows}, wanted)
            self.assertEqual(len(rows), len(wanted))


class Cases(Store):
    """One situation each, with the right answer and the right warning."""

    BASE = 1_700_000_000 * SECOND

    def simple(self, n=40, seconds=100):
        """n connections, one opened every so often, all open at the end."""
        found = []
        for i in range(n):
            ts = self.BASE + i * seconds * SECOND // n
            common = {"flow": "%016x" % (i + 1), "client": "10.1.0.%d:%d" % (i % 7 + 1, 2000 + i), "server": "10.9.0.1:443", "service": "https"}
            found += [common | {"ts": ts, "state": ("SYN_SENT", "CLOSED"), "was": CLOSED, "cause": "syn"},
                      common | {"ts": ts + 1000, "state": ("ESTABLISHED", "SYN_RECEIVED"), "was": ("SYN_SENT", "CLOSED"), "cause": "syn_ack"},
                      common | {"ts": ts + 2000, "state": ("ESTABLISHED", "ESTABLISHED"), "was": ("ESTABLISHED", "SYN_RECEIVED"), "cause": "ack"}]
        return found

    def test_keyframe_never_ended(self):
        transitions = self.simple()
        unended = (self.BASE // (10 * SECOND) + 5) * 10 * SECOND
        writer = Writer(self.redis, "p", 4)
        full = writer.snapshot
        writer.snapshot = lambda ts, *rest, **how: full(ts, *rest, **how, ended=lambda p: ts != unended or p % 2 == 1)
        writer.write(transitions, keyframe_every=1)
        ts = unended + 3 * SECOND
        answer = self.ask("connections", "--at", stamp(ts), quiet=False)
        self.assertEqual(answer["rows"], Oracle(transitions).connections(ts))
        self.assertIn("the keyframe of %s was never ended" % stamp(unended), self.warnings)
        self.assertEqual(self.warnings.count("never ended"), 1)

    def test_trimmed_stream(self):
        transitions = self.simple(400, 400)
        writer = self.write(transitions, partitions=2, keyframe_every=2)
        cut = (self.BASE // (20 * SECOND) + 8) * 20 * SECOND  # in the midst of what is there; keyframes are 20 s apart
        keyframe = next(k for k in range(cut, cut + 40 * SECOND, 10 * SECOND)
                        if self.redis("XRANGE", writer.key("snapshots", 0), k // 10**6, k // 10**6, "COUNT", 1)[0][1][5] == b"1")
        for p in range(2):
            self.redis("XTRIM", writer.key("transitions", p), "MINID", keyframe // 10**6)
            self.redis("XTRIM", writer.key("snapshots", p), "MINID", keyframe // 10**6)
        oracle = Oracle(transitions)
        for ts in (keyframe, keyframe + 7 * SECOND, transitions[-1]["ts"]):
            answer = self.ask("connections", "--at", stamp(ts), quiet=False)
            state = lambda rows: [(r["flow"], r["client_state"], r["server_state"]) for r in rows]
            self.assertEqual(state(answer["rows"]), state(oracle.connections(ts)))
            self.assertEqual(answer["span"], [{"probe": "p", "from": stamp(keyframe), "to": stamp(transitions[-1]["ts"])}])
        answer = self.ask("connections", "--at", stamp(keyframe - 5 * SECOND), quiet=False)
        self.assertEqual(answer["rows"], [])
        self.assertIn("before what the store holds (from %s)" % stamp(keyframe), self.warnings)
        for p in range(2):  # and now more than the contract allows
            self.redis("XTRIM", writer.key("transitions", p), "MINID", (keyframe + 15 * SECOND) // 10**6)
        self.ask("connections", "--at", stamp(keyframe + 18 * SECOND), quiet=False)
        self.assertIn("changes between them are missing", self.warnings)

    def test_two_probes_one_connection(self):
        transitions = self.simple(10, 20)
        self.write(transitions, name="edge1", partitions=4)
        late = []
        for t in transitions:
            late.append(t | {"ts": t["ts"] + 500, "flow": "f" + t["flow"][1:]})
        late = [t for t in late if t["flow"][-1] not in "12"]  # the second does not see these
        late[-1] = late[-1] | {"inferred": "gap"}
        self.write(late, name="edge2", partitions=6)
        ts = self.BASE + 30 * SECOND
        for name, partitions in (("edge1", 4), ("edge2", 6)):
            Writer(self.redis, name, partitions).probe(self.BASE, ts)
        rows = self.ask("connections", "--at", stamp(ts))["rows"]
        self.assertEqual(len(rows), 10)
        views = Counter(r["probe"] for r in rows)
        self.assertEqual(views, {"edge1,edge2": 8, "edge1": 2})
        doubtful = late[-1]["flow"][1:]
        for r in rows:  # less inferred first, then the newer
            self.assertEqual(r["flow"][0], "0" if r["flow"][1:] == doubtful or r["probe"] == "edge1" else "f", r)
            self.assertNotIn("inferred", r)
        for name, wanted in (("edge1", transitions), ("edge2", late)):
            self.assertEqual(self.ask("connections", "--at", stamp(ts), "--probe", name)["rows"], Oracle(wanted, name).connections(ts))
        self.assertEqual(self.ask("summary", "--at", stamp(ts), "--by", "service")["rows"], [{"service": "https", "count": "10"}])

    def test_corrected_roles(self):
        """Found by its new client's partition after the correction, and by the old one's before."""
        base = {"flow": "00000000000000aa", "vlan": "20"}
        a, b = "10.0.0.1:443", "10.0.0.2:5000"
        transitions = [
            base | {"ts": self.BASE, "client": a, "server": b, "service": "tcp/5000", "state": ("ESTABLISHED", "ESTABLISHED"), "was": CLOSED,
                    "cause": "data", "inferred": "midstream"},
            base | {"ts": self.BASE + SECOND, "client": a, "server": b, "service": "tcp/5000", "state": ("FIN_WAIT_1", "CLOSE_WAIT"),
                    "was": ("ESTABLISHED", "ESTABLISHED"), "cause": "fin"},
            base | {"ts": self.BASE + 2 * SECOND, "client": b, "server": a, "service": "https", "state": ("CLOSE_WAIT", "FIN_WAIT_1"),
                    "was": ("CLOSE_WAIT", "FIN_WAIT_1"), "cause": "roles"},
            base | {"ts": self.BASE + 30 * SECOND, "client": b, "server": a, "service": "https", "state": ("CLOSE_WAIT", "FIN_WAIT_2"),
                    "was": ("CLOSE_WAIT", "FIN_WAIT_1"), "cause": "ack"}]
        for partitions in (1, 64):
            self.redis("FLUSHALL")
            self.write(transitions, partitions=partitions)
            oracle = Oracle(transitions)
            for ts in (self.BASE + SECOND, self.BASE + 2 * SECOND, self.BASE + 25 * SECOND, self.BASE + 30 * SECOND):
                wanted = oracle.connections(ts)
                self.assertEqual(self.ask("connections", "--at", stamp(ts))["rows"], wanted)
                for client in ("10.0.0.1", "10.0.0.2"):
                    self.assertEqual(self.ask("connections", "--at", stamp(ts), "--client", client)["rows"],
                                     [w for w in wanted if address(w["client"]) == client])
                self.assertEqual(self.ask("summary", "--at", stamp(ts), "--by", "server,state")["rows"],
                                 [{"server": w["server"], "state": w["client_state"] + "/" + w["server_state"], "count": "1"} for w in wanted])
            self.assertEqual([r["cause"] for r in self.ask("transitions")["rows"]], ["data", "fin", "roles", "ack"])

    def test_probe_that_died(self):
        transitions = self.simple()
        self.write(transitions)
        last = transitions[-1]["ts"]
        for words in ((), ("--at", "now")):
            answer = self.ask("connections", *words, quiet=False)
            self.assertEqual(answer["at"], stamp(last))
            self.assertEqual(answer["rows"], Oracle(transitions).connections(last))
            self.assertIn("probe p does not run: its now is its last capture time, %s" % stamp(last), self.warnings)
        answer = self.ask("connections", "--at", "-30s", quiet=False)
        self.assertEqual(answer["rows"], Oracle(transitions).connections(last - 30 * SECOND))
        answer = self.ask("connections", "--at", stamp(last + 3600 * SECOND), quiet=False)
        self.assertEqual(answer["rows"], [])
        self.assertIn("nothing is known of it after %s" % stamp(last), self.warnings)

    def test_running_probe(self):
        now = time.time_ns()
        common = {"flow": "%016x" % 1, "client": "10.1.0.1:1", "server": "10.9.0.1:443", "service": "https"}
        writer = self.write([common | {"ts": now - 60 * SECOND, "state": ("SYN_SENT", "CLOSED"), "was": CLOSED, "cause": "syn"}])
        self.redis("HSET", writer.key("status"), "heartbeat", stamp(now), "stats", '{"type":"stats","ts":%s}' % stamp(now))
        answer = self.ask("connections")
        self.assertLess(abs(nanoseconds(answer["at"]) - time.time_ns()), 60 * SECOND)
        self.assertEqual([r["flow"] for r in answer["rows"]], [common["flow"]])
        self.assertEqual(self.ask("connections", "--at", "-59s")["rows"], answer["rows"])

    def test_capture_from_2008(self):
        transitions = invent(5, flows=50, start=1_210_000_000)
        writer = self.write(transitions)
        last = transitions[-1]["ts"]
        # just written by a program that still beats: the capture's time is what counts
        self.redis("HSET", writer.key("status"), "heartbeat", stamp(time.time_ns()), "stats", '{"ts":%s}' % stamp(last))
        answer = self.ask("connections", quiet=False)
        self.assertEqual(answer["at"], stamp(last))
        self.assertEqual(answer["rows"], Oracle(transitions).connections(last))
        self.assertIn("does not run", self.warnings)

    def test_gaps(self):
        transitions = self.simple(40, 100)
        writer = self.write(transitions)
        writer.gap(self.BASE + 50 * SECOND, self.BASE + 45 * SECOND, self.BASE + 48 * SECOND, lost=17, why='a "why"')
        writer.gap(self.BASE + 90 * SECOND, self.BASE + 85 * SECOND, self.BASE + 88 * SECOND, what="transitions")
        writer.flush()
        ask = lambda *words: [g["from"] for g in self.ask(*words)["gaps"]]
        at45, at85 = stamp(self.BASE + 45 * SECOND), stamp(self.BASE + 85 * SECOND)
        self.assertEqual(ask("connections", "--at", stamp(self.BASE + 46 * SECOND)), [at45])
        self.assertEqual(ask("connections", "--at", stamp(self.BASE + 44 * SECOND)), [])
        self.assertEqual(ask("transitions"), [at45, at85])
        self.assertEqual(ask("transitions", "--from", stamp(self.BASE + 60 * SECOND)), [at85])
        gap = self.ask("transitions")["gaps"][0]
        self.assertEqual(gap, {"type": "gap", "ts": stamp(self.BASE + 50 * SECOND), "probe": "p", "from": at45,
                               "to": stamp(self.BASE + 48 * SECOND), "what": "packets", "lost": "17", "why": 'a "why"'})
        self.assertEqual(list(gap), ["type", "ts", "probe", "from", "to", "what", "lost", "why"])

    def test_format_of_another_version(self):
        self.write(self.simple(3, 3))
        self.redis("HSET", "spanwatch:probes", "newer", '{"format":2,"partitions":4,"skew_ms":2000,"first":1.0,"last":2.0}')
        self.assertIn("newer: this probe's part of the store is of format 2, understood is 1", self.ask("connections", status=1))
        self.assertEqual(len(self.ask("connections", "--probe", "p", "--at", stamp(self.BASE + 2 * SECOND))["rows"]), 3)

    def test_scopes_stay_apart(self):
        """The same addresses in two VLANs are two connections, also when two probes see both."""
        common = {"client": "10.0.0.1:1000", "server": "10.0.0.2:80", "service": "http", "was": CLOSED, "cause": "syn", "state": ("SYN_SENT", "CLOSED")}
        for name, base in (("a", 0), ("b", 2)):
            self.write([common | {"ts": self.BASE, "flow": "%016x" % (base + 1), "vlan": "10"},
                        common | {"ts": self.BASE + 1, "flow": "%016x" % (base + 2), "vlan": "20"}], name=name)
        rows = self.ask("connections", "--at", stamp(self.BASE + 1))["rows"]
        self.assertEqual([r["probe"] for r in rows], ["a,b", "a,b"])
        self.assertEqual(len(self.ask("connections", "--at", stamp(self.BASE + 1), "--probe", "a")["rows"]), 2)
        self.assertEqual([r["vlan"] for r in self.ask("transitions", "--probe", "a")["rows"]], ["10", "20"])

    def test_names_and_cmdb(self):
        transitions = self.simple(14, 20)
        self.write(transitions)
        self.redis("HSET", "spanwatch:clients", "10.1.0.0/16", '{"name":"branch"}', "10.1.0.3", '{"name":"pos-terminal-17","site":"Ulm"}',
                   "10.1.0.4/31", '{"name":"pair"}')
        self.redis("HSET", "spanwatch:cmdb", "https", '{"owner":"web-team","tier":1}')
        rows = self.ask("connections", "--at", stamp(transitions[-1]["ts"]))["rows"]
        for r in rows:
            host = int(address(r["client"]).rpartition(".")[2])
            self.assertEqual(r["client_name"], {3: "pos-terminal-17", 4: "pair", 5: "pair"}.get(host, "branch"))
            self.assertEqual(r["cmdb"], {"owner": "web-team", "tier": "1"})
        self.assertEqual(list(rows[0]), "probe flow client server service client_state server_state client_since server_since client_name cmdb".split())
        at = ("--at", stamp(transitions[-1]["ts"]))
        for name, n in (("pos-terminal-17", 2), ("pair", 4), ("branch", 8)):
            self.assertEqual(len(self.ask("connections", *at, "--client", name)["rows"]), n)
        self.assertEqual(len(self.ask("connections", *at, "--cmdb", "owner=web-team", "--cmdb", "tier=1")["rows"]), 14)
        self.assertEqual(self.ask("connections", *at, "--cmdb", "owner=nobody")["rows"], [])
        self.assertEqual(self.ask("summary", *at, "--by", "cmdb.owner,cmdb.site")["rows"], [{"cmdb.owner": "web-team", "cmdb.site": "", "count": "14"}])
        self.assertIn('--client: found "posterminal", which is no client\'s name', self.ask("connections", "--client", "posterminal", status=2))
        self.assertEqual([r["name"] for r in self.ask("clients", *at, "--client", "pair")["rows"]], ["pair", "pair"])

    def test_client_of_many_services(self):
        for services, told in ((300, 300), (600, 512)):
            opened = [t | {"client": "10.0.0.1:%d" % (20000 + i // 3), "service": "s%03d" % (i // 3)} for i, t in enumerate(self.simple(services, 60))]
            self.write(opened, name="many%d" % services)
            row, = self.ask("clients", "--probe", "many%d" % services, "--at", stamp(opened[-1]["ts"]), quiet=services == told)["rows"]
            self.assertEqual(row["services"], ["s%03d" % i for i in range(told)])
        self.assertIn("client 10.0.0.1 has more services than a row has room for", self.warnings)

    def test_alarms(self):
        writer = self.write(self.simple(2, 20))
        ts = self.BASE
        alarms = []
        for i, (kind, severity, status, scope) in enumerate((
                ("syn_flood", "critical", "raised", {"server": "10.9.0.1:443", "service": "https"}),
                ("port_scan", "warning", "raised", {"client": "10.1.0.1", "service": "ssh"}),
                ("syn_flood", "critical", "cleared", {"server": "10.9.0.1:443", "service": "https"}))):
            text = json.dumps({"type": "alarm", "ts": 0, "probe": "p", "seq": i + 1, "id": "a%d" % i, "kind": kind, "severity": severity,
                               "status": status, "scope": scope, "cmdb": {"owner": "web"} if i == 0 else {}, "summary": "s"})
            text = text.replace('"ts": 0', '"ts":%s' % stamp(ts + i * SECOND))
            alarms.append(json.loads(text, parse_float=str, parse_int=str))
            writer.alarm(ts + i * SECOND, text, kind=kind, severity=severity, status=status, seq=i + 1)
            self.redis("HSET", writer.key("active"), "a%d" % i, text)
        writer.flush()
        ask = lambda *words: self.ask("alarms", *words)["rows"]
        self.assertEqual(ask(), alarms)
        self.assertEqual(ask("--kind", "port_scan"), alarms[1:2])
        self.assertEqual(ask("--severity", "critical", "--status", "raised"), alarms[:1])
        self.assertEqual(ask("--service", "ssh"), alarms[1:2])
        self.assertEqual(ask("--client", "10.1.0.0/24"), alarms[1:2])
        self.assertEqual(ask("--server", "10.9.0.1:443"), [alarms[0], alarms[2]])
        self.assertEqual(ask("--cmdb", "owner=web"), alarms[:1])
        self.assertEqual(ask("--from", stamp(ts + 1), "--to", stamp(ts + SECOND)), alarms[1:2])
        self.assertEqual(self.ask("active", "--severity", "warning")["rows"], alarms[1:2])
        self.assertEqual(self.ask("active")["rows"], alarms)
        writer.gap(ts + 2 * SECOND, ts + SECOND, ts + 2 * SECOND)
        writer.flush()
        self.assertEqual((self.ask("active")["gaps"], len(self.ask("alarms")["gaps"])), ([], 1))

    def test_limit_formats_and_order(self):
        transitions = self.simple(10, 20)
        self.write(transitions)
        at = ("--at", stamp(transitions[-1]["ts"]))
        whole = self.ask("connections", *at)["rows"]
        answer = self.ask("connections", *at, "--limit", "3")
        self.assertEqual((answer["rows"], answer["cut"]), (whole[:3], "7"))
        done = run("query", "connections", *at, "--limit", "4", "--redis", self.redis.url)
        self.assertIn("--limit left out 6 of 10 connections", done.stderr)
        lines = done.stdout.splitlines()
        self.assertEqual(len(lines), 6)
        self.assertEqual(lines[1].split()[:4], ["PROBE", "FLOW", "CLIENT", "SERVER"])
        self.assertNotIn("\033", done.stdout)
        done = run("query", "connections", *at, "--redis", self.redis.url, "--format", "csv")
        rows = list(csv.DictReader(io.StringIO(done.stdout, newline="")))
        self.assertEqual([{k: v for k, v in r.items() if v} for r in rows], whole)
        self.assertEqual(done.stdout.count("\r\n"), 11)

    def test_octets_from_anywhere(self):
        """What nobody wrote by the contract is left out, and said."""
        transitions = self.simple(5, 5)
        writer = self.write(transitions, partitions=1)
        key, ts = writer.key("transitions", 0), transitions[-1]["ts"]
        for i, fields in enumerate((["x", "y"], ["ts", "nonsense"], ["ts", stamp(ts), "flow", b"\xff\x00", "client", "10.0.0.1"],
                                    ["ts", stamp(ts), "flow", "%016x" % 9, "client", "10.0.0.1:1", "server", "[::1:2", "service", "s",
                                     "state", "A/B", "was", "CLOSED/CLOSED", "cause", "syn"])):
            self.redis("XADD", key, "%d-%d" % (ts // 10**6, 1000 + i), *fields)
        self.redis("XADD", writer.key("snapshots", 0), "%d-1" % (self.BASE // 10**6 - 1), "ts", "x", "kind", "begin")
        answer = self.ask("connections", "--at", stamp(ts), quiet=False)
        self.assertEqual(answer["rows"], Oracle(transitions).connections(ts))
        self.assertIn("entries of the store could not be understood", self.warnings)
        self.redis("HSET", "spanwatch:probes", b"bad\xff", "{}", "other", "no json")
        self.assertEqual(self.ask("connections", "--at", stamp(ts), quiet=False)["rows"], answer["rows"])

    def test_follow(self):
        now = time.time_ns()
        common = {"flow": "%016x" % 1, "client": "10.1.0.1:1", "server": "10.9.0.1:443", "service": "https"}
        old = common | {"ts": now - 60 * SECOND, "state": ("SYN_SENT", "CLOSED"), "was": CLOSED, "cause": "syn"}
        writer = self.write([old], partitions=3)
        self.redis("HSET", writer.key("status"), "heartbeat", stamp(now))
        process = subprocess.Popen([BINARY, "query", "transitions", "--follow", "--format", "json", "--redis", self.redis.url],
                                   stdout=subprocess.PIPE, text=True)
        try:
            time.sleep(0.5)
            for i in range(3):
                writer.transition(common | {"ts": time.time_ns(), "flow": "%016x" % (10 + i), "client": "10.1.0.%d:5" % i,
                                            "state": ("SYN_SENT", "CLOSED"), "was": CLOSED, "cause": "syn"})
                writer.flush()
                self.assertEqual(json.loads(process.stdout.readline())["flow"], "%016x" % (10 + i))
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(20), 0)
        finally:
            process.kill()
            process.stdout.close()
            process.wait()

    def test_library_with_little_memory(self):
        """A partition that holds more than may be held is read several times; no row is lost or doubled."""
        program = os.environ.get("QUERY_LIBRARY")
        if program is None:
            self.skipTest("QUERY_LIBRARY names no program")
        transitions = invent(21, flows=800)
        self.write(transitions, partitions=3)
        begin, end = transitions[len(transitions) // 2]["ts"], transitions[len(transitions) * 2 // 3]["ts"]
        ask = lambda held: subprocess.run([program, self.redis.url, str(held), stamp(begin), stamp(end)], capture_output=True, text=True, timeout=120)
        whole, little, none = ask(0), ask(20), ask(1)
        self.assertEqual((whole.returncode, whole.stderr), (0, ""))
        self.assertIn("probe p 3 0\n", whole.stdout)
        rows = ["p %s %s %s %s %s" % tuple(r[k] for k in ("client", "server", "service", "client_state", "server_state"))
                for r in Oracle(transitions).connections(end)]
        self.assertEqual(whole.stdout.splitlines()[1:len(rows) + 2], rows + ["rows %d cut 0" % len(rows)])
        self.assertEqual((little.returncode, little.stderr), (0, ""))
        self.assertEqual(sorted(little.stdout.splitlines()), sorted(whole.stdout.splitlines()))
        self.assertIn(none.returncode, (0, 1))

    def test_example_scripts(self):
        """Plain redis-cli and Python's redis package find what is there."""
        transitions = self.simple(20, 20)
        writer = self.write(transitions, partitions=5)
        alarm = '{"type":"alarm","ts":%s,"probe":"p","seq":1,"kind":"churn","severity":"info","status":"raised","summary":"it is so"}' % stamp(self.BASE)
        writer.alarm(self.BASE, alarm, kind="churn", severity="info", status="raised", seq=1)
        writer.flush()
        self.redis("HSET", writer.key("active"), "x", alarm)
        wanted = {" ".join((stamp(t["ts"]), t["client"], t["server"], t["service"], "/".join(t["was"]), "->", "/".join(t["state"]), t["cause"]))
                  for t in transitions if address(t["client"]) == "10.1.0.3"}
        examples = os.path.join(os.path.dirname(os.path.dirname(HERE)), "scripts", "examples")
        done = subprocess.run([os.path.join(examples, "read-with-redis-cli"), "p", "10.1.0.3", "-s", self.redis.path], capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual({line for line in done.stdout.splitlines() if "->" in line}, wanted)
        self.assertEqual(done.stdout.count(alarm), 2)
        for python in (sys.executable, "/usr/bin/python3"):
            if subprocess.run([python, "-c", "import redis"], capture_output=True).returncode == 0:
                break
        else:
            self.skipTest("no Python here has the package redis")
        done = subprocess.run([python, "-B", os.path.join(examples, "read_with_python.py"), "p", "10.1.0.3", "--url", self.redis.url],
                              capture_output=True, text=True)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        lines = done.stdout.splitlines()
        self.assertEqual(set(lines[:-1]), wanted)
        self.assertEqual(lines[-1], "%s p 1 info raised churn it is so" % stamp(self.BASE))

    def test_nothing_blocks_redis(self):
        """No command asks for more than a page: the time that one takes is the machine's, its size is ours."""
        transitions = invent(11, flows=3000)
        self.write(transitions, partitions=2)
        self.redis("CONFIG", "SET", "slowlog-max-len", "100000")
        self.redis("CONFIG", "SET", "slowlog-log-slower-than", "0")
        for what in ("connections", "clients", "summary"):
            self.ask(what, "--at", stamp(transitions[len(transitions) // 2]["ts"]))
        self.ask("transitions")
        asked = [[word.upper() for word in entry[3]] for entry in self.redis("SLOWLOG", "GET", "100000")]
        pages = [words for words in asked if words[0] in (b"XRANGE", b"XREVRANGE")]
        self.assertGreater(len(pages), 10)
        for words in pages:
            self.assertLessEqual(int(words[words.index(b"COUNT") + 1]), 1000, words)
        self.assertEqual({words[0] for words in asked} & {b"KEYS", b"SORT", b"EVAL", b"EVALSHA", b"SMEMBERS"}, set())

    def test_errors(self):
        def wrong(text, *words, status=2):
            done = run("query", *words, "--redis", self.redis.url, status=status)
            self.assertIn(text, done.stderr)
            self.assertEqual((done.stdout, done.stderr.count("\n")), ("", 1))
        wrong('--state: found "OPEN", allowed are CLOSED, SYN_SENT', "connections", "--state", "OPEN")
        wrong('--client: found "10.0.0.300", allowed are IP[/LEN][:PORT]', "connections", "--client", "10.0.0.300")
        wrong('--server: found "10.0.0.1/8", allowed are', "connections", "--server", "10.0.0.1/8")
        wrong('--by: found "colour", allowed are', "summary", "--by", "colour")
        wrong("--by: does not go with clients; allowed with summary", "clients", "--by", "state")
        wrong("--at: does not go with transitions", "transitions", "--at", "now")
        wrong("--from: is missing", "diff")
        wrong('query: found "everything", allowed are connections', "everything")
        wrong('--limit: found "-1"', "connections", "--limit", "-1")
        wrong('--cmdb: found "owner", allowed is KEY=VALUE', "connections", "--cmdb", "owner")
        wrong('--format: found "xml", allowed are table, json, csv', "connections", "--format", "xml")
        wrong('--kind: found "flood", allowed are syn_flood', "alarms", "--kind", "flood")
        wrong('--probe: found "edge"; this store has no probe yet', "connections", "--probe", "edge")
        done = run("query", "connections", "--redis", "unix:///nowhere/redis.sock", status=1)
        self.assertIn("cannot be reached", done.stderr)
        answer = self.ask("connections", quiet=False)
        self.assertEqual(answer["rows"], [])
        self.assertLess(abs(float(answer["at"]) - time.time()), 3600)
        self.assertIn("no probe yet", self.warnings)

    def test_records_of_a_capture(self):
        """What `read` says, put into the store by the reference writer, gives what `read --at` says."""
        path = os.path.join(PCAPS, "demo.pcap")
        lines = run("read", "--format", "jsonl", "--records", "transitions", path).stdout.splitlines()
        transitions = [from_record(json.loads(line, parse_float=str, parse_int=str)) for line in lines]
        self.write(transitions, name="demo.pcap", partitions=8, keyframe_every=1)
        dice = random.Random(3)
        for _ in range(25):
            ts = dice.randrange(transitions[0]["ts"], transitions[-1]["ts"])
            rows = [json.loads(line, parse_float=str) for line in run("read", "--format", "jsonl", "--at", stamp(ts), path).stdout.splitlines()]
            key = lambda r: (place(r["client"]), place(r["server"]), r["flow"])
            self.assertEqual(self.ask("connections", "--at", stamp(ts))["rows"], sorted(rows, key=key))


if __name__ == "__main__":
    if not private_redis.is_there():
        print("test_query: skipped: there is no redis-server")
        sys.exit(77)
    BINARY = os.path.abspath(sys.argv.pop(1))
    unittest.main()
