"""What the tests of live capture stand on: two hosts on one cable, a recorder beside the probe, the probe as a process.

    client eth0 --- eth0 server: the probe and the recorder sit on the server's end

Both take their packets from the kernel's one copy, so that their stamps are alike.
"""
import json
import os
import select
import signal
import socket
import subprocess
import time

import pcapfile
import tap
from child import Child
from netns import Namespace, ip, sysctl_if_there

SO_RCVBUFFORCE = 33
SNAPLEN = 256
PR_CAPBSET_DROP, CAP_NET_RAW = 24, 13
NAME = "live"
ADDRESS = {"client": "10.78.0.1", "server": "10.78.0.2"}
LIMIT = 20.0  # s that anything here may take


class Cable:
    """Two namespaces with a cable between them, and the server's loopback."""

    def __init__(self):
        self.server, self.client = Namespace(), Namespace()
        for host in (self.server, self.client):
            with host:
                sysctl_if_there("net.ipv6.conf.all.disable_ipv6", 1)
                sysctl_if_there("net.ipv6.conf.default.disable_ipv6", 1)
                ip("link", "set", "lo", "up")
        self.plug("eth0")

    def plug(self, device):
        """A cable between two devices of this name, with the addresses of the hosts."""
        with self.server:
            ip("link", "add", device, "address", "02:00:00:00:78:02", "type", "veth",
               "peer", "name", device, "address", "02:00:00:00:78:01", "netns", self.client.path())
        for name, host, other, mac in (("server", self.server, "client", 1), ("client", self.client, "server", 2)):
            with host:
                ip("link", "set", device, "up")
                ip("addr", "add", ADDRESS[name] + "/24", "dev", device)
                ip("neigh", "replace", ADDRESS[other], "lladdr", f"02:00:00:00:78:0{mac}", "dev", device,
                   "nud", "permanent")

    def unplug(self, device):
        with self.server:
            ip("link", "del", device)

    def link(self, device, state):
        with self.server:
            ip("link", "set", device, state)
        if state == "up":  # the kernel forgot the neighbour with the link
            with self.server:
                ip("neigh", "replace", ADDRESS["client"], "lladdr", "02:00:00:00:78:01", "dev", device,
                   "nud", "permanent")

    def listen(self, port, host="server"):
        with getattr(self, host):
            return socket.create_server((ADDRESS[host], port), backlog=512)

    def connect(self, port):
        with self.client:
            return socket.create_connection((ADDRESS["server"], port), timeout=LIMIT)


class Recorder(Child):
    """Writes what passes a device to a pcap file (nanoseconds) until it is stopped."""

    def __init__(self, namespace, device, path):
        self.namespace, self.device, self.path = namespace, device, path
        super().__init__()

    def main(self, control):
        with self.namespace:
            device = tap.open_device(self.device, outgoing=True)
        device.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 256 << 20)  # nothing may be missing
        self.ready()
        packets, told = [], []
        while control not in told:  # what came before the word to stop is in the socket by then
            told = select.select([control, device], [], [])[0]
            packets += [(ns, frame[:SNAPLEN], length) for ns, frame, length in tap.receive(device)]
        with open(self.path, "wb") as f:
            f.write(pcapfile.pcap_octets(packets, snaplen=SNAPLEN))


class Probe:
    """spanwatch probe in the server's namespace, with its records as they come. `manager` is the socket of the service
    manager that it has, unless the environment names another."""

    def __init__(self, program, cable, folder, *options, output=None, errors=None, without_net_raw=False, environment=None):
        self.path = os.path.join(folder, f"probe{time.monotonic_ns()}.jsonl")
        self.errors_path = self.path + ".err"
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.manager.bind(self.path + ".notify")
        self.started = time.monotonic()
        with open(self.errors_path, "wb") as said, open(self.path, "wb") as records, cable.server:
            self.process = subprocess.Popen(
                (program, "probe", "--name", NAME, "--redis", "none") + options, stdout=output or records, stderr=errors or said,
                preexec_fn=self._drop_net_raw if without_net_raw else None,
                env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0", "NOTIFY_SOCKET": self.path + ".notify",
                     **(environment or {})})
        self.status, self.closed = None, 0

    @staticmethod
    def _drop_net_raw():
        import ctypes
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_NET_RAW, 0, 0, 0)

    def errors(self):
        with open(self.errors_path, encoding="utf-8") as f:
            return f.read()

    def records(self, kind=None):
        """All whole records so far."""
        with open(self.path, encoding="utf-8") as f:
            lines = f.read().split("\n")[:-1]
        parsed = [json.loads(line, parse_float=str) for line in lines]
        return [r for r in parsed if kind in (None, r["type"])]

    def wait_for(self, what, test):
        end = time.monotonic() + LIMIT
        while not test():
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"waited in vain for {what}; standard error: {self.errors()}")
            time.sleep(0.02)

    def wait_until_capturing(self):
        """It tells the service manager when interfaces are open, rights are dropped and its loop runs."""
        def ready():
            try:
                return self.manager.recv(100) == b"READY=1"
            except BlockingIOError:
                return False
        self.wait_for("READY=1", ready)

    def wait_until_closed(self, connections):
        """So many connections, all that there were, are over; the last counters must say so too."""
        self.closed = connections
        self.wait_for(f"the end of {connections} connections",
                      lambda: len(self.records("connection")) >= connections)

    def end(self, number=signal.SIGTERM):
        """Send the signal; the seconds until the end. `status` is the exit status then."""
        begun = time.monotonic()
        self.process.send_signal(number)
        self.status = self.process.wait(LIMIT)
        return time.monotonic() - begun

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.manager.close()


def threads_of(pid):
    """The fields of /proc/PID/task/*/status, one dictionary a thread."""
    for task in sorted(os.listdir(f"/proc/{pid}/task"), key=int):
        with open(f"/proc/{pid}/task/{task}/status", encoding="ascii") as f:
            yield dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def ns_of(text):
    seconds, fraction = text.split(".")
    return int(seconds) * 10**9 + int(fraction)


def rows(records, kind, keys):
    """The keys of each record of a kind, with its time, in an order that does not depend on who wrote them."""
    return sorted(([r.get(k, "") for k in keys], ns_of(r["ts"])) for r in records if r["type"] == kind)


def same_records(live, read, kind, keys):
    mine, theirs = rows(live, kind, keys), rows(read, kind, keys)
    assert [row for row, _ in mine] == [row for row, _ in theirs], \
        f"{kind} records differ: {[p for p in zip(mine, theirs) if p[0][0] != p[1][0]][:3]}, {len(mine)}, {len(theirs)}"
    return len(mine), max((abs(a[1] - b[1]) for a, b in zip(mine, theirs)), default=0)
