#!/usr/bin/env python3
"""`spanwatch probe` on real interfaces: what it tells of live connections is what `spanwatch read` tells of a recording
made beside it; and it behaves as a daemon should.

    live.py --spanwatch PROGRAM [--only TEST,...]

Needs root on Linux (exit status 77 where it cannot run). Prints a line for each test. Exit status 1 when one failed.
"""
import argparse
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter

sys.dont_write_bytecode = True
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path += [os.path.join(ROOT, "tests", "tools"), os.path.join(ROOT, "tests", "golden")]
from live_probe import ADDRESS, NAME, Cable, Probe, Recorder, ns_of, same_records, threads_of  # noqa: E402
from netns import Unavailable  # noqa: E402
from pcapfile import ethernet, ip_packet, read_pcap  # noqa: E402
from test_records import Snapshots, nanoseconds  # noqa: E402

PORT = 8080
TIMERS = ("--set", "tracker.time_wait=1", "--set", "tracker.tcp_fin_timeout=2")
END_LIMIT = 5.0       # s: the contract
STAMPS_APART = 10**6  # ns between the stamps of two sockets on one device
F_SETPIPE_SZ = 1031
STATE = ("client", "server", "client_state", "server_state", "client_was", "server_was", "cause", "inferred")
CLOSED = ("client", "server", "conn_state", "history", "end", "client_bytes", "server_bytes", "client_packets",
          "server_packets", "client_retransmits", "server_retransmits")
COUNTED = ("packets", "bytes", "tcp", "not_tcp", "truncated", "malformed", "fragments", "duplicates", "reordered", "stray")


# ---- lives of connections

def pair(cable, listener):
    c = cable.connect(listener.getsockname()[1])
    v, _ = listener.accept()
    return c, v


def closes_first(first, second):
    first.sendall(b"request" * 50)
    second.recv(1000)
    second.sendall(b"answer" * 500)
    received = 0
    while received < 3000:
        received += len(first.recv(65536))
    first.close()
    while second.recv(65536):
        pass
    second.close()


def reset(c, v):
    c.sendall(b"x")
    v.recv(9)
    v.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    v.close()
    c.close()


def half_closed(c, v):
    c.shutdown(socket.SHUT_WR)
    v.recv(9)
    v.sendall(b"late" * 1000)
    v.close()
    while c.recv(65536):
        pass
    c.close()


def traffic(cable, rounds):
    """Connections of four kinds, and refused ones; how many."""
    with cable.listen(PORT) as listener:
        for _ in range(rounds):
            c, v = pair(cable, listener)
            closes_first(c, v)
            c, v = pair(cable, listener)
            closes_first(v, c)
            reset(*pair(cable, listener))
            half_closed(*pair(cable, listener))
            try:
                cable.connect(PORT + 1)
            except ConnectionRefusedError:
                pass
    return rounds * 5


# ---- comparing

