#!/usr/bin/env python3
"""Alarms of `spanwatch probe` on real interfaces, made by real tools, as its consumers see them.

    alarms_live.py --spanwatch PROGRAM [--only KIND,...]

Namespaces and cables of the test's own, and a redis-server of its own on a Unix socket. Side by side, each at an address and a
service of its own: hping3 floods, nmap scans ports and hosts, a service stops, a server does not close, a link is cut, an
address is gone. A plain `redis-cli SUBSCRIBE` and `spanwatch alarms` both have to see each alarm raised and cleared within the
catalogue's time, and nothing else. Levels are the defaults; only scans clear after 30 s instead of 300. Exit status 1 when that
is not so, 77 where it cannot run (root, redis, hping3 and nmap are needed).
"""
import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path += [os.path.join(os.path.dirname(HERE), "tools"), os.path.join(os.path.dirname(HERE), "integration")]
from live_probe import ADDRESS, Cable  # noqa: E402
from netns import Namespace, Unavailable, ip, sysctl  # noqa: E402
from private_redis import Server  # noqa: E402

WEB, FLOODED, STOPPED, LEAKING, PUSHING, LOST = 8000, 8001, 8002, 8003, 8004, 8005
SERVER, FAR = ADDRESS["server"], "10.77.0.9"
CLIENTS = {"web": "10.78.0.11", "stop": "10.78.0.12", "leak": "10.78.0.13", "ports": "10.78.0.21", "hosts": "10.78.0.22",
           "lost1": "10.78.0.31", "lost2": "10.78.0.32"}
GONE = "10.79.0.5"     # an address of the server's, and what lies behind it answers nothing
NOBODY = "10.79.1.0/26"
SERVICES = {"web": WEB, "flooded": FLOODED, "stopped": STOPPED, "leaking": LEAKING, "pushing": PUSHING}
WARM = 12.0            # s of ordinary traffic before
# kind: scope, begin and end (s from the start of trouble), raised by (after begin), cleared by (after end): the time until
# the condition holds, and 40 s of windows and grace; the time until it does not hold any more, and 90 s. See alarms.md.
EXPECTED = {
    "syn_flood": ({"service": "flooded"}, 0, 35, 45, 110),
    "port_scan": ({"client": CLIENTS["ports"]}, 0, 20, 45, 120),
    "host_scan": ({"client": CLIENTS["hosts"]}, 0, 20, 50, 120),
    "conn_refused": ({"service": "stopped"}, 0, 30, 40, 95),
    "close_wait_leak": ({"service": "leaking"}, 0, 85, 105, 90),
    "idle_dead_peer": ({"client": FAR}, 0, 35, 65, 110),
    "service_unreachable": ({"service": "lost"}, 0, 35, 55, 75),
}
# What follows from these: true, and told beside them. On the cable that is cut a sender that backs off waits ever longer, so
# that it can be silent for 30 s.
CONSEQUENCES = {"fin_wait2_stuck": {}, "connect_timeout": {}, "retrans_storm": {}, "backlog_full": {}, "capture_drop": {},
                "capture_silent": {"interface": "eth1"}}


def program_there(name):
    if shutil.which(name) is None:
        raise Unavailable(f"{name} is not installed")


# ---- the hosts

