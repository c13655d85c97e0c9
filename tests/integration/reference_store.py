"""The store's contract in Python, slow and plain: a writer of streams, and the answers to questions by replay of all.

Times are integers of nanoseconds. A transition is a dict: ts, flow, client, server, service, state, was (pairs of
names), cause, and inferred, vlan, tunnel where they apply.
"""
import bisect
import ipaddress
import random

CLOSED = ("CLOSED", "CLOSED")
REASONS = ["midstream", "gap", "one_sided", "timer"]
SKEW_MS = 2000


def stamp(ns):
    return "%d.%09d" % divmod(ns, 10**9)


def nanoseconds(text):
    seconds, _, fraction = str(text).partition(".")
    return int(seconds) * 10**9 + int((fraction + "0" * 9)[:9])


def address(endpoint):
    return endpoint.rpartition(":")[0].strip("[]")


def place(endpoint):
    """What endpoints are ordered by."""
    ip = ipaddress.ip_address(address(endpoint))
    return ip.version, ip.packed, int(endpoint.rpartition(":")[2])


def crc16(octets):
    crc = 0
    for octet in octets:
        crc ^= octet << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xffff
    return crc


def from_record(record):
    """A transition of `read --format jsonl`, numbers read as text."""
    state = record["client_state"], record["server_state"]
    was = record.get("client_was", state[0]), record.get("server_was", state[1])
    t = {"ts": nanoseconds(record["ts"]), "state": state, "was": was}
    return t | {k: record[k] for k in ("flow", "client", "server", "service", "cause", "inferred", "vlan", "tunnel") if k in record}


class Connections:
    """All connections that are not CLOSED/CLOSED, as transitions make them."""

    def __init__(self):
        self.flows = {}

    def apply(self, t):
        c = self.flows.get(t["flow"])
        if c is None:
            c = self.flows[t["flow"]] = {"since": [t["ts"], t["ts"]], "inferred": None}
        elif t["cause"] == "roles":
            c["since"].reverse()
        if t["cause"] != "roles":
            for side in (0, 1):
                if t["was"][side] != t["state"][side]:
                    c["since"][side] = t["ts"]
        if "inferred" in t and t["cause"] != "timeout:time_wait":
            ranks = [r for r in (c["inferred"], t["inferred"]) if r]
            c["inferred"] = min(ranks, key=REASONS.index)
        c.update(client=t["client"], server=t["server"], service=t["service"], state=tuple(t["state"]))
        if c["state"] == CLOSED:
            del self.flows[t["flow"]]


def at(transitions, ts):
    """{flow: connection} of a moment, of transitions in order."""
    now = Connections()
    for t in transitions:
        if t["ts"] <= ts:
            now.apply(t)
    return now.flows


