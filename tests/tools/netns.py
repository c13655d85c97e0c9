"""Unnamed network namespaces for tests and captures, without `ip netns` and without a trace afterwards.

A Namespace is an open descriptor: the kernel removes it, with its interfaces and addresses, when the last process that
holds it ends, however it ends. Entering is per thread, and the functions act on the calling thread's namespace. Needs
root (CAP_SYS_ADMIN) and iproute2; where those are not to be had, Unavailable says which.
"""
import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import threading

CLONE_NEWNET = 0x40000000
SIOCETHTOOL = 0x8946
# ETHTOOL_SRXCSUM, STXCSUM, SSG, STSO, SGSO, SGRO of linux/ethtool.h
OFFLOADS = (0x15, 0x17, 0x19, 0x1F, 0x24, 0x2C)

_libc = ctypes.CDLL(None, use_errno=True)


class Unavailable(Exception):
    """This machine does not let the test run; the reason is the message."""


def _must(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _open_own():
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class Namespace:
    """`with namespace:` runs the block inside it; sockets opened and processes started there stay there."""

    def __init__(self):
        """Make a new, empty namespace, which inherits some settings of the current one; the calling thread stays where
        it was."""
        home = _open_own()
        try:
            _must(_libc.unshare(CLONE_NEWNET), "unshare")
            try:
                self.fd = _open_own()
            finally:
                _must(_libc.setns(home, CLONE_NEWNET), "setns")
        except OSError as e:
            raise Unavailable(f"no network namespace can be made (root is needed): {e.strerror}") from e
        finally:
            os.close(home)
        self._thread = threading.local()  # several threads may be inside at once, each with its own way home

    def __enter__(self):
        home = _open_own()
        _must(_libc.setns(self.fd, CLONE_NEWNET), "setns")
        self._thread.__dict__.setdefault("homes", []).append(home)
        return self

    def __exit__(self, *_):
        home = self._thread.homes.pop()
        _must(_libc.setns(home, CLONE_NEWNET), "setns")
        os.close(home)

    def path(self):
        """A name for `ip link ... netns`, good as long as this process lives."""
        return f"/proc/{os.getpid()}/fd/{self.fd}"

    def close(self):
        os.close(self.fd)


def ip(*words):
    """Run ip(8)."""
    try:
        done = subprocess.run(("ip",) + words, capture_output=True, text=True)
    except FileNotFoundError as e:
        raise Unavailable("the command ip (iproute2) is not installed") from e
    if done.returncode != 0:
        raise Unavailable(f"ip {' '.join(words)}: {done.stderr.strip()}")


def sysctl(key, value=None):
    """Set (when there is a value) and read."""
    path = "/proc/sys/" + key.replace(".", "/")
    if value is not None:
        with open(path, "w", encoding="ascii") as f:
            f.write(str(value))
    with open(path, encoding="ascii") as f:
        return f.read().strip()


def sysctl_if_there(key, value=None):
    """The same; None where this kernel or namespace does not have the key, or not for us."""
    try:
        return sysctl(key, value)
    except OSError:
        return None


def offloads_off(device):
    """Whole segments and finished checksums on the wire; what a driver does not offer is passed over."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for command in OFFLOADS:
            value = ctypes.create_string_buffer(struct.pack("II", command, 0), 8)
            try:
                fcntl.ioctl(s, SIOCETHTOOL, struct.pack("16sQ16x", device.encode(), ctypes.addressof(value)))
            except OSError:
                pass


def add_port(device, host, mac):
    """A cable from a new `device` here to eth0, with this address, of the namespace `host`."""
    ip("link", "add", device, "type", "veth", "peer", "name", "eth0", "address", mac, "netns", host.path())
    offloads_off(device)
    ip("link", "set", device, "up")


def set_up_host(addresses, neighbours):
    """Addresses on eth0. Neighbours, (address, MAC), are permanent, so that no ARP or neighbour discovery mixes in; a
    MAC that no host has swallows what is sent to it."""
    sysctl_if_there("net.ipv6.conf.eth0.accept_dad", 0)
    sysctl_if_there("net.ipv6.conf.eth0.router_solicitations", 0)
    offloads_off("eth0")
    ip("link", "set", "lo", "up")
    ip("link", "set", "eth0", "addrgenmode", "none")
    ip("link", "set", "eth0", "up")
    for address in addresses:
        prefix = ("/64", "nodad") if ":" in address else ("/24",)
        ip("addr", "add", address + prefix[0], "dev", "eth0", *prefix[1:])
    for address, mac in neighbours:
        ip("neigh", "add", address, "lladdr", mac, "dev", "eth0", "nud", "permanent")