class Site(Cable):
    """The cable of the live tests with more addresses, and a second one to a far host over a bridge that can be cut."""

    def __init__(self):
        super().__init__()
        self.far, self.middle = Namespace(), Namespace()
        with self.client:
            for address in CLIENTS.values():
                ip("addr", "add", address + "/24", "dev", "eth0")
            for net in (GONE + "/32", NOBODY):
                ip("route", "add", net, "via", SERVER)
        with self.server:
            for address in CLIENTS.values():
                ip("neigh", "replace", address, "lladdr", "02:00:00:00:78:01", "dev", "eth0", "nud", "permanent")
            ip("route", "add", "default", "via", ADDRESS["client"])  # the answers to a flood go somewhere, too
            ip("addr", "add", GONE + "/32", "dev", "lo")
            for key, value in (("tcp_syncookies", 0), ("tcp_max_syn_backlog", 2048), ("tcp_synack_retries", 1)):
                sysctl(f"net.ipv4.{key}", value)
            sysctl("net.ipv4.ip_forward", 0)
        with self.middle:
            ip("link", "add", "bridge", "type", "bridge")
            ip("link", "set", "bridge", "up")
        self.join(self.server, "eth1", "near", "10.77.0.1")
        self.join(self.far, "eth0", "away", FAR)

    def join(self, host, device, port, address):
        with self.middle:
            ip("link", "add", port, "type", "veth", "peer", "name", device, "netns", host.path())
            ip("link", "set", port, "master", "bridge", "up")
        with host:
            ip("link", "set", "lo", "up")
            ip("link", "set", device, "up")
            ip("addr", "add", address + "/24", "dev", device)

    def cut(self, state):
        with self.middle:
            ip("link", "set", "away", state)

    def lose_address(self, lost):
        with self.server:
            ip("addr", "del" if lost else "add", GONE + "/32", "dev", "lo")

    def serve(self, port, address=SERVER):
        with self.server:
            return socket.create_server((address, port), backlog=1024)

    def call(self, who, port, address=SERVER, timeout=2.0):
        with self.client:
            return socket.create_connection((address, port), timeout=timeout, source_address=(CLIENTS[who], 0))


# ---- what goes on

class Life:
    """Threads that all end when it does; what fails in one is told."""

    def __init__(self, site):
        self.site, self.over, self.failed, self.threads = site, threading.Event(), [], []
        self.begun = None  # of the trouble

    def run(self, what, *arguments):
        def guarded():
            try:
                what(*arguments)
            except Exception as e:  # pylint: disable=broad-except
                self.failed.append(f"{what.__name__}: {e!r}")
        thread = threading.Thread(target=guarded, daemon=True)
        thread.start()
        self.threads.append(thread)

    def until(self, second):
        """Sleep until so many seconds after the trouble began; false when all is over."""
        return not self.over.wait(max(0.0, self.begun + second - time.monotonic()))

    def answers(self, listener):
        """A service that answers a line, and closes after its client."""
        listener.settimeout(0.5)
        while not self.over.is_set():
            try:
                c, _ = listener.accept()
            except socket.timeout:
                continue
            except OSError:
                return
            c.settimeout(2)
            try:
                c.sendall(c.recv(100))
                c.recv(100)
            except OSError:
                pass
            c.close()

    def asks(self, who, port, every, address=SERVER):
        """A client that comes again and again, whatever happens."""
        while not self.over.wait(every):
            try:
                with self.site.call(who, port, address) as c:
                    c.sendall(b"hello")
                    c.recv(100)
            except OSError:
                pass

    # each trouble: from 0 to its end in EXPECTED

    def stops(self, listener):
        listener.close()
        if self.until(EXPECTED["conn_refused"][2]):
            self.run(self.answers, self.site.serve(STOPPED))

    def leaks(self, listener):
        held = []
        for _ in range(26):
            c = self.site.call("leak", LEAKING)
            held.append(listener.accept()[0])
            c.close()
            time.sleep(0.05)
        self.until(EXPECTED["close_wait_leak"][2])
        for c in held:
            c.close()

    def is_cut(self, pushed):
        self.site.cut("down")
        self.until(EXPECTED["idle_dead_peer"][2])
        self.site.cut("up")
        self.until(EXPECTED["idle_dead_peer"][2] + 60)
        for c in pushed:
            c.close()

    def is_gone(self):
        self.site.lose_address(True)
        self.until(EXPECTED["service_unreachable"][2])
        self.site.lose_address(False)


