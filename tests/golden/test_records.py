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
    "gap": "type ts probe from to what lost why",
    "stats": "type ts probe packets bytes tcp not_tcp truncated malformed duplicates reordered time_jumps fragments stray "
             "kernel_drops interface_drops missed_bytes flows_open flows_total flows_evicted transitions connections snapshots "
             "alarms gaps store_queued store_spooled store_lost",
}
OPTIONAL = set("client_was server_was inferred vlan tunnel handshake_server_rtt handshake_client_rtt server_rtt client_rtt "
               "why history".split())
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
    keys, known = list(record), KEYS[kind].split()
    need(keys == [k for k in known if k in record], "keys unknown or out of order: %s", keys)
    absent = [k for k in known if k not in record and k not in OPTIONAL]
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


def check_capture(lines):
    states, ended, opened, last = {}, set(), False, 0
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
            if kind in ("transition", "gap") or (kind == "connection" and not is_open):
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
    for kind in ("transition", "connection", "gap"):
        count = sum(record["type"] == kind for record in records)
        need(stats[kind + "s"] == count, "stats counts %d %ss, there are %d", stats[kind + "s"], kind, count)
    need(stats["flows_total"] == len(ended), "stats counts %d flows, there are %d", stats["flows_total"], len(ended))


def main(binary):
    names = sorted(name for name in os.listdir(PCAPS) if ".pcap" in name)
    wrong = 0
    for name in names:
        done = subprocess.run([binary, "read", "--format", "jsonl", os.path.join(PCAPS, name)], capture_output=True, timeout=120)
        try:
            need(done.returncode == (1 if name == "cut.pcap" else 0), "exit status %d: %s", done.returncode, done.stderr.decode())
            check_capture(done.stdout.decode().splitlines())
        except (Fault, ValueError) as e:
            wrong += 1
            print("%s: %s" % (name, e))
    print("%d captures, %d with faults" % (len(names), wrong))
    return 1 if wrong or not names else 0


if __name__ == "__main__":
    sys.exit(main(os.path.abspath(sys.argv[1])))
