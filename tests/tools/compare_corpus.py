#!/usr/bin/env python3
"""Compare connections with what tcptrace, Suricata, Arkime, nDPI, DeepFlow and the Community ID specification say.

Rows and connections meet by their two endpoints. Where a pair of endpoints has as many rows as connections, they are
compared one to one in order; else (the tools end a connection by timers of their own) their sums are. A cell is
compared only for what it asserts: e.g. tcptrace counts every packet with a zero window and spanwatch how often a window
closed, so both must say that it happened or that it did not. Copies, which spanwatch does not count, are allowed for
in packet counts as far as its own stats report them, and such cells are listed as a kind of their own.
"""

import collections
import sys

import corpus

# Suricata's one state a session -> what one of the two ends must be in (a closed one may still wait in TIME_WAIT).
SURICATA_STATES = {
    "syn_sent": {"SYN_SENT"},
    "syn_recv": {"SYN_RECEIVED"},
    "established": {"ESTABLISHED"},
    "fin_wait1": {"FIN_WAIT_1"},
    "fin_wait2": {"FIN_WAIT_2"},
    "close_wait": {"CLOSE_WAIT"},
    "closing": {"CLOSING"},
    "last_ack": {"LAST_ACK"},
    "time_wait": {"TIME_WAIT"},
    "closed": {"CLOSED", "TIME_WAIT"},
}

# DeepFlow's close type -> (conn_state values of ours that say the same, who must have retransmitted).
DEEPFLOW_ENDS = {
    "ServerEstablishReset": ({"RSTR"}, "server"),
    "TcpFinClientRst": ({"RSTO"}, "server"),
    "ClientSourcePortReuse": ({"RSTO", "OTH", "RSTOS0"}, None),
    "ServerQueueLack": ({"RSTR"}, "server"),
    "ClientSynRepeat": ({"S0"}, None),
}

FLAG_LETTERS = {0x01: "F", 0x02: "SH", 0x04: "R"}  # TCP flag -> letters of history that prove it; else Q and I may


class Cell:
    """One asserted fact: what was expected (None: nothing), what is ours, and whether copies may explain a lower count."""

    def __init__(self, name, expected, ours, less_copies=False):
        self.name = name
        self.expected = expected
        self.ours = ours
        self.less_copies = less_copies


class Meeting:
    """Rows of a pair of endpoints and the connections of ours: `first` is the end that the row names first."""

    def __init__(self, rows, connections, first, second):
        self.rows = rows
        self.connections = connections
        self.first = first
        self.second = second

    def total(self, column):
        """The sum of a column, or None where one of the rows does not assert it."""
        values = [row.get(column) for row in self.rows]
        return None if None in values else sum(int(v) for v in values)

    def ours(self, end, key):
        return sum(c.of(end, key) for c in self.connections)

    def letters(self, end):
        return set().union(*(c.letters(end) for c in self.connections))

    def count_cells(self, name, first_column, second_column, key):
        for end, column in ((self.first, first_column), (self.second, second_column)):
            yield Cell(name, self.total(column), self.ours(end, key), key in ("packets", "retransmits"))

    def happened_cells(self, name, first_column, second_column, key):
        for end, column in ((self.first, first_column), (self.second, second_column)):
            total = self.total(column)
            yield Cell(name, None if total is None else total > 0, self.ours(end, key) > 0)

    def flag_cells(self, name, first_column, second_column, letters):
        for end, column in ((self.first, first_column), (self.second, second_column)):
            total = self.total(column)
            yield Cell(name, None if total is None else total > 0, bool(self.letters(end) & set(letters)))

    def single(self):
        """The row and the connection, where it is one of each."""
        return (self.rows[0], self.connections[0]) if len(self.rows) == len(self.connections) == 1 else (None, None)

    def community_id_cells(self):
        for row in self.rows:
            for c in self.connections[:1]:
                yield Cell("community_id", row.get("community_id"), c.get("community_id"))


def tcptrace_cells(m):
    yield from m.count_cells("packets", "a_pkts", "b_pkts", "packets")
    yield from m.count_cells("unique bytes", "a_unique_bytes", "b_unique_bytes", "bytes")
    yield from m.count_cells("retransmitted", "a_rexmt_pkts", "b_rexmt_pkts", "retransmits")
    yield from m.count_cells("out of order", "a_ooo_pkts", "b_ooo_pkts", "out_of_order")
    yield from m.happened_cells("zero window", "a_zero_win_adv", "b_zero_win_adv", "zero_windows")
    yield from m.flag_cells("SYN seen", "a_syns", "b_syns", "SH")
    yield from m.flag_cells("FIN seen", "a_fins", "b_fins", "F")
    yield from m.flag_cells("RST seen", "a_resets", "b_resets", "R")
    row, _ = m.single()
    if row:
        if "R" in m.letters(m.first) | m.letters(m.second):
            ours = "RESET"
        else:
            ours = "yes" if "F" in m.letters(m.first) & m.letters(m.second) else "no"
        yield Cell("complete_conn", row["complete_conn"].split(" ")[0], ours)


