"""Captures made from the recorded ones: the same packets under another link type, file format or misfortune.

What kernels in namespaces do not easily give (cooked link types, VLAN tags, a damaged file) but a reader meets. Each
function takes the packets of its source capture (pcapfile's tuples) and returns the octets of the new file.
"""
import gzip
import lzma
import os

import pcapfile
from pcapfile import ETHERNET, NULL, RAW, SLL, SLL2, pcap_octets

REENCODINGS = {}  # file name -> (function of the directory, description)


def reencoding(file_name, source, description):
    def enter(function):
        def make_from(directory):
            packets, _ = pcapfile.read_pcap(os.path.join(directory, source + ".pcap"))
            return function(packets)
        REENCODINGS[file_name] = (make_from, "From %s: %s" % (source, description))
        return function
    return enter


def make(name, directory):
    return REENCODINGS[name][0](directory)


def _relay(packets, change):
    """Every packet's frame changed, and its length on the wire by as much."""
    changed = [(ts, change(frame), frame) for ts, frame, _ in packets]
    return [(ts, new, len(new)) for ts, new, old in changed]


@reencoding("vlan.pcap", "handshake_close", "an 802.1Q tag, VLAN 20; the record's `vlan` is \"20\".")
def vlan(packets):
    return pcap_octets(_relay(packets, lambda f: pcapfile.with_vlans(f, [20])))


@reencoding("qinq.pcap", "handshake_close", "two tags (802.1ad outside), `vlan` is \"100.20\".")
def qinq(packets):
    return pcap_octets(_relay(packets, lambda f: pcapfile.with_vlans(f, [100, 20])))


@reencoding("vlan_pair.pcap", "handshake_close", "the same four-tuple at the same time in VLANs 20 and 30: two flows.")
def vlan_pair(packets):
    both = [(ts, pcapfile.with_vlans(frame, [vid]), n + 4) for ts, frame, n in packets for vid in (20, 30)]
    return pcap_octets(both)


@reencoding("sll.pcap", "handshake_close", "Linux cooked v1, as the `any` device gave it.")
def sll(packets):
    return pcap_octets(_relay(packets, pcapfile.to_sll), SLL)


@reencoding("sll2.pcap", "handshake_close", "Linux cooked v2, as newer tcpdumps write it for `any`.")
def sll2(packets):
    return pcap_octets(_relay(packets, pcapfile.to_sll2), SLL2)


@reencoding("raw.pcap", "ipv6", "raw IP without a link layer, as tun devices give it.")
def raw(packets):
    return pcap_octets(_relay(packets, pcapfile.to_raw), RAW)


@reencoding("null.pcap", "handshake_close", "BSD loopback encapsulation.")
def null(packets):
    return pcap_octets(_relay(packets, pcapfile.to_null), NULL)


@reencoding("micro_big_endian.pcap", "handshake_close", "microseconds, big-endian file.")
def micro_big_endian(packets):
    return pcap_octets(packets, nano=False, order=">")


@reencoding("snaplen.pcap", "handshake_close", "cut to 58 octets, within the TCP options: nothing of the state is lost.")
def snaplen(packets):
    return pcap_octets(packets, snaplen=58)


@reencoding("snaplen_ports.pcap", "handshake_close", "cut to 40 octets, within the TCP header: all packets are `truncated`.")
def snaplen_ports(packets):
    return pcap_octets(packets, snaplen=40)


@reencoding("cut.pcap", "handshake_close", "the file ends within its last record: all before it, a message, exit status 1.")
def cut(packets):
    return pcap_octets(packets)[:-30]


@reencoding("two_interfaces.pcapng", "handshake_close",
            "pcapng with two interfaces: client's packets as Ethernet in nanoseconds, server's as raw IP in microseconds.")
def two_interfaces(packets):
    first = packets[0][1][6:12]
    mixed = []
    for ts, frame, n in packets:
        if frame[6:12] == first:
            mixed.append((0, (ts, frame, n)))
        else:
            mixed.append((1, (ts, pcapfile.to_raw(frame), n - 14)))
    return pcapfile.pcapng_octets([(ETHERNET, 262144, 9), (RAW, 262144, 6)], mixed)


@reencoding("handshake_close.pcap.gz", "handshake_close", "gzip; the probe's name loses the .gz.")
def compressed_gz(packets):
    return gzip.compress(pcap_octets(packets), mtime=0)


@reencoding("handshake_close.pcap.xz", "handshake_close", "xz.")
def compressed_xz(packets):
    return lzma.compress(pcap_octets(packets))


@reencoding("duplicates.pcap", "handshake_close",
            "every packet twice within 5 us, as from a SPAN of both directions: copies are counted, never retransmissions.")
def duplicates(packets):
    return pcap_octets([(ts + extra, frame, n) for ts, frame, n in packets for extra in (0, 5000)])


@reencoding("one_sided.pcap", "handshake_close", "only the client's packets reach the tap: the server's states are inferred.")
def one_sided(packets):
    client = packets[0][1][6:12]
    return pcap_octets([p for p in packets if p[1][6:12] == client])


@reencoding("stray_rst.pcap", "refused", "the RST alone: stray, no flow, no client made of it.")
def stray_rst(packets):
    return pcap_octets(packets[1:])


@reencoding("disorder.pcap", "handshake_close", "SYN-ACK written before its SYN, stamps going back: time stands still instead.")
def disorder(packets):
    return pcap_octets([packets[1], packets[0]] + packets[2:])


@reencoding("time_jump.pcap", "handshake_close", "one packet in the middle is stamped a day late: not believed, counted.")
def time_jump(packets):
    middle = len(packets) // 2
    ts, frame, n = packets[middle]
    return pcap_octets(packets[:middle] + [(ts + 86400 * 10**9, frame, n)] + packets[middle + 1:])
