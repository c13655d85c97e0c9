"""What the tests of the store stand on: a redis-server that can be hurt, a relay in front of it, captures of much
traffic, and the comparison of the streams with what `read --format jsonl` prints for the same capture."""
import binascii
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tools"))
import pcapfile  # noqa: E402
import private_redis  # noqa: E402

LIMIT = 60.0  # s that anything here may take
TRANSITION = ["ts", "flow", "client", "server", "service", "state", "was", "cause"]


class Server(private_redis.Server):
    """The same on one folder and socket through its lives; `port` for TCP too."""

    def __init__(self, *arguments, aof=False):
        super().__init__(*arguments, *(("--appendonly", "yes", "--appendfsync", "everysec") if aof else ()))

    def kill(self):
        self.connection.close()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.go_on()
        super().__exit__()


class Relay:
    """Octets between a Unix socket of its own and the server's, which can be cut, held up, slowed, or half closed."""

    def __init__(self, server):
        self.server, self.path = server, os.path.join(server.folder, "relay.sock")
        self.url = "unix://" + self.path
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(16)
        self.delay, self.rate, self.pairs, self.ending = 0.0, None, [], False
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while not self.ending:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            try:
                far.connect(self.server.path)
            except OSError:
                near.close()
                far.close()
                continue
            self.pairs.append((near, far))
            for a, b in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(a, b), daemon=True).start()

    def _carry(self, a, b):
        try:
            while True:
                octets = a.recv(65536 if self.rate is None else max(1, self.rate // 50))
                if not octets:
                    break
                if self.delay:
                    time.sleep(self.delay)
                if self.rate is not None:
                    time.sleep(0.02)
                b.sendall(octets)
            b.shutdown(socket.SHUT_WR)
        except OSError:
            for s in (a, b):
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def cut(self):
        for near, far in self.pairs:
            for s in (near, far):
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        self.pairs.clear()

    def half_close(self):
        """The server's answers go on, nothing more reaches it; the writer is not told."""
        for near, far in self.pairs:
            try:
                far.shutdown(socket.SHUT_WR)
            except OSError:
                pass

    def close(self):
        self.ending = True
        self.listener.close()
        self.cut()


def traffic(connections, seed, start=1700000000 * 10**9, rate=2000, pause=(10**5, 3 * 10**7)):
    """Packets of whole connections of many clients, overlapping, in order: (ts_ns, octets, length). `pause`: from one packet
    of a connection to the next, at least and at most."""
    rng = random.Random(seed)
    packets = []

    def segment(ts, a, b, flags, seq, ack, payload=b""):
        octets = tcp_frame(a, b, flags, seq, ack, payload)
        packets.append((ts, octets, len(octets)))

    for i in range(connections):
        ts = start + int(i / rate * 10**9)
        client = ("10.%d.%d.%d" % (1 + i % 7, i // 7 % 250, 1 + i // 1750 % 250), 20000 + i % 40000)
        server = ("10.200.0.%d" % (1 + i % 9), 8000 + i % 5)
        x, y, step = rng.getrandbits(32), rng.getrandbits(32), rng.randrange(*pause)
        times = iter(range(ts, ts + 100 * step, step))
        if i % 10 == 0:
            segment(next(times), client, server, 2, x, 0)
            segment(next(times), server, client, 0x14, 0, x + 1)
            continue
        segment(next(times), client, server, 2, x, 0)
        segment(next(times), server, client, 0x12, y, x + 1)
        segment(next(times), client, server, 0x10, x + 1, y + 1)
        segment(next(times), client, server, 0x18, x + 1, y + 1, b"q" * 100)
        segment(next(times), server, client, 0x18, y + 1, x + 101, b"a" * 300)
        segment(next(times), client, server, 0x11, x + 101, y + 301)
        segment(next(times), server, client, 0x11, y + 301, x + 102)
        segment(next(times), client, server, 0x10, x + 102, y + 302)
    packets.sort(key=lambda p: p[0])
    return packets


def tcp_frame(a, b, flags, seq, ack, payload):
    import struct
    tcp = struct.pack("!HHIIBBHHH", a[1], b[1], seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, 0x50, flags, 64240, 0, 0) + payload
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 1, 0, 64, 6, 0, socket.inet_aton(a[0]), socket.inet_aton(b[0]))
    return b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01\x08\0" + head + tcp


class Feeder(threading.Thread):
    """Writes a capture to a pipe in so many seconds, and calls `steps` at their shares of it: [(0.3, callable)]."""

    def __init__(self, pipe, octets, seconds, steps=()):
        super().__init__(daemon=True)
        self.pipe, self.octets, self.seconds, self.steps, self.fault = pipe, octets, seconds, list(steps), None

    def run(self):
        try:
            piece = max(1, len(self.octets) // 400)
            begin = time.monotonic()
            for at in range(0, len(self.octets), piece):
                share = at / len(self.octets)
                while self.steps and share >= self.steps[0][0]:
                    self.steps.pop(0)[1]()
                    begin = time.monotonic() - share * self.seconds
                self.pipe.write(self.octets[at:at + piece])
                self.pipe.flush()
                time.sleep(max(0.0, begin + share * self.seconds - time.monotonic()))
            for _, step in self.steps:
                step()
        except BaseException as fault:  # noqa: B902  told by who waits for the thread
            self.fault = fault
        finally:
            try:
                self.pipe.close()
            except OSError:
                pass


def read(binary, url, name, capture, *options, **more):
    return subprocess.Popen([binary, "read", "--redis", url, "--name", name, "--format", "none", "--set", "store.partitions=16", *options, capture],
                            stderr=subprocess.PIPE, **more)


def records(binary, name, capture, *options):
    """What the same capture gives as JSON Lines."""
    done = subprocess.run([binary, "read", "--format", "jsonl", "--name", name, *options, capture], stdout=subprocess.PIPE,
                          check=True, timeout=LIMIT)
    return [json.loads(line, parse_float=str) for line in done.stdout.splitlines()]


def partition_of(endpoint, partitions):
    return binascii.crc_hqx(endpoint.rpartition(":")[0].strip("[]").encode(), 0) % partitions


def as_entry(r):
    """A transition's record as its entry."""
    was = (r.get("client_was", r["client_state"]), r.get("server_was", r["server_state"]))
    cause = r["cause"] + "".join(" %s=%s" % (k, r[k]) for k in ("inferred", "vlan", "tunnel") if k in r)
    return (r["ts"], r["flow"], r["client"], r["server"], r["service"],
            r["client_state"] + "/" + r["server_state"], "%s/%s" % was, cause)


def stream(redis, key):
    """All entries, as (id, [(field, value)])."""
    out, at = [], "-"
    while True:
        page = redis("XRANGE", key, at, "+", "COUNT", 1000)
        for entry_id, flat in page:
            out.append((entry_id.decode(), [(k.decode(), v.decode()) for k, v in zip(flat[::2], flat[1::2])]))
        if len(page) < 1000:
            return out
        at = "(" + out[-1][0]


def ns(text):
    whole, _, fraction = text.partition(".")
    return int(whole) * 10**9 + int(fraction.ljust(9, "0"))


def gaps(redis, name, what):
    found = []
    for _, fields in stream(redis, "spanwatch:{%s}:gaps" % name):
        gap = dict(fields)
        if gap["what"] == what:
            found.append((ns(gap["from"]), ns(gap["to"]), int(gap["lost"])))
    return found


class Wrong(AssertionError):
    pass


def check_ids(entries, where, skew_ms=2000):
    last = (0, 0)
    for entry_id, fields in entries:
        now = tuple(int(n) for n in entry_id.split("-"))
        if now <= last:
            raise Wrong(f"{where}: the ID {entry_id} is not above the one before it")
        last = now
        ts_ms = ns(dict(fields)["ts"]) // 10**6
        if not ts_ms <= now[0] <= ts_ms + skew_ms:
            raise Wrong(f"{where}: the ID {entry_id} is of another time than {ts_ms} ms")


def check(redis, name, expected, partitions=16, skew_ms=2000, foreign=0):
    """Every expected transition is in its stream exactly once and in order; what is missing lies in gap records, which
    count it. Returns how many are missing."""
    wanted = [[] for _ in range(partitions)]
    for r in expected:
        if r["type"] == "transition":
            wanted[partition_of(r["client"], partitions)].append(as_entry(r))
    missing = []
    for p in range(partitions):
        where = "spanwatch:{%s/%d}:transitions" % (name, p)
        entries = stream(redis, where)
        own = [e for e in entries if [k for k, _ in e[1]] == TRANSITION]
        foreign -= len(entries) - len(own)
        check_ids(own, where, skew_ms)
        have = [tuple(v for _, v in fields) for _, fields in own]
        at = 0
        for entry in wanted[p]:
            if at < len(have) and have[at] == entry:
                at += 1
            else:
                missing.append(entry)
        if at != len(have):
            raise Wrong(f"{where}: entry {at} of {len(have)} is twice there, out of order, or unknown: {have[at]}")
    if foreign < 0:
        raise Wrong("%d entries more from elsewhere than were written" % -foreign)
    told = gaps(redis, name, "transitions") + [(a, b, 1 << 60) for a, b, n in gaps(redis, name, "packets") if n == 0]
    for entry in missing:
        if not any(a <= ns(entry[0]) <= b for a, b, _ in told):
            raise Wrong(f"lost, and in no gap record: {entry}; gaps {told}")
    if sum(n for _, _, n in told) < len(missing):
        raise Wrong(f"{len(missing)} are lost, the gap records tell of {told}")
    return len(missing)


def check_connections(redis, name, expected, partitions=16):
    want = sorted((r["ts"], r["flow"], r["end"]) for r in expected if r["type"] == "connection")
    have = []
    for p in range(partitions):
        entries = stream(redis, "spanwatch:{%s/%d}:connections" % (name, p))
        check_ids(entries, "connections")
        have += [(dict(f)["ts"], dict(f)["flow"], dict(f)["end"]) for _, f in entries]
    if want != sorted(have):
        raise Wrong("%d connections are stored, %d were" % (len(have), len(want)))


def wait_for(what, test, seconds=LIMIT):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if test():
            return
        time.sleep(0.02)
    raise Wrong(f"{what}: not within {seconds} s")


def finish(process, feeder=None):
    """Standard error and the exit status of a `read`."""
    if feeder is not None:
        feeder.join(LIMIT)
        if feeder.is_alive() or (feeder.fault is not None and not isinstance(feeder.fault, BrokenPipeError)):
            process.kill()
            _, errors = process.communicate()
            raise Wrong("read does not take its input: " + errors.decode()) from feeder.fault
    try:
        _, errors = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        process.kill()
        _, errors = process.communicate()
        raise Wrong("read does not end: " + errors.decode()) from None
    return process.returncode, errors.decode()
