#!/usr/bin/env python3
"""The command line itself: verbs, options, errors, exit statuses, files.    test_cli.py BINARY

Captures are made here, octet by octet. What the probe thinks of connections is not judged here beyond one SYN.
"""
import gzip
import json
import os
import struct
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BINARY = ""
START = 1700000000
SYN, SYN_ACK, ACK = 0x02, 0x12, 0x10


def tcp(src, dst, flags, seq=1, ack=0):
    """An IPv4 packet with a TCP header: ends are ("10.0.0.1", 1234)."""
    segment = struct.pack("!HHIIBBHHH", src[1], dst[1], seq, ack, 0x50, flags, 65535, 0, 0)
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 1, 0, 64, 6, 0)
    return header + bytes(map(int, src[0].split("."))) + bytes(map(int, dst[0].split("."))) + segment


def pcap(packets, link=101):
    """A classic capture of raw IP packets: [(seconds after START, octets)]."""
    octets = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, link)
    for seconds, packet in packets:
        whole = int(seconds)
        octets += struct.pack("<IIII", START + whole, round((seconds - whole) * 1e6), len(packet), len(packet)) + packet
    return octets


def block(kind, body):
    """A pcapng block, little endian."""
    body += b"\0" * (-len(body) % 4)
    return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)


def two_taps(packets, *names):
    """A pcapng file of several interfaces, each with a name; packets: [(interface, seconds, packet)]."""
    octets = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    for name in names:
        padded = name + b"\0" * (-len(name) % 4)
        octets += block(1, struct.pack("<HHI", 101, 0, 0) + struct.pack("<HH", 2, len(name)) + padded + b"\0" * 4)
    for interface, seconds, packet in packets:
        stamp = round((START + seconds) * 1e6)
        head = struct.pack("<IIIII", interface, stamp >> 32, stamp & 0xFFFFFFFF, len(packet), len(packet))
        octets += block(6, head + packet)
    return octets


def pcapng(packets, interface_drops, kernel_drops):
    """The same as pcapng, closed by an interface statistics block that tells of drops."""
    octets = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)) + block(1, struct.pack("<HHI", 101, 0, 0))
    for seconds, packet in packets:
        stamp = round((START + seconds) * 1e6)
        octets += block(6, struct.pack("<IIIII", 0, stamp >> 32, stamp & 0xFFFFFFFF, len(packet), len(packet)) + packet)
    options = struct.pack("<HHQHHQHH", 5, 8, interface_drops, 7, 8, kernel_drops, 0, 0)
    return octets + block(5, struct.pack("<III", 0, 0, 0) + options)


CLIENT, SERVER = ("10.0.0.1", 40000), ("10.0.0.2", 443)
HANDSHAKE = [(0, tcp(CLIENT, SERVER, SYN)), (0.01, tcp(SERVER, CLIENT, SYN_ACK, 1, 2)), (0.02, tcp(CLIENT, SERVER, ACK, 2, 2))]
LATER = (3, tcp(("10.0.0.3", 40001), SERVER, SYN))


