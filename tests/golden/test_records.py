#!/usr/bin/env python3
"""Do the records of every capture in pcaps/ keep what the contract says of them?    test_records.py BINARY

Checked without any accepted output: keys and their order, the text of times, the order of records, that each state follows
from the one before, that each connection ends once and open ones come last, that the totals of the stats record agree.
"""
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PCAPS = os.path.join(os.path.dirname(os.path.dirname(HERE)), "pcaps")

KEYS = {
    "transition": "type ts probe flow client server service client_state server_state client_was server_was cause inferred "
                  "vlan tunnel",
    "connection": "type ts probe flow community_id client server service role_score start duration client_state server_state "
                  "conn_state history end client_bytes server_bytes client_packets server_packets handshake_server_rtt "
                  "handshake_client_rtt server_rtt client_rtt client_retransmits server_retransmits client_out_of_order "
                  "server_out_of_order client_zero_windows server_zero_windows client_dup_acks server_dup_acks missed_bytes "
                  "vlan tunnel inferred",
    "snapshot": "type ts probe kind keyframe server service client_state server_state count part parts members groups flows",
    "alarm": "type ts probe seq id kind severity status since scope value threshold clear_level baseline unit rule window top "
             "evidence quality doubtful forecast returned duration peak samples reason cmdb summary",
    "gap": "type ts probe from to what lost why",
    "stats": "type ts probe packets bytes tcp not_tcp truncated malformed duplicates reordered time_jumps fragments stray "
             "kernel_drops interface_drops missed_bytes flows_open flows_total flows_evicted transitions connections snapshots "
             "alarms gaps store_queued store_spooled store_lost",
}
OPTIONAL = set("client_was server_was inferred vlan tunnel handshake_server_rtt handshake_client_rtt server_rtt client_rtt "
               "why history".split())
ALARM_OPTIONAL = set("value threshold clear_level baseline unit window top evidence doubtful forecast returned duration peak "
                     "samples reason cmdb".split())
SNAPSHOT_KEYS = {
    "begin": "type ts probe kind keyframe flows", "end": "type ts probe kind groups flows",
    "group": "type ts probe kind server service client_state server_state count part parts members"}
PERIODS = (10, 1)  # of the snapshots, seconds
TIMES = set("ts start duration handshake_server_rtt handshake_client_rtt server_rtt client_rtt from to".split())
STATES = set("CLOSED SYN_SENT SYN_RECEIVED ESTABLISHED FIN_WAIT_1 FIN_WAIT_2 CLOSE_WAIT CLOSING LAST_ACK TIME_WAIT".split())
SIDES = ("client", "server")


class Fault(Exception):
    """A record that breaks the contract."""


def need(condition, text, *values):
    if not condition:
        raise Fault(text % values)


def check_form(line, record):
    kind = record.get("type")
    need(kind in KEYS, "unexpected type %r", kind)
    keys = list(record)
    known = (SNAPSHOT_KEYS[record["kind"]] if kind == "snapshot" else KEYS[kind]).split()
    need(keys == [k for k in known if k in record], "keys unknown or out of order: %s", keys)
    optional = OPTIONAL | {"snapshot": {"keyframe", "members"}, "alarm": ALARM_OPTIONAL}.get(kind, set())
    absent = [k for k in known if k not in record and k not in optional]
    need(not absent, "keys missing: %s", absent)
    need(not any(v is None or v is False or v == "" for v in record.values()), "an unknown value is written out")
    for key in TIMES & set(keys):
        need(re.search(r'"%s":\d+\.\d{9}[,}]' % key, line), "%s has not nine decimals", key)
    for side in SIDES:
        if side + "_state" in record:
            need(record[side + "_state"] in STATES, "no such state: %s", record[side + "_state"])


def nanoseconds(line, key="ts"):
    seconds, fraction = re.search(r'"%s":(\d+)\.(\d{9})' % key, line).groups()
    return int(seconds) * 10**9 + int(fraction)


def check_transition(record, states):
    """Each state follows from the one before; states: flow -> [client's, server's]."""
    now = states.setdefault(record["flow"], ["CLOSED", "CLOSED"])
    changed = False
    for i, side in enumerate(SIDES):
        was = record.get(side + "_was")
        if was is not None:
            need(was == now[i], "%s_was is %s after %s", side, was, now[i])
            need(was != record[side + "_state"], "%s did not change", side)
            changed = True
        else:
            need(record[side + "_state"] == now[i], "%s changed without %s_was", side, side)
        now[i] = record[side + "_state"]
    need(changed or record["cause"] == "roles", "nothing changed")


