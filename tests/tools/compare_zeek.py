#!/usr/bin/env python3
"""Compare conn_state and history with what Zeek says of the same captures.

Left out, and counted: rows without conn_state (tests that loaded only some scripts), histories with c or C (Zeek dropped
packets for their checksum, and so knows less), and connections that Zeek's own timers cut in two. All else counts, also a
row for which there is no connection of ours.
"""

import collections
import sys

import corpus


def left_out(row):
    if row["conn_state"] is None:
        return "without conn_state"
    if "c" in row["history"].lower():
        return "c or C in history"
    return None


def cut_by_zeek(rows, connections):
    """A row that does not begin with a SYN, beside others of the same endpoints, is the rest of a connection that Zeek had
    already given up or closed. (Rows that all begin with a SYN are connections of their own: not a cut.)"""
    rests = [r for r in rows if not r["history"].lstrip("^").startswith(("S", "s"))]
    return len(rows) > 1 and len(rests) > 0 and len(connections) < len(rows)


def same(row, connection):
    return (row["conn_state"], row["history"]) == (connection.get("conn_state"), connection.get("history"))


def assign(rows, connections):
    """(row, connection or None) for rows of one pair of endpoints. Zeek's rows bear no time and stand in the
    order of their end, so what is equal goes together first, and the rest in order."""
    rest, pairs = list(connections), []
    for row in rows:
        equal = next((c for c in rest if same(row, c)), None)
        if equal:
            rest.remove(equal)
        pairs.append((row, equal))
    return [(row, c or (rest.pop(0) if rest else None)) for row, c in pairs]


def without(text, letters):
    return "".join(c for c in text if c not in letters)


def kind_of(row, connection):
    """Names what differs; the first that fits."""
    if connection is None:
        return "no connection of ours"
    theirs, ours = row["history"], connection.get("history", "")
    if connection.client != corpus.endpoint(row["orig_h"], row["orig_p"]):
        return "roles: our client is Zeek's responder"
    if theirs == ours:
        return "conn_state only"
    for letters, name in (("^", "which side was first (^)"), ("gG", "gap letters (g)"), ("tT", "retransmission letters (t)"),
                          ("wW", "zero window letters (w)"), ("xX", "analysis given up by Zeek (x)"),
                          ("gGtT", "gap and retransmission letters (g, t)"), ("rRfF", "repeated FIN or RST (f, r)")):
        if without(theirs, letters) == without(ours, letters):
            return name
    if sorted(theirs) == sorted(ours):
        return "order of letters"
    if ours.startswith(theirs):
        return "ours goes on where Zeek's ends"
    return "other letters"


class Comparison:
    def __init__(self, examples):
        self.rows = self.compared = self.states = self.histories = 0
        self.left = collections.Counter()
        self.differences = corpus.Differences(examples)
        self.bare = self.bare_equal = 0

    def take_row(self, capture, row, connection):
        self.compared += 1
        state = connection is not None and row["conn_state"] == connection.get("conn_state")
        history = connection is not None and row["history"] == connection.get("history", "")
        self.states += state
        self.histories += history
        if not (state and history):
            ours = f"{connection.get('conn_state')} {connection.get('history', '')}" if connection else "nothing"
            self.differences.add(kind_of(row, connection), f"{capture.name} {row['orig_h']}:{row['orig_p']} {row['resp_h']}:"
                                 f"{row['resp_p']} Zeek {row['conn_state']} {row['history']}, ours {ours}")

    def take_bare(self, rows, reading):
        """Rows without endpoints can still be compared where the capture holds one connection; not part of the figures."""
        if len(rows) == 1 and len(reading.connections) == 1 and rows[0]["history"]:
            self.bare += 1
            self.bare_equal += rows[0]["history"] == reading.connections[0].get("history", "")

    def take_capture(self, capture, rows, reading):
        self.rows += len(rows)
        by_pair = collections.defaultdict(list)
        for row in rows:
            reason = left_out(row)
            if reason:
                self.left[reason] += 1
            else:
                ends = (corpus.endpoint(row["orig_h"], row["orig_p"]), corpus.endpoint(row["resp_h"], row["resp_p"]))
                by_pair[corpus.pair(*ends)].append(row)
        if all(row["conn_state"] is None for row in rows):
            self.take_bare(rows, reading)
        for ends, of_pair in by_pair.items():
            connections = reading.by_pair.get(ends, [])
            if cut_by_zeek(of_pair, connections):
                self.left["cut in two by Zeek's timers"] += len(of_pair)
                continue
            for row, connection in assign(of_pair, connections):
                self.take_row(capture, row, connection)

    def report(self):
        print(f"rows {self.rows}, compared {self.compared}, left out {sum(self.left.values())}")
        for reason, n in self.left.most_common():
            print(f"  {n:5}  {reason}")
        print(f"conn_state equal {self.states} of {self.compared}: {corpus.percent(self.states, self.compared):.1f} %")
        print(f"history equal    {self.histories} of {self.compared}: {corpus.percent(self.histories, self.compared):.1f} %")
        print(f"(rows without conn_state in captures of one connection: history equal {self.bare_equal} of {self.bare})")
        self.differences.print()


def main():
    parser = corpus.arguments(__doc__.splitlines()[0])
    parser.add_argument("--min-conn-state", type=float, default=97.0, metavar="PERCENT")
    parser.add_argument("--min-history", type=float, default=90.0, metavar="PERCENT")
    options = parser.parse_args()

    comparison = Comparison(options.examples)
    for capture, _, rows in corpus.truths("zeek"):
        if options.only in capture.name:
            comparison.take_capture(capture, rows, corpus.read(options.spanwatch, capture))
    comparison.report()
    if not comparison.compared:
        sys.exit("nothing was compared")
    enough = (corpus.percent(comparison.states, comparison.compared) >= options.min_conn_state
              and corpus.percent(comparison.histories, comparison.compared) >= options.min_history)
    sys.exit(0 if enough else 1)


if __name__ == "__main__":
    main()
