#!/usr/bin/env python3
"""Does the probe show the states of states.txt for each capture?    test_states.py BINARY"""
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PCAPS = os.path.join(os.path.dirname(os.path.dirname(HERE)), "pcaps")


def read_lists(path):
    """states.txt as a dictionary: name -> lines, the `@` lines replaced."""
    lists, current = {}, None
    with open(path) as f:
        for line in f:
            text = line.strip()
            if not text or text.startswith("#"):
                continue
            if not line.startswith(" "):
                current = lists.setdefault(text, [])
            elif text.startswith("@ "):
                current += lists[text[2:]]
            else:
                current.append(text)
    return lists


def transitions(binary, capture):
    """What the probe says, in the notation of states.txt."""
    command = [binary, "read", "--format", "jsonl", "--records", "transitions", os.path.join(PCAPS, capture)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=120).stdout
    lines = []
    for record in map(json.loads, output.splitlines()):
        inferred = " inferred=" + record["inferred"] if "inferred" in record else ""
        lines.append("%s/%s %s%s" % (record["client_state"], record["server_state"], record["cause"], inferred))
    return lines


def main(binary):
    captures = {name: lines for name, lines in read_lists(os.path.join(HERE, "states.txt")).items() if "." in name}
    wrong = 0
    for name, expected in captures.items():
        found = transitions(binary, name)
        if found != expected:
            wrong += 1
            print("%s:\n  expected %s\n  found    %s" % (name, "\n           ".join(expected), "\n           ".join(found)))
    print("%d captures, %d with other states than expected" % (len(captures), wrong))
    return 1 if wrong or not captures else 0


if __name__ == "__main__":
    sys.exit(main(os.path.abspath(sys.argv[1])))
