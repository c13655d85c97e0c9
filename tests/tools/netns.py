"""Unnamed network namespaces for tests and captures, without `ip netns` and without a trace afterwards.

A Namespace is an open descriptor: the kernel removes it, with its interfaces and addresses, when the last process that
holds it ends, however it ends. Entering is per thread. Needs root (CAP_SYS_ADMIN) and iproute2.
"""
import ctypes
import fcntl
import os
import socket
import struct
import subprocess

CLONE_NEWNET = 0x40000000
SIOCETHTOOL = 0x8946
# ETHTOOL_SRXCSUM, STXCSUM, SSG, STSO, SGSO, SGRO of linux/ethtool.h
OFFLOADS = (0x15, 0x17, 0x19, 0x1F, 0x24, 0x2C)

_libc = ctypes.CDLL(None, use_errno=True)


def _must(result, what):
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, "%s: %s" % (what, os.strerror(number)))


def _open_own():
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


class Namespace:
    """`with namespace:` runs the block inside it; sockets opened there stay there."""

    def __init__(self):
        """Make a new, empty namespace; the calling thread stays where it was."""
        home = _open_own()
        try:
            _must(_libc.unshare(CLONE_NEWNET), "unshare (root is needed)")
            self.fd = _open_own()
            _must(_libc.setns(home, CLONE_NEWNET), "setns")
        finally:
            os.close(home)
        self._homes = []

    def __enter__(self):
        home = _open_own()
        _must(_libc.setns(self.fd, CLONE_NEWNET), "setns")
        self._homes.append(home)
        return self

    def __exit__(self, *_):
        home = self._homes.pop()
        _must(_libc.setns(home, CLONE_NEWNET), "setns")
        os.close(home)

    def path(self):
        """A name for `ip link ... netns`, good as long as this process lives."""
        return "/proc/%d/fd/%d" % (os.getpid(), self.fd)

    def close(self):
        os.close(self.fd)


def ip(*words):
    """Run ip(8) in the namespace of the calling thread."""
    done = subprocess.run(("ip",) + words, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError("ip %s: %s" % (" ".join(words), done.stderr.strip()))


def sysctl(key, value):
    with open("/proc/sys/" + key.replace(".", "/"), "w") as f:
        f.write(str(value))


def offloads_off(device):
    """Whole segments and finished checksums on the wire; what a driver does not offer is passed over."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        for command in OFFLOADS:
            value = ctypes.create_string_buffer(struct.pack("II", command, 0), 8)
            try:
                fcntl.ioctl(s, SIOCETHTOOL, struct.pack("16sQ16x", device.encode(), ctypes.addressof(value)))
            except OSError:
                pass
