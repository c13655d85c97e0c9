"""Two hosts and the middle between them, each an unnamed network namespace that vanishes with its processes.

    client eth0 --- c0 [ middle: the wire of wire.py ] s0 --- eth0 server

Nothing outside these namespaces is touched. Timers are shortened in the hosts; what is really in force is read back.
"""
import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import threading

CLONE_NEWNET = 0x40000000
SIOCETHTOOL = 0x8946
# ETHTOOL_STXCSUM, STSO, SGSO, SGRO: the wire forwards what it reads, so segments must be whole and checksums done
OFFLOADS = (0x17, 0x1F, 0x24, 0x2C)

ADDRESS = {"client": {4: "10.79.0.1", 6: "fd79::1"}, "server": {4: "10.79.0.2", 6: "fd79::2"},
           "nobody": {4: "10.79.0.66", 6: "fd79::66"}}
MAC = {"client": "02:00:00:00:79:01", "server": "02:00:00:00:79:02", "nobody": "02:00:00:00:79:66"}

# The settings that the probe's tracker knows, short enough for a test; None leaves the kernel's own.
TIMERS = {"tcp_fin_timeout": 4, "tcp_syn_retries": 2, "tcp_syn_linear_timeouts": None, "tcp_synack_retries": 2,
          "tcp_retries2": 4, "tcp_orphan_retries": 4, "tcp_rto_max_ms": None, "tcp_keepalive_time": 2,
          "tcp_keepalive_intvl": 1, "tcp_keepalive_probes": 2}

_libc = ctypes.CDLL(None, use_errno=True)


class Unavailable(Exception):
    """This machine does not let the test run; the reason is the message."""


def _checked(result):
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


class Namespace:
    """Entered with `with`, by the calling thread alone."""

    def __init__(self):
        self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._back = threading.local()

    @classmethod
    def new(cls):
        """A new namespace, born from the current one; the caller stays where it is."""
        here = cls()
        _checked(_libc.unshare(CLONE_NEWNET))
        made = cls()
        here.enter()
        os.close(here.fd)
        return made

    def enter(self):
        _checked(_libc.setns(self.fd, CLONE_NEWNET))

    def __enter__(self):
        self._back.namespace = Namespace()
        self.enter()
        return self

    def __exit__(self, *_):
        self._back.namespace.enter()
        os.close(self._back.namespace.fd)


def ip(*words):
    done = subprocess.run(("ip",) + words, capture_output=True, text=True)
    if done.returncode != 0:
        raise Unavailable(f"ip {' '.join(words)}: {done.stderr.strip()}")


def sysctl(name, value=None):
    """Set (when there is a value) and read; None where this kernel or namespace does not have it."""
    path = "/proc/sys/net/" + name
    try:
        if value is not None:
            with open(path, "w", encoding="ascii") as f:
                f.write(str(value))
        with open(path, encoding="ascii") as f:
            return f.read().strip()
    except OSError:
        return None


def offloads_off(device):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for command in OFFLOADS:
            value = ctypes.create_string_buffer(struct.pack("II", command, 0), 8)
            request = struct.pack("16sQ16x", device.encode(), ctypes.addressof(value))
            try:
                fcntl.ioctl(s, SIOCETHTOOL, request)
            except OSError:
                pass  # a setting that this driver does not have


class Network:
    """The three namespaces, wired and ready; `timers` are the hosts' settings in force."""

    def __init__(self):
        if os.geteuid() != 0:
            raise Unavailable("network namespaces need root")
        if shutil.which("ip") is None:
            raise Unavailable("the command ip (iproute2) is not installed")
        try:
            self.middle = Namespace.new()
        except OSError as e:
            raise Unavailable(f"no network namespace can be made: {e.strerror}") from e
        with self.middle:
            # the hosts get small connection tables of their own, so that a dump of one takes microseconds
            sysctl("ipv4/tcp_child_ehash_entries", 4096)
            self.client, self.server = Namespace.new(), Namespace.new()
            sysctl("ipv6/conf/default/disable_ipv6", 1)
            for device, host in (("c0", "client"), ("s0", "server")):
                where = f"/proc/{os.getpid()}/fd/{getattr(self, host).fd}"
                ip("link", "add", device, "type", "veth", "peer", "name", "eth0", "address", MAC[host], "netns", where)
                offloads_off(device)
                ip("link", "set", device, "up")
        for host, other in (("client", "server"), ("server", "client")):
            with getattr(self, host):
                self._host(host, other)
        with self.client:
            self.timers = {name: sysctl("ipv4/" + name) for name in TIMERS}

    @staticmethod
    def _host(host, other):
        sysctl("ipv6/conf/eth0/accept_dad", 0)
        sysctl("ipv6/conf/eth0/router_solicitations", 0)
        for name, value in TIMERS.items():
            sysctl("ipv4/" + name, value)
        sysctl("ipv4/tcp_fastopen", 3)
        offloads_off("eth0")
        ip("link", "set", "lo", "up")
        ip("link", "set", "eth0", "addrgenmode", "none")
        ip("link", "set", "eth0", "up")
        ip("addr", "add", ADDRESS[host][4] + "/24", "dev", "eth0")
        ip("addr", "add", ADDRESS[host][6] + "/64", "dev", "eth0", "nodad")
        for who in (other, "nobody"):  # permanent neighbours: no address resolution among the packets
            for family in (4, 6):
                ip("neigh", "add", ADDRESS[who][family], "lladdr", MAC[who], "dev", "eth0", "nud", "permanent")

    def socket(self, host, family):
        """A TCP socket that belongs to `host`, whoever holds it."""
        with getattr(self, host):
            return socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, socket.SOCK_STREAM)