def push(life, far):
    """Six connections to the far host over which something is sent all the time; their near ends."""
    with life.site.server:
        listener = socket.create_server(("10.77.0.1", PUSHING))
    near = []
    for _ in range(6):
        with life.site.far:
            far.append(socket.create_connection(("10.77.0.1", PUSHING), timeout=5))
        near.append(listener.accept()[0])

    def pushes():
        while not life.over.wait(0.5):
            for c in near:
                try:
                    c.send(b"news")
                except OSError:
                    pass

    def reads():
        while not life.over.wait(0.2):
            for c in far:
                c.setblocking(False)
                try:
                    c.recv(10000)
                except OSError:
                    pass
    life.run(pushes)
    life.run(reads)
    return near


def start_tool(site, *command):
    with site.client:
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def tools(site):
    """Bounded in rate and number: 200 SYNs a second for 35 s, 20 ports and 6 hosts a second."""
    scan = ("nmap", "-sS", "-Pn", "-n", "--send-ip", "-e", "eth0", "--max-retries", "0")
    return [start_tool(site, "hping3", "-q", "-n", "-S", "-p", str(FLOODED), "--rand-source", "-i", "u5000", "-c", "7000", SERVER),
            start_tool(site, *scan, "-S", CLIENTS["ports"], "--max-rate", "15", "-p", "1-300", SERVER),
            start_tool(site, *scan, "-S", CLIENTS["hosts"], "--max-rate", "4", "-p", "3306", NOBODY)]


# ---- who looks on

class Consumer:
    """A process whose lines hold alarms as JSON; when each came."""

    def __init__(self, *command):
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.alarms = []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            if line.startswith("{"):
                self.alarms.append(json.loads(line))

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)


def start_probe(args, site, redis, folder):
    services = [{"server": SERVER if name != "pushing" else "10.77.0.1", "port": port, "name": name}
                for name, port in SERVICES.items()]
    files = {"services": {"services": services + [{"server": GONE, "port": LOST, "name": "lost"}]},
             "alarms": {"alarms": {"port_scan": {"clear_windows": 3}, "host_scan": {"clear_windows": 3}}}}
    state = os.path.join(folder, "state")
    os.mkdir(state)
    os.chmod(state, 0o777)
    options = ["--set", "state_folder=" + state]
    for name, content in files.items():
        path = os.path.join(folder, name + ".json")
        with open(path, "w", encoding="ascii") as f:
            json.dump(content, f)
        os.chmod(path, 0o644)
        options += ["--" + name, path]
    with site.server:
        return subprocess.Popen([args.spanwatch, "probe", "-i", "eth0", "-i", "eth1", "--name", "edge", "--redis", redis.url,
                                 "--format", "none", "--set", "tracker.tcp_synack_retries=1", *options],
                                env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})


def wait_for(what, seconds, test):
    end = time.monotonic() + seconds
    while not test():
        if time.monotonic() > end:
            raise AssertionError(f"waited in vain for {what}")
        time.sleep(0.1)


# ---- the verdict

def matches(alarm, kind, scope):
    return alarm["kind"] == kind and all(alarm["scope"].get(k) == v for k, v in scope.items())


def judge(kind, alarms, begun):
    scope, begin, end, raised_by, cleared_by = EXPECTED[kind]
    mine = [a for a in alarms if matches(a, kind, scope)]
    raised = [a["ts"] - begun - begin for a in mine if a["status"] == "raised"]
    cleared = [a["ts"] - begun - end for a in mine if a["status"] == "cleared"]
    ok = len(raised) == 1 and len(cleared) == 1 and -1 <= raised[0] <= raised_by and cleared[0] <= cleared_by
    print(f"{kind:20} raised after {[round(x, 1) for x in raised]} s (of {raised_by}), "
          f"cleared after {[round(x, 1) for x in cleared]} s (of {cleared_by})", "" if ok else "WRONG", flush=True)
    return ok


