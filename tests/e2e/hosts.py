"""Two hosts and the middle between them, each an unnamed network namespace that vanishes with its processes.

    client eth0 --- c0 [ middle: the wire of wire.py ] s0 --- eth0 server

Nothing outside these namespaces is touched. Timers are shortened in the hosts; what is really in force is read back.
"""
import socket

from netns import Namespace, add_port, set_up_host, sysctl_if_there

ADDRESS = {"client": {4: "10.79.0.1", 6: "fd79::1"}, "server": {4: "10.79.0.2", 6: "fd79::2"},
           "nobody": {4: "10.79.0.66", 6: "fd79::66"}}
MAC = {"client": "02:00:00:00:79:01", "server": "02:00:00:00:79:02", "nobody": "02:00:00:00:79:66"}

# The settings that the probe's tracker knows, short enough for a test; None leaves the kernel's own.
TIMERS = {"tcp_fin_timeout": 4, "tcp_syn_retries": 2, "tcp_syn_linear_timeouts": None, "tcp_synack_retries": 2,
          "tcp_retries2": 4, "tcp_orphan_retries": 4, "tcp_rto_max_ms": None, "tcp_keepalive_time": 2,
          "tcp_keepalive_intvl": 1, "tcp_keepalive_probes": 2}


class Network:
    """The three namespaces, wired and ready; `timers` are the hosts' settings in force."""

    def __init__(self):
        self.middle = Namespace()
        with self.middle:
            # the hosts get small connection tables of their own, so that a dump of one takes microseconds
            sysctl_if_there("net.ipv4.tcp_child_ehash_entries", 4096)
            self.client, self.server = Namespace(), Namespace()
            sysctl_if_there("net.ipv6.conf.default.disable_ipv6", 1)
            add_port("c0", self.client, MAC["client"])
            add_port("s0", self.server, MAC["server"])
        for host, other in (("client", "server"), ("server", "client")):
            with getattr(self, host):
                for name, value in TIMERS.items():
                    sysctl_if_there("net.ipv4." + name, value)
                sysctl_if_there("net.ipv4.tcp_fastopen", 3)
                neighbours = [(a, MAC[who]) for who in (other, "nobody") for a in ADDRESS[who].values()]
                set_up_host(ADDRESS[host].values(), neighbours)
        with self.client:
            self.timers = {name: sysctl_if_there("net.ipv4." + name) for name in TIMERS}

    def socket(self, host, family):
        """A TCP socket that belongs to `host`, whoever holds it."""
        with getattr(self, host):
            return socket.socket(socket.AF_INET6 if family == 6 else socket.AF_INET, socket.SOCK_STREAM)
