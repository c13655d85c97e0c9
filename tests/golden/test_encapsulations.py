#!/usr/bin/env python3
"""Does a tunnel change what is said of a connection?    test_encapsulations.py BINARY

Every pcaps/encap_*.pcap holds the packets of a plain capture in a tunnel. Transitions and connections have to be the plain
capture's, with `vlan` and `tunnel` as tests/tools/encapsulate.py says; with both stripped from the identity they have to be the
same octets, `flow` included; a snaplen at any octet has to give an answer, and full headers the same states.
"""
import json
import os
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "tools"))
import encapsulate  # noqa: E402
import pcapfile  # noqa: E402

PCAPS = os.path.join(ROOT, "pcaps")
STRIPPED = ["--set", "capture.vlan=strip", "--set", "capture.tunnel=strip"]
INNERMOST = ["--set", "capture.vlan=innermost", "--set", "capture.tunnel=innermost"]


class Fault(Exception):
    """What is wrong with a capture."""


def need(condition, text, *values):
    if not condition:
        raise Fault(text % values)


class Reader:
    def __init__(self, binary):
        self.binary = binary

    def lines(self, path, *options, records="transitions,connections"):
        command = [self.binary, "read", "--name", "tap", "--format", "jsonl", "--records", records, *options, path]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        need(done.returncode == 0 and not done.stderr, "%s: status %d: %s", path, done.returncode, done.stderr)
        return done.stdout.splitlines()


def without_scope(lines):
    """The records without what a tunnel may change, and the set of (vlan, tunnel) that they bore."""
    records = [json.loads(line) for line in lines]
    scopes = {(record.pop("vlan", None), record.pop("tunnel", None)) for record in records}
    flows = [record.pop("flow") for record in records]
    return records, scopes, flows


def last(text, mark):
    return text and text.split(mark)[-1]


def check(read, name, source, vlan, tunnel):
    path, plain = os.path.join(PCAPS, name), read.lines(os.path.join(PCAPS, source + ".pcap"))
    need(any('"connection"' in line for line in plain), "%s has no connection", source)
    records, scopes, flows = without_scope(read.lines(path))
    expected, _, plain_flows = without_scope(plain)
    need(records == expected, "records differ from those of %s", source)
    need(scopes == {(vlan, tunnel)}, "vlan and tunnel are %s", scopes)
    need((flows == plain_flows) == ((vlan, tunnel) == (None, None)), "flow ids: the tunnel is part of them, if there is one")
    need(read.lines(path, *STRIPPED) == plain, "records differ with the tunnel stripped")
    _, scopes, _ = without_scope(read.lines(path, *INNERMOST))
    need(scopes == {(last(vlan, "."), last(tunnel, "/"))}, "innermost vlan and tunnel are %s", scopes)


def check_cuts(read, name, work):
    """Each packet whole, then with one octet less captured, and so on: a verdict for each."""
    packets, link = pcapfile.read_pcap(os.path.join(PCAPS, name))
    cut = [(ts, octets[:n], length) for ts, octets, length in packets for n in range(len(octets), 0, -1)]
    path = os.path.join(work, name)
    with open(path, "wb") as f:
        f.write(pcapfile.pcap_octets(cut, link))
    stats = json.loads(read.lines(path, records="stats")[-1])
    verdicts = sum(stats[key] for key in ("tcp", "not_tcp", "truncated", "malformed", "fragments"))
    need(stats["packets"] == verdicts == len(cut), "%d verdicts on %d packets", verdicts, len(cut))
    need(stats["malformed"] == 0, "%d cut packets are malformed", stats["malformed"])
    need(stats["tcp"] > 0 and stats["truncated"] > 0, "no cut made a difference")


def main(binary):
    read, wrong = Reader(binary), 0
    with tempfile.TemporaryDirectory() as work:
        for name, (source, vlan, tunnel) in encapsulate.ENCAPSULATIONS.items():
            try:
                check(read, name, source, vlan, tunnel)
                check_cuts(read, name, work)
            except Fault as e:
                wrong += 1
                print("%s: %s" % (name, e))
    print("%d encapsulations, %d with faults" % (len(encapsulate.ENCAPSULATIONS), wrong))
    return 1 if wrong or not encapsulate.ENCAPSULATIONS else 0


if __name__ == "__main__":
    sys.exit(main(os.path.abspath(sys.argv[1])))