def suricata_cells(m):
    yield from m.count_cells("packets", "pkts_toserver", "pkts_toclient", "packets")
    yield from m.community_id_cells()
    row, connection = m.single()
    if not row:
        return
    for end, column in ((m.first, "tcp_flags_ts"), (m.second, "tcp_flags_tc")):
        if row[column] is not None and row["flow_state"] != "new":  # a new flow: its stream was not followed
            flags = int(row[column], 16)
            for flag, letters in FLAG_LETTERS.items():
                yield Cell("flag " + "/".join(letters), bool(flags & flag), bool(m.letters(end) & set(letters)))
    if row["tcp_state"] is not None:
        pair = {connection.get("client_state"), connection.get("server_state")}
        allowed = SURICATA_STATES[row["tcp_state"]]
        yield Cell("tcp_state", row["tcp_state"], row["tcp_state"] if pair & allowed else "/".join(sorted(pair)))


def arkime_cells(m):
    yield from m.count_cells("packets", "src_packets", "dst_packets", "packets")
    for end, column in ((m.first, "src_databytes"), (m.second, "dst_databytes")):
        if not m.ours(end, "retransmits") and not m.ours(end, "out_of_order"):  # Arkime counts what is sent again
            yield Cell("payload, nothing sent again", m.total(column), m.ours(end, "bytes"))
    yield from m.happened_cells("zero window", "srcZero", "dstZero", "zero_windows")
    either = m.letters(m.first) | m.letters(m.second)
    for column, letter in (("syn", "S"), ("syn_ack", "H"), ("fin", "F"), ("rst", "R")):
        total = m.total(column)
        yield Cell(column, None if total is None else total > 0, letter in either)
    yield from m.community_id_cells()


def ndpi_cells(m):
    yield from m.count_cells("packets", "a_pkts", "b_pkts", "packets")


def cid_cells(m):
    yield from m.community_id_cells()


# kind of truth -> (columns of the first and the second end, its cells)
TRUTHS = {
    "tcptrace": (("a_ip", "a_port", "b_ip", "b_port"), tcptrace_cells),
    "suricata": (("src_ip", "src_port", "dest_ip", "dest_port"), suricata_cells),
    "arkime": (("src_ip", "src_port", "dst_ip", "dst_port"), arkime_cells),
    "ndpi": (("a_ip", "a_port", "b_ip", "b_port"), ndpi_cells),
    "cid": (("src_ip", "src_port", "dst_ip", "dst_port"), cid_cells),
}


def once_a_test(rows):
    """One capture serves several of Suricata's tests, which assert the same flow; what they say alike is one row."""
    if not rows or "test" not in rows[0]:
        return rows
    return [dict(r) for r in dict.fromkeys(tuple((k, v) for k, v in row.items() if k != "test") for row in rows)]