class Writer:
    """Puts one probe's records into Redis as design 1.4 has them."""

    TRANSITION = "ts flow client server service state was cause".split()
    SNAPSHOT = "ts kind keyframe flows groups server service state count part parts members".split()

    def __init__(self, redis, name, partitions, prefix="spanwatch"):
        self.redis, self.name, self.partitions, self.prefix = redis, name, partitions, prefix
        self.last = {}
        self.pending = []

    def key(self, what, partition=None):
        tag = self.name if partition is None else "%s/%d" % (self.name, partition)
        return "%s:{%s}:%s" % (self.prefix, tag, what)

    def partition(self, client):
        return crc16(address(client).encode()) % self.partitions

    def add(self, key, ts, fields, values):
        """XADD with an ID of the time, raised above the last."""
        ms, seq = max((ts // 10**6, 0), self.next_id(key))
        assert ms <= ts // 10**6 + SKEW_MS
        self.last[key] = ms, seq
        pairs = [word for pair in zip(fields, values) for word in pair]
        self.pending.append(("XADD", key, "%d-%d" % (ms, seq), *pairs))
        if len(self.pending) >= 500:
            self.flush()

    def next_id(self, key):
        ms, seq = self.last.get(key, (0, 0))
        return ms, seq + 1

    def flush(self):
        self.redis.many(self.pending)
        self.pending = []

    def transition(self, t, partition=None):
        cause = t["cause"] + "".join(" %s=%s" % (k, t[k]) for k in ("inferred", "vlan", "tunnel") if k in t)
        values = [stamp(t["ts"]), t["flow"], t["client"], t["server"], t["service"], "/".join(t["state"]), "/".join(t["was"]), cause]
        p = self.partition(t["client"]) if partition is None else partition
        if t["cause"] == "roles" and self.partition(t["server"]) != p:
            moved = t | {"client": t["server"], "server": t["client"], "state": CLOSED, "was": tuple(reversed(t["was"])), "cause": "moved"}
            moved.pop("inferred", None)
            self.transition(moved, self.partition(t["server"]))
        self.add(self.key("transitions", p), t["ts"], self.TRANSITION, values)

    def snapshot(self, ts, flows, keyframe, members=True, ended=lambda partition: True, part=1000):
        shares = [{} for _ in range(self.partitions)]
        for flow, c in flows.items():
            group = shares[self.partition(c["client"])].setdefault((c["server"], c["service"], c["state"]), [])
            group.append("%s,%s,%s" % (c["client"], flow, stamp(max(c["since"]))))
        for p, groups in enumerate(shares):
            key, n = self.key("snapshots", p), sum(map(len, groups.values()))
            self.add(key, ts, self.SNAPSHOT, [stamp(ts), "begin", "1" if keyframe else "", n] + [""] * 8)
            for (server, service, state), texts in groups.items():
                parts = -(-len(texts) // part) if members else 1
                for i in range(parts):
                    text = " ".join(texts[i * part:(i + 1) * part]) if members else ""
                    self.add(key, ts, self.SNAPSHOT, [stamp(ts), "group", "", "", "", server, service, "/".join(state), len(texts),
                                                      i + 1, parts, text])
            if ended(p):
                self.add(key, ts, self.SNAPSHOT, [stamp(ts), "end", "", n, len(groups)] + [""] * 7)

    def gap(self, ts, begin, end, what="packets", lost=1, why="test"):
        self.add(self.key("gaps"), ts, "type ts probe from to what lost why".split(),
                 ["gap", stamp(ts), self.name, stamp(begin), stamp(end), what, lost, why])

    def alarm(self, ts, json, **fields):
        self.add(self.key("alarms"), ts, "ts kind severity status seq json".split(),
                 [stamp(ts), fields["kind"], fields["severity"], fields["status"], fields["seq"], json])

    def probe(self, first, last):
        self.flush()
        self.redis("HSET", self.prefix + ":probes", self.name,
                   '{"format":1,"partitions":%d,"skew_ms":%d,"host":"h","version":"0","started":%s,"first":%s,"last":%s}'
                   % (self.partitions, SKEW_MS, stamp(first), stamp(first), stamp(last)))

    def write(self, transitions, period=10 * 10**9, keyframe_every=4, **how):
        """All transitions, snapshots between them at each period, every so many a keyframe."""
        now, taken = Connections(), 0
        if not transitions:
            return
        due = (transitions[0]["ts"] // period + 1) * period
        for t in transitions:
            while t["ts"] > due:
                self.snapshot(due, now.flows, taken % keyframe_every == 0, members=taken % 2 == 0 or taken % keyframe_every == 0, **how)
                taken, due = taken + 1, due + period
            now.apply(t)
            self.transition(t)
        self.probe(transitions[0]["ts"], transitions[-1]["ts"])


# Lives of connections, as pairs of states that follow each other, with causes.
LIVES = [
    [("syn", "SYN_SENT/CLOSED"), ("syn_ack", "ESTABLISHED/SYN_RECEIVED"), ("ack", "ESTABLISHED/ESTABLISHED"),
     ("fin", "FIN_WAIT_1/CLOSE_WAIT"), ("ack", "FIN_WAIT_2/CLOSE_WAIT"), ("fin", "TIME_WAIT/LAST_ACK"), ("ack", "TIME_WAIT/CLOSED"),
     ("timeout:time_wait", "CLOSED/CLOSED")],
    [("syn", "SYN_SENT/CLOSED"), ("rst", "CLOSED/CLOSED")],
    [("data", "ESTABLISHED/ESTABLISHED"), ("rst", "CLOSED/CLOSED")],
    [("data", "ESTABLISHED/ESTABLISHED"), ("roles", "ESTABLISHED/ESTABLISHED"), ("fin", "CLOSE_WAIT/FIN_WAIT_1"),
     ("ack", "CLOSE_WAIT/FIN_WAIT_2"), ("fin", "LAST_ACK/TIME_WAIT"), ("ack", "CLOSED/TIME_WAIT"), ("timeout:time_wait", "CLOSED/CLOSED")],
    [("syn", "SYN_SENT/CLOSED"), ("syn_ack", "ESTABLISHED/SYN_RECEIVED"), ("ack", "ESTABLISHED/ESTABLISHED")],
]


def invent(seed, flows=300, start=1_200_000_000, seconds=150, name="p"):
    """Transitions of many connections, in order. Some lie on whole seconds, some have one time."""
    dice = random.Random(seed)
    addresses = ["10.0.%d.%d" % (a, b) for a in (0, 1) for b in range(1, 9)] + ["[2001:db8::%d]" % i for i in range(1, 9)]
    servers = [("10.9.0.1:443", "https"), ("10.9.0.2:22", "ssh"), ("[2001:db8:9::1]:443", "https"), ("10.9.0.1:8080", "tcp/8080")]
    found = []
    for i in range(flows):
        server, service = dice.choice(servers)
        client = dice.choice([a for a in addresses if (":" in a) == (server[0] == "[")]) + ":%d" % (1024 + i)
        flow, ts, was = "%016x" % dice.getrandbits(64), start * 10**9 + dice.randrange(seconds * 10**9), CLOSED
        scope = dice.choice([{}, {}, {}, {"vlan": "20"}, {"vlan": "100.20", "tunnel": "gre:0/vxlan:7"}])
        for cause, pair in dice.choice(LIVES):
            state = tuple(pair.split("/"))
            if cause == "roles":
                client, server, service, was = server, client, "tcp/%s" % client.rpartition(":")[2], state
            t = {"ts": ts, "flow": flow, "client": client, "server": server, "service": service, "state": state, "was": was,
                 "cause": cause} | scope
            if was == CLOSED and cause == "data":
                t["inferred"] = "midstream"
            elif cause.startswith("timeout"):
                t["inferred"] = "timer"
            elif dice.random() < 0.05:
                t["inferred"] = dice.choice(REASONS)
            found.append((ts, i, len(found), t))
            was = state
            ts += dice.choice([0, dice.randrange(10**6), dice.randrange(30 * 10**9), -ts % 10**10])
    found.sort(key=lambda x: x[:3])
    return [t for *_, t in found]


class Oracle:
    """Answers by replay of everything."""

    def __init__(self, transitions, probe="p"):
        self.transitions, self.probe = transitions, probe
        self.times = [t["ts"] for t in transitions]

    def connections(self, ts, wanted=lambda c: True):
        rows = []
        for flow, c in at(self.transitions[:bisect.bisect_right(self.times, ts)], ts).items():
            if wanted(c):
                row = {"probe": self.probe, "flow": flow, "client": c["client"], "server": c["server"], "service": c["service"],
                       "client_state": c["state"][0], "server_state": c["state"][1],
                       "client_since": stamp(c["since"][0]), "server_since": stamp(c["since"][1])}
                rows.append(row | ({"inferred": c["inferred"]} if c["inferred"] else {}))
        return sorted(rows, key=lambda r: (place(r["client"]), place(r["server"]), r["flow"]))