def read_back(program, path, *options):
    done = subprocess.run((program, "read", path, "--name", NAME, "--format", "jsonl") + TIMERS + options, capture_output=True,
                          text=True, check=True, env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
    return [json.loads(line, parse_float=str) for line in done.stdout.splitlines()]


def in_order(path):
    """Transitions in the order of their times, each snapshot where it belongs among them and equal to their replay."""
    snapshots, last, begun = Snapshots(1), 0, 0
    with open(path, encoding="utf-8") as f:
        for line in f:
            record = json.loads(line)
            if record["type"] in ("transition", "snapshot"):
                assert nanoseconds(line) >= last, f"after {last}: {line}"
                last = nanoseconds(line)
            if record["type"] == "transition":
                snapshots.transition(line, record)
            if record["type"] == "snapshot":
                snapshots.take(line, record)
                begun += record["kind"] == "begin" and record["flows"] > 0
    assert begun > 0, "no snapshot of a connection"


def live_against_recording(box, *options, rounds=20, count=True):
    recorder = Recorder(box.cable.server, "eth0", box.path("recorded.pcap"))
    probe = box.probe("-i", "eth0", "--set", "snapshot.period=1", *TIMERS, *options)
    probe.wait_until_capturing()
    connections = traffic(box.cable, rounds)
    probe.wait_until_closed(connections)
    recorder.stop()
    box.ends_well(probe)
    live, read = probe.records(), read_back(box.program, recorder.path)
    in_order(probe.path)
    steps, apart = same_records(live, read, "transition", STATE)
    assert steps > connections * 3, f"only {steps} transitions of {connections} connections"
    assert apart <= STAMPS_APART, f"transitions lie {apart} ns apart"
    # their times differ: a file ends with connections still in TIME_WAIT
    assert same_records(live, read, "connection", CLOSED)[0] == connections
    mine, theirs = live[-1], read[-1]
    different = [k for k in COUNTED if mine[k] != theirs[k]]
    assert not count or not different, f"counters differ: {different}: {mine}, {theirs}"
    assert mine["kernel_drops"] == 0 and mine["store_lost"] == 0, mine
    return probe


# ---- the tests

def test_live_is_what_read_says(box):
    probe = live_against_recording(box)
    stats = probe.records("stats")
    elapsed = time.monotonic() - probe.started
    assert len(stats) >= int(elapsed) - 1, f"{len(stats)} stats records in {elapsed} s"
    stamps = [ns_of(s["ts"]) for s in stats]
    assert stamps == sorted(stamps), "stats go back in time"
    for said in ("snaplen 256", "ring 64 MiB", "TPACKET_V3", "nanoseconds", "EN10MB", "promiscuous"):
        assert said in probe.errors(), f"{said!r} is not in {probe.errors()!r}"


def test_three_workers_tell_the_same(box):
    live_against_recording(box, "--workers", "3")


def test_filter_and_snaplen(box):
    """Other connections on the device are left out by the kernel; 128 octets hold every header."""
    probe = live_against_recording(box, "--filter", f"tcp port {PORT} or tcp port {PORT + 1}", "--snaplen", "128",
                                   "--ring-mib", "8", rounds=3, count=False)
    assert "snaplen 128" in probe.errors() and "ring 8 MiB" in probe.errors(), probe.errors()
    probe = box.probe("-i", "eth0", "--filter", "udp")
    probe.wait_until_capturing()
    traffic(box.cable, 1)
    box.ends_well(probe)
    assert probe.records("stats")[-1]["packets"] == 0


def test_rights_are_dropped(box):
    with open(box.program, "rb") as f:
        if b"__tsan_init" in f.read():
            raise Unavailable("the thread sanitizer's own thread, begun before main, keeps its rights")
    for options, kept in (((), 1), (("--no-reopen",), 0), (("--workers", "2", "--user", "daemon"), 1)):
        probe = box.probe("-i", "eth0", *options)
        probe.wait_until_capturing()
        threads = list(threads_of(probe.process.pid))
        holders = [t for t in threads if int(t["CapPrm"], 16) != 0]
        assert len(holders) == kept, f"{options}: {len(holders)} threads hold capabilities"
        assert all(int(t["CapPrm"], 16) == 1 << 13 for t in holders), "more than CAP_NET_RAW"
        for t in threads:
            assert t["Uid"].split()[0] != "0" and len(set(t["Uid"].split())) == 1, t["Uid"]
            assert t["Gid"].split()[0] != "0" and t["Groups"].strip() == "", (t["Gid"], t["Groups"])
            assert (t["NoNewPrivs"], t["Seccomp"], int(t["CapBnd"], 16)) == ("1", "2", 0), t
        filters = {t["Seccomp_filters"] for t in threads}
        assert filters == {"1"}, "one filter a thread: the opener's is its own"
        box.ends_well(probe)


def test_interface_down_and_up(box):
    probe = box.probe("-i", "eth0", *TIMERS)
    probe.wait_until_capturing()
    box.cable.link("eth0", "down")
    probe.wait_for("the word that it is down", lambda: "is down" in probe.errors())
    box.cable.link("eth0", "up")
    probe.wait_for("a gap record", lambda: probe.records("gap"))
    probe.wait_until_closed(traffic(box.cable, 1))
    box.ends_well(probe)
    gap, = probe.records("gap")
    assert gap["what"] == "packets" and ns_of(gap["to"]) > ns_of(gap["from"]), gap


def deleted_and_back(box, *options):
    box.cable.plug("eth1")
    probe = box.probe("-i", "eth1", *TIMERS, *options)
    try:
        probe.wait_until_capturing()
        box.cable.unplug("eth1")
        probe.wait_for("the word that it is gone", lambda: "is gone" in probe.errors())
        box.cable.unplug("eth0")  # its addresses are eth1's too
        box.cable.plug("eth1")
        probe.wait_for("a gap record", lambda: probe.records("gap"))
        probe.wait_until_closed(traffic(box.cable, 2))
    finally:
        box.cable.unplug("eth1")
        box.cable.plug("eth0")
    box.ends_well(probe)
    gap = probe.records("gap")[0]
    assert gap["what"] == "packets" and ns_of(gap["to"]) > ns_of(gap["from"]), gap
    return probe


def test_interface_deleted_and_back(box):
    deleted_and_back(box)


def test_interface_deleted_and_back_with_workers_and_filter(box):
    deleted_and_back(box, "--workers", "2", "--filter", "tcp")


def test_no_reopen_ends(box):
    box.cable.plug("eth1")
    probe = box.probe("-i", "eth1", "--no-reopen")
    try:
        probe.wait_until_capturing()
    finally:
        box.cable.unplug("eth1")
    assert probe.process.wait(END_LIMIT) == 1
    assert "is gone" in probe.errors(), probe.errors()
    assert [r["type"] for r in probe.records()[-2:]] == ["gap", "stats"], "what is missing, and the counters"


def test_reload(box):
    def services(text, name="services.json"):
        with open(box.path(name), "w", encoding="ascii") as f:
            f.write(text)
    named = '{"services":[{"server":"%s","port":%d,"name":"%s"}]}'
    os.chmod(box.folder, 0o755)  # the probe reads it as nobody
    services(named % (ADDRESS["server"], PORT, "before"))
    services("service,owner\nbefore,web-team\n", "cmdb.csv")
    probe = box.probe("-i", "eth0", "--services", box.path("services.json"), "--cmdb", box.path("cmdb.csv"), *TIMERS)
    probe.wait_until_capturing()
    traffic(box.cable, 1)
    probe.wait_until_closed(5)
    services('{"services":[{"server":"10.0.0.0/8"')
    probe.process.send_signal(signal.SIGHUP)
    probe.wait_for("the refusal", lambda: "stays as it was" in probe.errors())
    assert "services.json" in probe.errors(), "the file at fault is named"
    services(named % (ADDRESS["server"], PORT, "too early"))  # good, but the other file is not
    services("service,owner\nbefore,web-team,x\n", "cmdb.csv")
    probe.process.send_signal(signal.SIGHUP)
    probe.wait_for("the second refusal", lambda: probe.errors().count("stays as it was") == 2)
    assert "cmdb.csv:2: found 3 columns" in probe.errors(), probe.errors()
    traffic(box.cable, 1)
    probe.wait_until_closed(10)
    services(named % (ADDRESS["server"], PORT, "after"))
    services("service,owner\nafter,web-team\n", "cmdb.csv")
    probe.process.send_signal(signal.SIGHUP)
    probe.wait_for("the reload", lambda: "configuration loaded" in probe.errors())
    traffic(box.cable, 1)
    probe.wait_until_closed(15)
    box.ends_well(probe)
    names = [r["service"] for r in probe.records("connection") if r["server"].endswith(f":{PORT}")]
    assert names == ["before"] * 8 + ["after"] * 4, names


def test_reload_of_rules(box):
    def rules(text):
        with open(box.path("alarms.json"), "w", encoding="ascii") as f:
            f.write(text)
    os.chmod(box.folder, 0o755)
    rules('{"alarms":{"conn_refused":{"raise":2}}}')
    probe = box.probe("-i", "eth0", "--alarms", box.path("alarms.json"), *TIMERS)
    probe.wait_until_capturing()
    rules('{"alarms":{\n"conn_refused":{"raise":1000},\n"syn_flood":{"raze":5}}}')
    probe.process.send_signal(signal.SIGHUP)
    probe.wait_for("the refusal", lambda: "stays as it was" in probe.errors())
    assert "alarms.json:3:" in probe.errors() and "alarms.syn_flood.raze" in probe.errors(), probe.errors()
    traffic(box.cable, 3)  # three are refused: by the rules that run, that is an alarm
    probe.wait_for("an alarm by the running rules", lambda: probe.records("alarm"))
    raised = probe.records("alarm")[0]
    assert (raised["kind"], raised["status"]) == ("conn_refused", "raised"), raised
    assert raised["rule"].endswith("alarms.json:alarms.conn_refused"), raised
    rules('{"alarms":{"conn_refused":{"enabled":false}}}')
    probe.process.send_signal(signal.SIGHUP)
    probe.wait_for("the end of the alarm by the new rules", lambda: probe.records("alarm")[-1]["status"] == "cleared")
    assert "configuration loaded" in probe.errors(), probe.errors()
    box.ends_well(probe)


def test_signals_and_duration(box):
    for number in (signal.SIGTERM, signal.SIGINT):
        probe = box.probe("-i", "eth0")
        probe.wait_until_capturing()
        with box.cable.listen(PORT) as listener:
            c, v = pair(box.cable, listener)
            c.sendall(b"at the last moment")
            v.recv(100)
            box.ends_well(probe, number)
            for end in (c, v):
                end.close()
        connection, = probe.records("connection")
        assert (connection["end"], connection["client_bytes"]) == ("open", 18), connection
    probe = box.probe("-i", "eth0", "--duration", "0.5", environment={"NOTIFY_SOCKET": ""})  # and no service manager
    assert probe.process.wait(END_LIMIT) == 0


def test_any_and_loopback(box):
    probes = [(box.probe("-i", device, *TIMERS), link) for device, link in (("any", "LINUX_SLL2"), ("lo", "EN10MB"))]
    for probe, _ in probes:
        probe.wait_until_capturing()
    with box.cable.server, socket.create_server(("127.0.0.1", PORT)) as listener:
        c = socket.create_connection(listener.getsockname())
        v, _ = listener.accept()
        closes_first(c, v)
    for probe, link in probes:
        probe.wait_until_closed(1)
        box.ends_well(probe)
        connection, = probe.records("connection")
        assert link in probe.errors(), probe.errors()
        assert (connection["conn_state"], connection["client_bytes"], connection["server_bytes"]) == ("SF", 350, 3000)
        assert connection["client_retransmits"] == 0, "a copy was taken for a retransmission"


def test_tagged_frames(box):
    """The kernel takes VLAN tags off a frame; the probe sees them all the same. The frames of captures are sent
    again."""
    for case in ("vlan", "qinq", "vlan_pair"):
        path = os.path.join(ROOT, "pcaps", case + ".pcap")
        probe = box.probe("-i", "eth0")
        probe.wait_until_capturing()
        with box.cable.client, socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as s:
            s.bind(("eth0", 0))
            for _, frame, _ in read_pcap(path)[0]:
                s.send(frame)
        box.ends_well(probe)
        read = [r for r in read_back(box.program, path) if not r.get("cause", "").startswith("timeout")]
        assert same_records(probe.records(), read, "transition", STATE + ("vlan",))[0] >= 7, case


def test_filters_and_tags(box):
    """A filter means the same on an interface, where the kernel takes the outer tag off, as on a file, where it is there."""
    matched = set()
    for case in ("vlan", "qinq", "handshake_close"):
        path = os.path.join(ROOT, "pcaps", case + ".pcap")
        for words in ("tcp", "vlan", "vlan and tcp", "not tcp", "vlan and vlan and tcp", "not vlan"):
            probe = box.probe("-i", "eth0", "--filter", words)
            probe.wait_until_capturing()
            with box.cable.client, socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as s:
                s.bind(("eth0", 0))
                for _, frame, _ in read_pcap(path)[0]:
                    s.send(frame)
            box.ends_well(probe)
            mine, theirs = probe.records("stats")[-1]["packets"], read_back(box.program, path, "--filter", words)[-1]["packets"]
            assert mine == theirs, f"{case}, {words}: {mine} live, {theirs} of the file"
            matched.add((case, words, mine > 0))
    assert {("vlan", "tcp", True), ("vlan", "vlan and tcp", True), ("qinq", "vlan and vlan and tcp", True),
            ("vlan", "not vlan", False)} <= matched, matched


def test_full_standard_error_does_not_hold_it(box):
    """Who reads no messages stops neither records nor the end; what was left out is counted."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, F_SETPIPE_SZ, 8192)
    probe = box.probe("-i", "eth0", *TIMERS, errors=writer)
    os.close(writer)
    probe.wait_until_capturing()
    for n in range(200):
        probe.process.send_signal(signal.SIGHUP)
        time.sleep(0.005)
    probe.wait_until_closed(traffic(box.cable, 1))
    told = os.read(reader, 65536).decode()
    assert "no reader" not in told
    probe.process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    told += os.read(reader, 65536).decode()
    assert "lines before this one found no reader" in told, told
    for n in range(200):
        probe.process.send_signal(signal.SIGHUP)
        time.sleep(0.005)
    box.ends_well(probe)
    os.close(reader)


def test_two_interfaces_are_merged_by_time(box):
    """Connections in turns on two devices: only the packets' times tell in which order they came."""
    probe = box.probe("-i", "eth0", "-i", "lo", *TIMERS)
    probe.wait_until_capturing()
    with box.cable.server:
        near = socket.create_server(("127.0.0.1", PORT))
    far = box.cable.listen(PORT)
    with near, far:
        for _ in range(40):
            c, v = pair(box.cable, far)
            with box.cable.server:
                a = socket.create_connection(near.getsockname())
            b, _ = near.accept()
            closes_first(c, v)
            closes_first(a, b)
    probe.wait_until_closed(80)
    box.ends_well(probe)
    last = probe.records("stats")[-1]
    assert last["flows_total"] == 80 and last["reordered"] == 0, last
    servers = [r["server"].split(":")[0] for r in probe.records("transition") if r["cause"] == "syn"]
    assert servers == [ADDRESS["server"], "127.0.0.1"] * 40, "not in the order in which they were opened"


def test_the_last_packets_beside_a_silent_interface(box):
    """A packet is held back while a silent device may still have an earlier one; not at the end."""
    probe = box.probe("-i", "eth0", "-i", "lo", *TIMERS)
    probe.wait_until_capturing()
    with box.cable.listen(PORT) as listener:
        reset(*pair(box.cable, listener))
    box.ends_well(probe)
    last = probe.records("stats")[-1]
    assert last["flows_total"] == 1 and last["tcp"] >= 5, last
    assert probe.records("connection")[0]["end"] == "rst", probe.records("connection")


def test_dropped_packets_are_told(box):
    """A probe that stands still while packets come: what its small ring could not hold is counted, to the packet."""
    probe = box.probe("-i", "eth0", "--ring-mib", "1")
    probe.wait_for("the first stats record", lambda: probe.records("stats"))
    before = probe.records("stats")[-1]["packets"]
    probe.process.send_signal(signal.SIGSTOP)
    begun = time.time_ns()
    with box.cable.client, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for _ in range(20000):
            s.sendto(b"x", (ADDRESS["server"], 9))
    ended = time.time_ns()
    probe.process.send_signal(signal.SIGCONT)
    probe.wait_for("drops", lambda: probe.records("gap"))
    box.ends_well(probe)
    last, gaps = probe.records("stats")[-1], probe.records("gap")
    assert sum(g["lost"] for g in gaps) == last["kernel_drops"], (gaps, last)
    assert {g["what"] for g in gaps} == {"packets"}, gaps
    assert ns_of(gaps[0]["from"]) <= begun and ns_of(gaps[-1]["to"]) >= ended, (gaps, begun, ended)
    times = [ns_of(r["ts"]) for r in probe.records()]
    assert times == sorted(times), "a record steps back in time"
    # the server answers some of them with ICMP errors, so there are more than were sent
    assert last["packets"] - before + last["kernel_drops"] >= 20000, last
    assert last["gaps"] == len(gaps), last


def blocked_probe(box, connections, *options):
    """A probe whose reader reads nothing, after so many connections; and the pipe."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, F_SETPIPE_SZ, 65536)
    probe = box.probe("-i", "eth0", "--set", "tracker.time_wait=1", *options, output=writer)
    os.close(writer)
    probe.wait_until_capturing()
    with box.cable.listen(PORT) as listener:
        for _ in range(connections):
            closes_first(*pair(box.cable, listener))
    return probe, reader


def test_blocked_output_does_not_hold_the_end(box):
    probe, reader = blocked_probe(box, 400)
    seconds = probe.end()
    os.close(reader)
    assert seconds < END_LIMIT and probe.status == 1, (seconds, probe.status)
    assert "lost" in probe.errors(), probe.errors()


def test_overflow_is_told(box):
    """A reader that wakes up late: records that found no room are counted, to the record."""
    probe, reader = blocked_probe(box, 5000)
    time.sleep(2.5)  # TIME_WAIT ends, and the idle clock, which is a second behind, passes that
    with os.fdopen(reader, encoding="utf-8") as pipe, open(probe.path, "w", encoding="utf-8") as copy:
        probe.process.send_signal(signal.SIGTERM)
        for line in pipe:
            copy.write(line)
    assert probe.process.wait(END_LIMIT) == 0, probe.errors()
    last, gaps = probe.records("stats")[-1], probe.records("gap")
    assert last["packets"] + last["kernel_drops"] >= 5000 * 8, last  # what a slow build does not come to read is counted, too
    for kind in ("transition", "connection"):
        lost = sum(g["lost"] for g in gaps if g["what"] == kind + "s")
        written = len(probe.records(kind))
        assert written + lost == last[kind + "s"], f"{written} written, {lost} lost, {last[kind + 's']} in all"
    shed = sum(g["lost"] for g in gaps if g["what"] in ("transitions", "connections"))
    assert last["store_lost"] == shed > 0, (last, gaps)


def flood(box, count):
    """SYNs from addresses that nobody has to one that nobody has, either: nothing answers."""
    frame = bytearray(ethernet(ip_packet("172.16.0.0", "10.78.0.99", 6, struct.pack(">HHIIBBHHH", 7, 8, 9, 0, 0x50, 2, 99, 0, 0))))
    frame[:6] = bytes((2, 0, 0, 0, 0, 0x99))
    with box.cable.client, socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as s:
        s.bind(("eth0", 0))
        for i in range(count):
            frame[27:30] = i.to_bytes(3, "big")
            s.send(frame)


def test_overflow_spares_what_is_established(box):
    """The same reader beside a flood of SYNs: all that is missing is of connections that were never established."""
    probe, reader = blocked_probe(box, 100, "--set", "tracker.tcp_syn_retries=1", "--set", "tracker.tcp_syn_linear_timeouts=1")
    flood(box, 28000)  # a ring has 32768 places
    with box.cable.listen(PORT) as listener:
        for _ in range(100):
            closes_first(*pair(box.cable, listener))
    time.sleep(4.5)  # the SYNs are given up, too: nothing is open at the end
    with os.fdopen(reader, encoding="utf-8") as pipe, open(probe.path, "w", encoding="utf-8") as copy:
        probe.process.send_signal(signal.SIGTERM)
        for line in pipe:
            copy.write(line)
    assert probe.process.wait(END_LIMIT) == 0, probe.errors()
    last, gaps = probe.records("stats")[-1], probe.records("gap")
    shed = sum(g["lost"] for g in gaps if g["what"] in ("transitions", "connections"))
    assert last["store_lost"] == shed > 0, (last, gaps)
    ours = [r for r in probe.records() if r.get("client", "").startswith(ADDRESS["client"])]
    assert len([r for r in ours if r["type"] == "connection" and r["conn_state"] == "SF"]) == 200
    opened = Counter(r["client"] for r in ours if r.get("server_was") == "SYN_RECEIVED" and r["server_state"] == "ESTABLISHED")
    closed = Counter(r["client"] for r in ours if r.get("client_was") == "TIME_WAIT" and r["client_state"] == "CLOSED")
    assert len(opened) == len(closed) == 200, (len(opened), len(closed))


def test_closed_output_ends(box):
    probe, reader = blocked_probe(box, 1)
    os.close(reader)
    assert probe.process.wait(END_LIMIT) == 0, "a reader who goes away has seen enough"


def test_service_manager(box):
    probe = box.probe("-i", "eth0", environment={"WATCHDOG_USEC": "500000"})
    probe.manager.settimeout(END_LIMIT)
    words = [probe.manager.recv(100) for _ in range(3)]
    assert words == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"], words
    box.ends_well(probe)
    while words[-1] != b"STOPPING=1":
        words.append(probe.manager.recv(100))


def test_errors_are_clear(box):
    for options, status, said, kept in (
            (("-i", "nosuch0"), 1, "nosuch0: no such interface", True),
            (("-i", "eth0"), 1, "eth0: no permission", False),
            (("-i", "eth0", "--user", "nosuchuser"), 1, "no user \"nosuchuser\"", True),
            (("-i", "eth0", "-i", "eth0"), 1, "named twice", True),
            ((), 2, "no interface", True),
            (("-i", "eth0", "--filter", "tcp and and"), 2, "--filter", True),
            (("-i", "eth0", "--format", "report"), 2, "--format", True),
            (("-i", "eth0", "--redis", "rediss://x"), 2, "--redis", True)):
        probe = box.probe(*options, without_net_raw=not kept)
        assert probe.process.wait(END_LIMIT) == status, options
        assert said in probe.errors(), (options, probe.errors())
        assert probe.records() == []
    box.cable.plug("eth1")
    try:
        box.cable.link("eth1", "down")
        probe = box.probe("-i", "eth1")
        assert probe.process.wait(END_LIMIT) == 1 and "is down" in probe.errors(), probe.errors()
    finally:
        box.cable.unplug("eth1")


def test_closed_descriptors(box):
    """The first socket must not get the number of standard output: records would go out as frames."""
    with box.cable.server:
        for verb in ("probe -i lo --duration 1 --redis none", "read --format jsonl pcaps/vlan.pcap", "read --at now pcaps/vlan.pcap"):
            for closed, said in (("<&- >&-", b"cannot"), ("<&- >&- 2>&-", b"")):
                done = subprocess.run(("sh", "-c", f"exec {box.program} {verb} {closed}"), capture_output=True, cwd=ROOT,
                                      timeout=10, env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
                assert done.returncode == 1 and said in done.stderr and not done.stdout, (verb, closed, done)


# ---- running them

class Box:
    """What one test works with; it is put away afterwards."""

    def __init__(self, program, cable, folder):
        self.program, self.cable, self.folder = program, cable, folder
        self.probes = []

    def path(self, name):
        return os.path.join(self.folder, name)

    def probe(self, *options, **more):
        self.probes.append(Probe(self.program, self.cable, self.folder, *options, **more))
        return self.probes[-1]

    @staticmethod
    def ends_well(probe, number=signal.SIGTERM):
        seconds = probe.end(number)
        assert probe.status == 0, f"exit status {probe.status}: {probe.errors()}"
        assert seconds < END_LIMIT, f"the end took {seconds} s"
        last = probe.records()[-1]
        assert last["type"] == "stats", "its last word is the counters"
        if probe.closed > 0:
            assert last["flows_total"] >= probe.closed and last["flows_open"] == 0, last

    def close(self):
        for probe in self.probes:
            probe.kill()


def run(program, name, test):
    begun = time.monotonic()
    try:
        cable = Cable()  # new for each: what one leaves behind disturbs no other
        with tempfile.TemporaryDirectory() as folder:
            box = Box(program, cable, folder)
            try:
                test(box)
            finally:
                box.close()
    except Unavailable as e:
        print(f"skip   {name}: {e}", flush=True)
        return None
    except Exception:
        print(f"FAILED {name}\n{traceback.format_exc()}", flush=True)
        return False
    print(f"ok     {name} ({time.monotonic() - begun:.1f} s)", flush=True)
    return True


def main(tests):
    parser = argparse.ArgumentParser()
    parser.add_argument("--spanwatch", required=True)
    parser.add_argument("--only", default="")
    arguments = parser.parse_args()
    chosen = [n for n in arguments.only.split(",") if n] or list(tests)
    results = [run(os.path.abspath(arguments.spanwatch), n, tests[n]) for n in chosen]
    if False in results:
        return 1
    return 0 if True in results else 77


if __name__ == "__main__":
    sys.exit(main({n[len("test_"):]: f for n, f in globals().items() if n.startswith("test_")}))