def others(alarms, wanted):
    known = list(CONSEQUENCES.items()) + [(kind, EXPECTED[kind][0]) for kind in wanted]
    wrong = [a for a in alarms if a["status"] == "raised" and not any(matches(a, kind, scope) for kind, scope in known)]
    for a in wrong:
        print("false:", a["summary"])
    return not wrong


def tell(alarms, begun):
    """Whatever came, so that a verdict can be understood without the capture."""
    for a in alarms:
        print(f"{a['ts'] - begun:7.1f} s {a['status']:8} {a['kind']:20} {json.dumps(a['quality'])} {a['summary']}", flush=True)


def seen(consumer):
    return [(a["seq"], a["status"], a["id"]) for a in consumer.alarms]


def run(args, wanted, site, redis, folder):
    probe = start_probe(args, site, redis, folder)
    plain = Consumer("redis-cli", "-s", redis.path, "SUBSCRIBE", "spanwatch:alarms")
    ours = Consumer(args.spanwatch, "alarms", "--redis", redis.url, "--format", "json")
    life, far, started = Life(site), [], []
    try:
        wait_for("the probe", 20, lambda: redis("EXISTS", "spanwatch:{edge}:status") == 1)
        for port in (WEB, STOPPED):
            life.run(life.answers, listener := site.serve(port))
        life.run(life.answers, site.serve(LOST, GONE))
        life.run(life.asks, "web", WEB, 0.3)
        life.run(life.asks, "stop", STOPPED, 0.4)
        life.run(life.asks, "lost1", LOST, 0.7, GONE)
        life.run(life.asks, "lost2", LOST, 0.9, GONE)
        flooded, leaking = site.serve(FLOODED), site.serve(LEAKING)
        pushed = push(life, far)
        time.sleep(WARM)
        begun, life.begun = time.time(), time.monotonic()
        life.run(life.stops, listener)
        life.run(life.leaks, leaking)
        life.run(life.is_cut, pushed)
        life.run(life.is_gone)
        started = tools(site)
        last = max(e[2] + e[4] for e in EXPECTED.values())
        done = {(k, s) for k in wanted for s in ("raised", "cleared")}
        while time.monotonic() < life.begun + last + 5 and probe.poll() is None:
            told = {(k, a["status"]) for a in ours.alarms for k in wanted if matches(a, k, EXPECTED[k][0])}
            if done <= told and seen(plain) == seen(ours):
                break
            time.sleep(0.5)
        assert probe.poll() is None, "the probe ended"
        assert not life.failed, life.failed
        flooded.close()
        good = [judge(kind, ours.alarms, begun) for kind in wanted] + [others(ours.alarms, wanted)]
        if seen(plain) != seen(ours):
            print("SUBSCRIBE saw", seen(plain), "and alarms", seen(ours))
            good.append(False)
        if [s for s, _, _ in seen(plain)] != list(range(1, len(seen(plain)) + 1)):
            print("sequence numbers:", seen(plain))
            good.append(False)
        if not all(good):
            tell(ours.alarms, begun)
        return all(good)
    finally:
        life.over.set()
        for tool in started:
            tool.kill()
            tool.wait()
        for consumer in (plain, ours):
            consumer.end()
        probe.send_signal(signal.SIGTERM)
        try:
            probe.wait(10)
        except subprocess.TimeoutExpired:
            probe.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spanwatch", required=True)
    parser.add_argument("--only", help="judge only these kinds")
    args = parser.parse_args()
    args.spanwatch = os.path.abspath(args.spanwatch)
    wanted = args.only.split(",") if args.only else list(EXPECTED)
    try:
        for name in ("redis-server", "redis-cli", "hping3", "nmap"):
            program_there(name)
        site = Site()
    except Unavailable as e:
        print("skipped:", e)
        return 77
    with Server("--unixsocketperm", "777") as redis, tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        os.chmod(redis.folder, 0o755)
        return 0 if run(args, wanted, site, redis, folder) else 1


if __name__ == "__main__":
    sys.exit(main())