class Cli(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.capture = self.file("edge 1.pcap", pcap(HANDSHAKE + [LATER]))

    def tearDown(self):
        self.folder.cleanup()

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def file(self, name, content):
        with open(self.path(name), "wb") as f:
            f.write(content if isinstance(content, bytes) else content.encode())
        return self.path(name)

    def run_it(self, *arguments, **more):
        return subprocess.run([BINARY, *arguments], capture_output=True, timeout=60, cwd=self.folder.name,
                              **{"stdin": subprocess.DEVNULL, **more})

    def good(self, *arguments, **more):
        """Standard output of a run that must succeed in silence."""
        done = self.run_it(*arguments, **more)
        self.assertEqual((done.returncode, done.stderr.decode()), (0, ""), arguments)
        return done.stdout.decode()

    def bad(self, status, arguments, *words):
        """A run that must fail with this status, no data, and one message that has all the words."""
        done = self.run_it(*arguments)
        message = done.stderr.decode()
        self.assertEqual(done.returncode, status, (arguments, message))
        self.assertEqual(done.stdout, b"", arguments)
        self.assertEqual(message.count("\n"), 1, message)
        self.assertTrue(message.startswith("spanwatch: "), message)
        for word in words:
            self.assertIn(word, message, arguments)

    def lines(self, *arguments, **more):
        return [json.loads(line) for line in self.good("read", "--format", "jsonl", *arguments, **more).splitlines()]

    # verbs and help

    def test_verbs(self):
        self.bad(2, ["nothing"], "spanwatch: nothing: unknown verb", "there are read, probe, check, ")
        self.bad(2, ["raed"], "unknown verb", "the nearest is read")
        self.bad(2, ["help", "nothing"], "spanwatch: nothing: unknown verb")
        self.bad(2, ["version", "x"], "version: takes neither")
        self.bad(2, ["help", "read", "check"], "help: takes one verb")
        done = self.run_it()
        self.assertEqual((done.returncode, done.stdout), (2, b""))
        self.assertIn("no verb given; there are read, probe, check, ", done.stderr.decode())

    def test_version(self):
        self.assertRegex(self.good("version"), r"^spanwatch \d+\.\d+\.\d+\n$")
        self.assertEqual(self.good("--version"), self.good("version"))

    def test_help(self):
        overview = self.good("help")
        self.assertEqual(self.good("--help"), overview)
        for verb in "read", "check", "version", "help":
            self.assertIn("spanwatch " + verb, overview)
            self.assertEqual(self.good(verb, "--help"), self.good("help", verb))
            self.assertIn("Usage: spanwatch " + verb, self.good("help", verb))
        text = self.good("help", "read")
        for option in ("config name redis filter workers services cmdb alarms allow set output format records at linger "
                       "help").split():
            self.assertIn("  --" + option, text)
        self.assertNotIn("later versions", " ".join(text.split()))
        self.assertLessEqual(max(map(len, text.splitlines())), 80)
        self.assertIn("tracker.tcp_fin_timeout", self.good("help", "check"))

    # options

    def test_options(self):
        read = ["read", self.capture]
        self.bad(2, read + ["--formt", "jsonl"], "--formt: unknown option", "--format")
        self.bad(2, read + ["-i", "eth0"], "-i: unknown option")
        self.bad(2, read + ["--format", "xml"], '--format: found "xml"', "report, jsonl, none")
        self.bad(2, read + ["--records", "stats,foo"], '--records: found "stats,foo"', "transitions")
        self.bad(2, read + ["--redis", "http://h"], "--redis: unknown kind of URL", "allowed is redis://")
        self.bad(2, read + ["--workers", "65"], "--workers", "1 to 64")
        self.bad(2, read + ["--linger", "soon"], "--linger", "seconds")
        self.bad(2, read + ["--at", "soon"], "--at", "RFC 3339")
        self.bad(2, read + ["--config"], "--config: needs a value: FILE")
        self.bad(2, ["read"], "read: no FILE given")
        self.bad(2, ["check", "--filter", "tcp"], "--filter: unknown option")
        self.bad(2, ["check", "x.json"], 'check: found "x.json"')

    def test_control_octets_are_escaped(self):
        self.bad(2, ["read", "--name", "a\x1b[2J\nb", "x"], "\\x1b[2J\\x0ab")

    def test_filter(self):
        self.bad(2, ["read", self.capture, "--filter", "tcp port and"], "--filter", '"tcp port and"', "syntax error")
        self.bad(2, ["read", "no-such.pcap", "--filter", "port 99999"], "--filter", "port 99999")
        records = ["--records", "stats", self.capture]
        self.assertEqual(self.lines("--filter", "src port 443", *records)[0]["packets"], 1)
        self.assertEqual(self.lines(*records)[0]["packets"], 4)

    def test_filter_that_leaves_nothing(self):
        done = self.run_it("read", "--format=jsonl", "--records=stats", self.capture, "--filter", "udp")
        self.assertEqual((done.returncode, json.loads(done.stdout)["packets"]), (0, 0))
        self.assertIn("--filter: none of 4 packets matches", done.stderr.decode())

    def test_filter_that_a_link_type_cannot_have(self):
        arguments = ["read", self.capture, "--format=jsonl", "--records=stats", "--filter", "ether src 0:0:0:0:0:1"]
        done = self.run_it(*arguments)
        self.assertEqual(done.returncode, 1)
        self.assertIn("link type 101", done.stderr.decode())
        self.assertEqual(json.loads(done.stdout)["packets"], 0)

    def test_name(self):
        self.bad(2, ["read", "--name", "a/b", self.capture], '--name: found "a/b"', "1 to 64")
        self.bad(2, ["read", "--name", "", self.capture], "--name")
        self.bad(2, ["read", "--name", "n" * 65, self.capture], "--name")
        probe = {line["probe"] for line in self.lines(self.capture)}
        self.assertEqual(probe, {"edge_1.pcap"})
        packed = self.file("day.pcap.gz", gzip.compress(pcap(HANDSHAKE)))
        self.assertEqual({line["probe"] for line in self.lines(packed, self.capture)}, {"day.pcap"})
        self.assertEqual({line["probe"] for line in self.lines("--name", "n" * 64, self.capture)}, {"n" * 64})

    # captures

    def test_captures_that_are_none(self):
        self.bad(1, ["read", "no-such.pcap"], "no-such.pcap: ")
        self.bad(1, ["read", self.folder.name], self.folder.name, "is a folder")
        self.bad(1, ["read", self.file("empty.pcap", b"")], "empty.pcap: ", "empty")
        self.bad(1, ["read", self.file("notes.txt", "time is on my side, and so on\n" * 9)], "notes.txt: ", "capture")
        self.bad(1, ["read", self.capture, "no-such.pcap", "--format", "jsonl"], "no-such.pcap: ")

    def test_capture_without_packets(self):
        nothing = self.file("nothing.pcap", pcap([]))
        lines = self.lines(nothing)
        self.assertEqual([line["type"] for line in lines], ["stats"])
        self.assertEqual(lines[0]["packets"], 0)
        self.assertEqual(self.good("read", "--format", "none", nothing), "")
        self.assertNotEqual(self.good("read", nothing), "")

    def test_cut_capture(self):
        cut = self.file("cut.pcap", pcap(HANDSHAKE)[:-7])
        done = self.run_it("read", "--format", "jsonl", cut)
        self.assertEqual(done.returncode, 1)
        self.assertIn("cut.pcap", done.stderr.decode())
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual((lines[-1]["type"], lines[-1]["packets"]), ("stats", 2))
        self.assertEqual(lines[0]["cause"], "syn")

    def test_unknown_link_type(self):
        done = self.run_it("read", "--format=jsonl", "--records=stats", self.file("odd.pcap", pcap(HANDSHAKE, 147)))
        self.assertEqual(done.returncode, 0)
        self.assertIn("3 packets were not looked into: the first is of link type 147", done.stderr.decode())
        stats = json.loads(done.stdout)
        self.assertEqual((stats["packets"], stats["tcp"], stats["not_tcp"]), (3, 0, 3))

    def test_drops_that_the_file_tells_of(self):
        dropped = self.file("dropped.pcapng", pcapng(HANDSHAKE + [LATER], 5, 2))
        lines = self.lines(dropped)
        gaps = [line for line in lines if line["type"] == "gap"]
        self.assertEqual([(g["ts"], g["from"], g["to"], g["what"], g["lost"]) for g in gaps],
                         [(START + 3, START, START + 3, "packets", 7)])
        self.assertEqual([lines[-1][key] for key in ("interface_drops", "kernel_drops", "gaps")], [5, 2, 1])
        times = [line["ts"] for line in lines if line["type"] in ("transition", "gap")]
        self.assertEqual(times, sorted(times))
        self.assertEqual(self.lines("--records", "gaps", dropped), gaps)
        self.assertEqual(self.lines("--records", "gaps", self.capture), [])

    def test_a_silent_interface_is_named(self):
        packets = [(0, second, LATER[1]) for second in range(0, 100, 2)]
        packets += [(1, second + 1, LATER[1]) for second in range(0, 50, 2)]
        name = self.file("taps.pcapng", two_taps(sorted(packets, key=lambda p: p[1]), b"north", b"so\"uth"))
        for workers in ("1", "2"):
            alarms = [a for a in self.lines("--records", "alarms", "--workers", workers, name) if a["kind"] == "capture_silent"]
            self.assertEqual([(a["status"], a["scope"]) for a in alarms], [("raised", {"interface": "so\"uth"})])

    def test_more_services_than_the_alarms_have_room_for(self):
        packets = []
        for i in range(9000):
            server = ("10.1.%d.%d" % (i // 200, i % 200 + 1), 443)
            packets += [(i / 1000, tcp(CLIENT, server, SYN)), (i / 1000 + 0.0001, tcp(server, CLIENT, SYN_ACK, 1, 2)),
                        (i / 1000 + 0.0002, tcp(CLIENT, server, ACK, 2, 2))]
        done = self.run_it("read", "--format", "none", self.file("many.pcap", pcap(packets)))
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stderr.decode(), "alarms: the table of services was full, [1-9][0-9]* times")

    def test_standard_input(self):
        with open(self.capture, "rb") as f:
            lines = self.lines("-", stdin=f)
        with_path = self.lines("--name=-", self.capture)
        self.assertEqual(lines, with_path)

    # records and where they go

    def test_formats(self):
        self.assertEqual(self.good("read", "--format", "none", self.capture), "")
        lines = self.lines(self.capture)
        self.assertEqual({line["type"] for line in lines}, {"transition", "connection", "snapshot", "stats"})
        stats = lines[-1]
        self.assertEqual((stats["type"], stats["ts"], stats["bytes"]), ("stats", START + 3, 160))
        for name in "transition", "connection":
            chosen = self.lines("--records", name + "s", self.capture)
            self.assertEqual(chosen, [line for line in lines if line["type"] == name])
        snapshots = self.lines("--records", "snapshots", self.capture)
        self.assertEqual(snapshots, [line for line in lines if line["type"] == "snapshot"])
        self.assertEqual(self.lines("--records", "alarms,gaps", self.capture), [])
        report = self.good("read", self.capture)
        self.assertIn("edge 1.pcap", report)
        self.assertNotIn("\x1b", report)

    def test_output(self):
        out = self.path("out.jsonl")
        expected = self.good("read", "--format", "jsonl", self.capture)
        self.file("out.jsonl", "x" * 100000)
        self.assertEqual(self.good("read", "--format", "jsonl", "--output", out, self.capture), "")
        with open(out) as f:
            self.assertEqual(f.read(), expected)
        self.assertEqual(self.good("read", "--format", "jsonl", "--output=-", self.capture), expected)
        self.assertEqual(self.good("read", "--output", out, self.capture), "")
        with open(out) as f:
            self.assertEqual(f.read(), self.good("read", self.capture))
        self.bad(1, ["read", "--output", "no/such/folder", self.capture], "--output: no/such/folder cannot be created")
        self.bad(1, ["read", "--output", self.capture, self.capture], "is a file that is to be read")
        self.assertEqual(len(self.lines(self.capture)), expected.count("\n"))

    @unittest.skipUnless(os.path.exists("/dev/full"), "no /dev/full")
    def test_full_disk(self):
        for arguments in (["version"], ["help"], ["check"], ["read", self.capture], ["read", "--format=jsonl", self.capture],
                          ["read", "--at=now", self.capture], ["read", "--at=now", "--format=jsonl", self.capture]):
            with open("/dev/full", "wb") as full:
                done = subprocess.run([BINARY, *arguments], stdout=full, stderr=subprocess.PIPE, timeout=60)
            self.assertEqual(done.returncode, 1, arguments)
            self.assertIn("No space left on device", done.stderr.decode(), arguments)

    def test_reader_that_goes_away(self):
        capture = self.file("many.pcap", pcap([(n / 100, tcp(("10.0.0.9", 1024 + n), SERVER, SYN)) for n in range(5000)]))
        for arguments in ["--format=jsonl"], ["--at=now", "--format=jsonl"], ["--at=now"], []:
            reader, writer = os.pipe()
            os.close(reader)
            done = subprocess.run([BINARY, "read", *arguments, capture], stdout=writer, stderr=subprocess.PIPE, timeout=60)
            os.close(writer)
            self.assertEqual((done.returncode, done.stderr), (0, b""), arguments)

    def test_progress_is_for_terminals_only(self):
        self.assertEqual(self.run_it("read", self.capture).stderr, b"")

    # --at

    def rows(self, *arguments):
        return [(row["client"], row["client_state"], row["server_state"]) for row in self.lines(*arguments, self.capture)]

    def test_at(self):
        asked = ("10.0.0.1:40000", "SYN_SENT", "CLOSED")
        open_ = ("10.0.0.1:40000", "ESTABLISHED", "ESTABLISHED")
        later = ("10.0.0.3:40001", "SYN_SENT", "CLOSED")
        self.assertEqual(self.rows("--at", str(START)), [asked])
        self.assertEqual(self.rows("--at", str(START) + ".009999999"), [asked])
        self.assertEqual(self.rows("--at", str(START) + ".02"), [open_])
        self.assertEqual(self.rows("--at", "2023-11-14T22:13:22.999999999Z"), [open_])
        self.assertEqual(self.rows("--at", "2023-11-14T23:13:23+01:00"), [open_, later])
        self.assertEqual(self.rows("--at", "now"), [open_, later])
        self.assertEqual(self.rows("--at", "-1s"), [open_])
        self.assertEqual(self.rows("--at", "-3s"), [asked])
        self.assertIn("10.0.0.3:40001", self.good("read", "--at", "now", self.capture))
        self.assertEqual(self.good("read", "--at", "now", "--format", "none", self.capture), "")

    def test_at_times_without_an_answer(self):
        for time, linger, word in (("1699999999.9", "120", "before the first packet (1700000000.000000000)"), ("-1h", "120", "before"),
                                   (str(START + 14), "10", "later than the last packet"), ("1", "120", "before")):
            done = self.run_it("read", "--format=jsonl", "--at", time, "--linger", linger, self.capture)
            self.assertEqual((done.returncode, done.stdout), (0, b""), time)
            self.assertIn(word, done.stderr.decode())
        self.assertEqual(len(self.rows("--at", str(START + 4), "--linger", "1")), 2)
        done = self.run_it("read", "--at=now", self.file("nothing.pcap", pcap([])))
        self.assertEqual((done.returncode, done.stdout), (0, b""))
        self.assertIn("no packets", done.stderr.decode())

    def test_at_is_not_misled_by_one_wrong_stamp(self):
        """A lone packet of next week does not end the search: its time is not believed (design 1.3)."""
        wrong = [(0.5, tcp(CLIENT, SERVER, ACK, 2, 2)), (604800, tcp(CLIENT, SERVER, ACK, 2, 2))]
        capture = self.file("leap.pcap", pcap(HANDSHAKE + wrong + [LATER, (9, LATER[1])]))
        rows = self.lines("--at", str(START + 4), capture)
        self.assertEqual([row["client"] for row in rows], ["10.0.0.1:40000", "10.0.0.3:40001"])

    def test_at_inside_a_leap(self):
        """The first two packets of the next day count from the day before, their timers from the next: no moment between them sees one run out."""
        end, other = ("10.0.0.4", 40002), 86400
        day = [(other, tcp(end, SERVER, SYN, 1)), (other + 1, tcp(SERVER, end, SYN_ACK, 1, 2)), (other + 3, tcp(end, SERVER, ACK, 2, 2))]
        capture = self.file("day.pcap", pcap(HANDSHAKE + day))
        for seconds in 1, 600, other // 2, other, other + 2:
            rows = [(r["client"], r["client_state"], r["server_state"]) for r in self.lines("--at", str(START + seconds), capture)]
            self.assertEqual(rows, [("10.0.0.1:40000", "ESTABLISHED", "ESTABLISHED"), ("10.0.0.4:40002", "ESTABLISHED", "SYN_RECEIVED")], seconds)

    def test_at_on_standard_input(self):
        with open(self.capture, "rb") as f:
            self.assertEqual(len(self.lines("--at=now", "-", stdin=f)), 2)
        self.bad(2, ["read", "--at=-5m", "-"], "--at: ", "read twice")

    # configuration

    def test_set(self):
        for setting, *words in (("tracker.timewait=3", "tracker.timewait: unknown key", "time_wait"),
                                ("tracker.time_wait=long", 'tracker.time_wait: found "long" (a string)', "a whole number from 1"),
                                ("tracker.time_wait=0", "tracker.time_wait: found 0", "from 1 to 604800"),
                                ("tracker.time_wait", "KEY.PATH=VALUE"),
                                ("nothing=1", "nothing: unknown key", "tracker")):
            for verb in ["check"], ["read", self.capture]:
                self.bad(2, verb + ["--set", setting], "--set " + setting + ": ", *words)
        self.assertRegex(self.good("check", "--set", "tracker.time_wait=77"), r"(?m)^  tracker\.time_wait +77 s$")

    def test_config(self):
        config = self.file("c.json", '{"tracker": {\n  "time_wait": 30,\n  "tcp_fin_timeot": 5}}')
        for verb in ["check"], ["read", self.capture]:
            self.bad(2, verb + ["--config", config], "c.json:3: tracker.tcp_fin_timeot: unknown key", "tcp_fin_timeout")
            self.bad(2, verb + ["--config", "no.json"], "no.json: No such file")
            self.bad(2, verb + ["--config", self.file("d.json", '{"tracker":\n\n{')], "d.json:3: tracker: not valid JSON")
            self.bad(2, verb + ["--config", self.file("e.json", '{"store":{},\n"store":{}}')], "e.json:2: ", "duplicate")
            self.bad(2, verb + ["--config", self.file("f.json", "[]")], "f.json:1: the file: found an array")
        text = self.good("check", "--config", self.file("g.json", '{"tracker":{"hosts":[{"address":"10.0.0.0/8","tcp_fin_timeout":5}]}}'),
                         "--set", "store.prefix=other")
        self.assertIn("10.0.0.0/8: tcp_fin_timeout 5 s\n", text)
        self.assertRegex(text, r"(?m)^  store\.prefix +other$")
        self.assertRegex(text, r"(?m)^  tracker\.time_wait +61 s \(default\)$")
        self.good("check", "--config", self.file("h.json", ""))

    def test_shipped_files(self):
        conf = os.path.join(ROOT, "conf")
        text = self.good("check", "--config", os.path.join(conf, "spanwatch.json"), "--services", os.path.join(conf, "services.json"),
                         "--cmdb", os.path.join(conf, "cmdb.json"))
        self.assertIn("10.7.0.17: {\"name\":\"pos-terminal-17\",\"site\":\"Ulm\"}\n", text)
        self.assertNotIn("services without attributes", text)
        self.assertIn("10.1.0.0/16 ports 8000 to 8099 in VLAN 20 is api\n", text)

    def test_services(self):
        entry = '{"services":[{"server":"10.0.0.2","port":443,"name":"%s"}]}'
        wrong = self.file("s.json", '{"services":[\n{"server":"10.0.0.2","port":"443","name":"x"}]}')
        for verb in ["check"], ["read", self.capture]:
            self.bad(2, verb + ["--services", wrong], 's.json:2: services[0].port: found "443" (a string)', '"LOW-HIGH"')
            self.bad(2, verb + ["--services", "no.json"], "no.json: No such file")
        services = self.file("t.json", entry % "shop")
        names = {line["service"] for line in self.lines("--services", services, "--records=transitions", self.capture)}
        self.assertEqual(names, {"shop"})
        self.assertIn("  10.0.0.2 port 443 is shop\n", self.good("check", "--services", services))

    def test_cmdb(self):
        wrong = self.file("c.csv", "service,owner\nhttps,web,team\n")
        bad = self.file("c.json", '{"cmdb":{\n"https":["web"]}}')
        for verb in ["check"], ["read", self.capture]:
            self.bad(2, verb + ["--cmdb", wrong], "c.csv:2: found 3 columns, the header has 2")
            self.bad(2, verb + ["--cmdb", bad], "c.json:2: cmdb.https: found an array, allowed is an object")
            self.bad(2, verb + ["--cmdb", "no.json"], "no.json: No such file")
            self.bad(2, verb + ["--cmdb", ""], "--cmdb: found an empty text")
        services = self.file("s.csv", "owner,service\nweb-team,https\n")
        clients = self.file("k.json", '{"clients":[{"address":"10.0.0.0/31","name":"till"}]}')
        rows = self.lines("--at=now", "--cmdb", services, "--cmdb", clients, self.capture)
        self.assertEqual([(row["client"], row.get("client_name"), row["cmdb"]) for row in rows],
                         [("10.0.0.1:40000", "till", {"owner": "web-team"}), ("10.0.0.3:40001", None, {"owner": "web-team"})])
        self.assertEqual(list(rows[0])[-2:], ["client_name", "cmdb"])
        self.bad(1, ["read", "--output", services, "--cmdb", services, self.capture], "is a file that is to be read")

    def test_large_files_are_refused_at_once(self):
        """100 MB, sparse or not: an error within a second, though here only the error is judged."""
        large = self.path("large.json")
        for name in "large.json", "large.csv":
            with open(self.path(name), "wb") as f:
                f.truncate(100_000_000)
        for option in "config", "services", "cmdb", "alarms", "allow":
            for verb in ["check"], ["read", self.capture]:
                self.bad(2, verb + ["--" + option, large], "large.json: larger than 16 MiB")
        self.bad(2, ["check", "--cmdb", self.path("large.csv")], "large.csv: larger than 16 MiB")
        full = self.file("full.json", '{"services":[\n' + ",\n".join(
            '{"server":"10.%d.%d.%d","port":443,"name":"s%d"}' % (n >> 16, n >> 8 & 255, n & 255, n) for n in range(200000)) +
            ',\n{"server":"10.0.0.7/32","port":443,"name":"again"}]}')
        self.bad(2, ["check", "--services", full], "full.json:200002: services[200000]: the same server", "services[7] in line 9")

    def test_what_rules_mean(self):
        rules = self.file("rules.json", """{"alarms":{"churn":{"enabled":false}},"services":{"api":{"backlog_full":{"raise":64}}},
            "clients":{"10.7.0.0/16":{"idle_long":{"age":9}}},"allow":{"scanners":["10.9.9.9","10.0.0.0/8"]}}""")
        said = self.good("check", "--alarms", rules)
        self.assertIn("  churn for all: off\n", said)
        self.assertIn("  backlog_full for service api: raise 64, clear 1, samples 20, windows 2, clear_windows 6\n", said)
        self.assertIn("  idle_long for clients 10.7.0.0/16: raise 1, windows 1, clear_windows 1, age 9\n", said)
        self.assertIn("  10.9.9.9 among the scanners raises nothing\n  10.0.0.0/8 among the scanners raises nothing\n", said)

    def test_files_of_alarms(self):
        for option in "alarms", "allow":
            good = self.file("good.json", '{"%s": {}}' % option)
            self.assertEqual(self.lines("--" + option, good, self.capture), self.lines(self.capture))
            self.assertIn(option + ": ", self.good("check", "--" + option, good))
            for verb in ["check"], ["read", self.capture]:
                self.bad(2, verb + ["--" + option, "no.json"], "no.json: No such file")
                self.bad(2, verb + ["--" + option, self.file("bad.json", "[1]")], "bad.json:1: ", "found an array")
                self.bad(2, verb + ["--" + option, self.file("bad.json", "{\n")], "bad.json:", "not valid JSON")


if __name__ == "__main__":
    if len(sys.argv) < 2 or not os.access(sys.argv[1], os.X_OK):
        print("skipped: usage is test_cli.py BINARY, and the binary must be there")
        sys.exit(77)
    BINARY = os.path.abspath(sys.argv.pop(1))
    unittest.main()