class Comparison:
    def __init__(self, kind, examples):
        self.kind = kind
        self.rows = 0
        self.left = collections.Counter()
        self.asserted = collections.Counter()
        self.equal = collections.Counter()
        self.differences = corpus.Differences(examples)

    def take_cell(self, where, reading, cell):
        if cell.expected is None:
            return
        self.asserted[cell.name] += 1
        if cell.expected == cell.ours:
            self.equal[cell.name] += 1
            return
        example = f"{where} {self.kind} {cell.expected}, ours {cell.ours}"
        if isinstance(cell.expected, bool) or not isinstance(cell.expected, int):
            self.differences.add(cell.name, example)
        elif cell.less_copies and 0 < cell.expected - cell.ours <= reading.stats.get("duplicates", 0):
            self.differences.add(f"{cell.name}: copies, which are not counted", example)
        else:
            self.differences.add(f"{cell.name}: ours {'less' if cell.ours < cell.expected else 'more'}", example)

    def take_meeting(self, capture, reading, cells, meeting):
        ends = f"{corpus.endpoint_text(meeting.first)} {corpus.endpoint_text(meeting.second)}"
        where = f"{capture.name} {ends}"
        if not meeting.connections:
            self.asserted["connection"] += 1
            self.differences.add("no connection of ours", where)
            return
        self.asserted["connection"] += 1
        self.equal["connection"] += 1
        for cell in cells(meeting):
            self.take_cell(where, reading, cell)

    def meetings(self, rows, reading, columns):
        """Rows joined with connections, one to one where there are as many of each, else all of a pair at once."""
        by_pair = collections.defaultdict(list)
        for row in rows:
            if None in (row.get(c) for c in columns):
                continue
            first = corpus.endpoint(row[columns[0]], row[columns[1]])
            second = corpus.endpoint(row[columns[2]], row[columns[3]])
            by_pair[corpus.pair(first, second)].append((row, first, second))
        for ends, entries in by_pair.items():
            connections = reading.by_pair.get(ends, [])
            if len(entries) == len(connections):
                for (row, first, second), c in zip(entries, connections):
                    yield Meeting([row], [c], first, second)
            elif len({first for _, first, _ in entries}) == 1:
                yield Meeting([e[0] for e in entries], connections, *entries[0][1:])
            else: # their sums cannot be told apart by side
                self.asserted["connections of a pair"] += 1
                self.differences.add("connections of a pair", f"{corpus.endpoint_text(ends[0])} {corpus.endpoint_text(ends[1])}"
                                     f" {self.kind} {len(entries)}, ours {len(connections)}")

    def take_capture(self, capture, rows, reading):
        columns, cells = TRUTHS[self.kind]
        self.rows += len(rows)
        unnamed = [r for r in rows if None in (r.get(c) for c in columns)]
        if unnamed and len(reading.connections) == 1:
            c = reading.connections[0]
            for row in unnamed:
                self.take_meeting(capture, reading, cells, Meeting([row], [c], c.client, c.server))
        elif unnamed:
            self.left["no endpoints, and not one connection"] += len(unnamed)
        for meeting in self.meetings(once_a_test(rows), reading, columns):
            self.take_meeting(capture, reading, cells, meeting)

    def report(self):
        asserted, equal = sum(self.asserted.values()), sum(self.equal.values())
        print(f"{self.kind}: rows {self.rows}, cells equal {equal} of {asserted}: {corpus.percent(equal, asserted):.1f} %")
        for reason, n in self.left.items():
            print(f"  {n:5}  rows left out: {reason}")
        for name, n in self.asserted.items():
            print(f"  {self.equal[name]:5} of {n:5}  {corpus.percent(self.equal[name], n):5.1f} %  {name}")
        self.differences.print()
        print()
        return corpus.percent(equal, asserted) if asserted else None


# DeepFlow's five are made by hand: SYN-ACKs repeated after 54 us with the same identification, which we take for copies, and resets with numbers
# far from all others, which are doubted until nothing contradicts them.
LEAST = {"deepflow": 40.0}


def compare_deepflow(options):
    """One close type a file: some connection of ours must have ended that way."""
    comparison = Comparison("deepflow", options.examples)
    for capture, _, rows in corpus.truths("deepflow"):
        if options.only not in capture.name:
            continue
        reading = corpus.read(options.spanwatch, capture)
        for row in rows:
            states, sender = DEEPFLOW_ENDS[row["close_type"]]
            agree = any(c.get("conn_state") in states and (sender is None or c.get(f"{sender}_retransmits") > 0)
                        for c in reading.connections)
            ours = [(c.get("conn_state"), c.get("history", "")) for c in reading.connections]
            comparison.rows += 1
            comparison.take_cell(capture.name, reading,
                                 Cell("close type", row["close_type"], row["close_type"] if agree else ours))
    return comparison.report()


def compare(kind, options):
    comparison = Comparison(kind, options.examples)
    for capture, _, rows in corpus.truths(kind):
        if options.only in capture.name:
            comparison.take_capture(capture, rows, corpus.read(options.spanwatch, capture))
    return comparison.report()


def main():
    parser = corpus.arguments(__doc__.splitlines()[0])
    parser.add_argument("--truth", choices=[*TRUTHS, "deepflow"], action="append", help="only these (default: all)")
    parser.add_argument("--min", type=float, default=90.0, metavar="PERCENT", help="cells equal, of each kind of truth")
    options = parser.parse_args()

    shares = [compare_deepflow(options) if kind == "deepflow" else compare(kind, options)
              for kind in options.truth or [*TRUTHS, "deepflow"]]
    kinds = options.truth or [*TRUTHS, "deepflow"]
    asserted = {kind: share for kind, share in zip(kinds, shares) if share is not None}
    if not asserted:
        sys.exit("nothing was compared")
    sys.exit(1 if any(share < LEAST.get(kind, options.min) for kind, share in asserted.items()) else 0)


if __name__ == "__main__":
    main()