class Snapshots:
    """Each snapshot is what replaying the transitions up to its time gives: states, clients, since when, and in one group
    what is equal. A keyframe is due by the rules of the contract."""

    def __init__(self, period):
        self.period = period * 10**9
        self.flows, self.transitions, self.keyframe = {}, 0, None
        self.now = None

    def transition(self, line, record):
        self.transitions += 1
        states = (record["client_state"], record["server_state"])
        known = self.flows.get(record["flow"])
        since = nanoseconds(line) if known is None or known[2] != states else known[3]
        self.flows[record["flow"]] = (record["client"], (record["server"], record["service"]), states, since)

    def begin(self, record, ts):
        need(self.now is None, "a snapshot inside another")
        need(ts % self.period == 0, "not a multiple of the period")
        self.open = {f: v for f, v in self.flows.items() if v[2] != ("CLOSED", "CLOSED")}
        need(record["flows"] == len(self.open), "flows is %d, of %d", record["flows"], len(self.open))
        due = (self.keyframe is None or self.transitions - self.keyframe[1] > len(self.open)
               or ts - self.keyframe[0] >= 600 * 10**9)
        need(record.get("keyframe", False) == due, "a keyframe where none is due, or none where one is")
        if due:
            self.keyframe = (ts, self.transitions)
        self.now, self.members, self.groups = ts, {}, []

    def group(self, line, record):
        key = (record["server"], record["service"], record["client_state"], record["server_state"])
        since = re.findall(r'"flow":"[0-9a-f]{16}","since":(\d+)\.(\d{9})\}', line)
        need(len(since) == len(record["members"]), "since is not written with nine decimals")
        if record["part"] == 1:
            need(key not in self.groups, "two groups of one kind")
            self.groups.append(key)
        need(len(record["members"]) <= 1000 and record["part"] <= record["parts"], "a part is too long")
        for member, (seconds, fraction) in zip(record["members"], since):
            need(list(member) == ["client", "flow", "since"], "keys of a member: %s", list(member))
            self.members[member["flow"]] = (member["client"], key[:2], key[2:], int(seconds) * 10**9 + int(fraction))

    def take(self, line, record):
        ts = nanoseconds(line)
        if record["kind"] == "begin":
            return self.begin(record, ts)
        need(ts == self.now, "outside of its snapshot")
        if record["kind"] == "group":
            return self.group(line, record)
        need(self.members == self.open, "other than the transitions say: %s",
             sorted(set(self.members.items()) ^ set(self.open.items()))[:4])
        need((record["groups"], record["flows"]) == (len(self.groups), len(self.open)), "wrong counts at the end")
        self.now = None
        return None


class Alarms:
    """Messages are counted without a hole; an alarm is raised, perhaps updated, cleared, and one is in force for a kind and
    scope."""

    def __init__(self):
        self.seq, self.active = 0, {}

    def take(self, record):
        self.seq += 1
        need(record["seq"] == self.seq, "seq is %d, not %d", record["seq"], self.seq)
        key = (record["kind"], json.dumps(record["scope"], sort_keys=True))
        if record["status"] == "raised":
            need(key not in self.active, "raised while it is in force")
            self.active[key] = record["id"]
        need(self.active.get(key) == record["id"], "an id that is not the one in force")
        if record["status"] == "cleared":
            need({"duration", "samples", "reason"} <= set(record), "cleared without duration, samples, reason")
            del self.active[key]
        need(record["summary"] and record["rule"], "no words")


def check_capture(lines, period):
    states, ended, opened, last = {}, set(), False, 0
    snapshots, alarms = Snapshots(period), Alarms()
    records = [json.loads(line) for line in lines]
    for number, (line, record) in enumerate(zip(lines, records), 1):
        try:
            check_form(line, record)
            kind = record["type"]
            is_open = kind == "connection" and (record["client_state"], record["server_state"]) != ("CLOSED", "CLOSED")
            opened = opened or is_open
            need(not opened or is_open or kind == "stats", "a %s after the open connections", kind)
            if kind == "transition":
                check_transition(record, states)
                snapshots.transition(line, record)
            if kind == "snapshot":
                snapshots.take(line, record)
            if kind == "alarm":
                alarms.take(record)
            if kind in ("transition", "gap", "snapshot", "alarm") or (kind == "connection" and not is_open):
                need(nanoseconds(line) >= last, "ts runs back")
                last = nanoseconds(line)
            if kind == "connection":
                need(record["flow"] not in ended, "a second connection record of %s", record["flow"])
                ended.add(record["flow"])
                need(record["flow"] in states, "a connection without a transition")
        except Fault as e:
            raise Fault("record %d: %s\n    %s" % (number, e, line)) from e
    need(records and records[-1]["type"] == "stats", "the last record is not stats")
    stats = records[-1]
    need(set(states) == ended, "%d flows with transitions, %d connection records", len(states), len(ended))
    for kind in ("transition", "connection", "gap", "alarm"):
        count = sum(record["type"] == kind for record in records)
        need(stats[kind + "s"] == count, "stats counts %d %ss, there are %d", stats[kind + "s"], kind, count)
    ends = sum(record["type"] == "snapshot" and record["kind"] == "end" for record in records)
    need(snapshots.now is None and stats["snapshots"] == ends, "stats counts %d snapshots, there are %d", stats["snapshots"], ends)
    need(stats["flows_total"] == len(ended), "stats counts %d flows, there are %d", stats["flows_total"], len(ended))


def check_file(binary, name, period):
    done = subprocess.run([binary, "read", "--format", "jsonl", "--set", "snapshot.period=%d" % period,
                           os.path.join(PCAPS, name)], capture_output=True, timeout=120)
    try:
        need(done.returncode == (1 if name == "cut.pcap" else 0), "exit status %d: %s", done.returncode, done.stderr.decode())
        check_capture(done.stdout.decode().splitlines(), period)
        return True
    except (Fault, ValueError) as e:
        print("%s: snapshots each %d s: %s" % (name, period, e))
        return False


def main(binary):
    names = sorted(name for name in os.listdir(PCAPS) if ".pcap" in name)
    wrong = sum(not check_file(binary, name, period) for name in names for period in PERIODS)
    print("%d captures, each with snapshots of %s s: %d with faults" % (len(names), " and ".join(map(str, PERIODS)), wrong))
    return 1 if wrong or not names else 0


if __name__ == "__main__":
    sys.exit(main(os.path.abspath(sys.argv[1])))
