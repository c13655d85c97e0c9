"""Captures whose packets travel in tunnels: one a kind, some nested, made from the recorded ones.

Each function takes an Ethernet frame and whether the client sent it, and returns the frames that take its place. Where
a protocol gives each direction an identifier of its own (labels, endpoint ids, mirror sessions), the directions differ here
too: they must be one connection all the same. ENCAPSULATIONS says what the records' `vlan` and `tunnel` are then; all else has
to be as in the plain capture.
"""
import struct
import zlib

from pcapfile import ETHERNET, checksum, ethernet, ethertype, ip_packet, pcap_octets, with_vlans
from reencode import reencoding

CLIENT_END, SERVER_END = "203.0.113.1", "203.0.113.2"
CLIENT_END_6, SERVER_END_6 = "2001:db8:ffff::1", "2001:db8:ffff::2"
TEREDO_CLIENT = bytes.fromhex("20010000cb007109")
UDP, IPIP, IPV6_IN_IP, GRE = 17, 4, 41, 47
MPLS, PPPOE, PBB, BRIDGED, PPP_IN_GRE = 0x8847, 0x8864, 0x88E7, 0x6558, 0x880B
RADIOTAP, DSA = 127, 284

ENCAPSULATIONS = {}  # file name -> (source capture, vlan, tunnel)


def encapsulation(kind, description, vlan=None, tunnel=None, source="handshake_close", link=ETHERNET):
    """Enter a function of (frame, from the client) -> list of frames."""
    def enter(function):
        name = "encap_%s.pcap" % kind
        shown = " ".join('`%s` "%s".' % pair for pair in (("vlan", vlan), ("tunnel", tunnel)) if pair[1])
        ENCAPSULATIONS[name] = (source, vlan, tunnel)

        @reencoding(name, source, (description + ". " + shown).rstrip())
        def make(packets):
            client = packets[0][1][6:12]
            return pcap_octets([(ts, new, len(new)) for ts, frame, _ in packets
                                for new in function(frame, frame[6:12] == client)], link)
        return function
    return enter


def outer(payload, protocol, forward, ends=(CLIENT_END, SERVER_END)):
    """An Ethernet frame with a packet between the tunnel's two ends."""
    source, destination = ends if forward else ends[::-1]
    return ethernet(ip_packet(source, destination, protocol, payload))


def outer_6(payload, protocol, forward):
    return outer(payload, protocol, forward, (CLIENT_END_6, SERVER_END_6))


def udp(source, destination, payload):
    return struct.pack(">HHHH", source, destination, 8 + len(payload), 0) + payload


def gre(kind, payload, key=None, sequence=None, summed=False):
    flags = (0x8000 if summed else 0) | (0x2000 if key is not None else 0) | (0x1000 if sequence is not None else 0)
    rest = b"".join(struct.pack(">I", n) for n in (key, sequence) if n is not None)
    octets = struct.pack(">HH", flags, kind) + (bytes(4) if summed else b"") + rest + payload
    return octets[:4] + struct.pack(">H", checksum(octets)) + octets[6:] if summed else octets


def vxlan(vni, frame):
    return udp(50000, 4789, struct.pack(">II", 0x08000000, vni << 8) + frame)


def labels(*stack):
    return b"".join(struct.pack(">I", label << 12 | (0x100 if i == len(stack) - 1 else 0) | 64)
                    for i, label in enumerate(stack))


def retyped(frame, kind, payload):
    return frame[:12] + struct.pack(">H", kind) + payload


def ppp(ip):
    return (b"\x00\x21" if ip[0] >> 4 == 4 else b"\x00\x57") + ip


def pieces(ip, size, order):
    """An IPv4 or IPv6 packet in fragments of `size` octets, in the order that `order` gives a list of them."""
    header = 20 if ip[0] >> 4 == 4 else 40
    body, cut = ip[header:], []
    for offset in range(0, len(body), size):
        part, more = body[offset:offset + size], offset + size < len(body)
        if header == 20:
            head = ip[:2] + struct.pack(">HHH", 20 + len(part), struct.unpack(">H", ip[4:6])[0], more << 13 | offset // 8)
            cut.append(head + ip[8:20] + part)
        else:
            extension = struct.pack(">BBHI", ip[6], 0, offset | more, checksum(body))
            cut.append(ip[:4] + struct.pack(">HB", 8 + len(part), 44) + ip[7:40] + extension + part)
    return order(cut)


@encapsulation("mpls", "MPLS, two labels towards the server and, the last hop having taken them off, none back")
def encap_mpls(frame, forward):
    return [retyped(frame, MPLS, labels(1001, 2002) + frame[14:]) if forward else frame]


@encapsulation("pseudowire", "Ethernet over MPLS with a control word (RFC 4448), a label for each direction")
def encap_pseudowire(frame, forward):
    return [retyped(frame, MPLS, labels(16 if forward else 17) + struct.pack(">I", 5) + frame)]


@encapsulation("pppoe", "a PPPoE session (RFC 2516) with a padded frame", tunnel="pppoe:17")
def encap_pppoe(frame, _):
    content = ppp(frame[14:])
    return [retyped(frame, PPPOE, struct.pack(">BBHH", 0x11, 0, 17, len(content)) + content + bytes(6))]


@encapsulation("gre", "GRE without options over IPv4", tunnel="gre:0")
def encap_gre(frame, forward):
    return [outer(gre(ethertype(frame[14:]), frame[14:]), GRE, forward)]


@encapsulation("gre_key", "GRE with checksum, key and sequence number over IPv6 (RFC 2890)", tunnel="gre:42")
def encap_gre_key(frame, forward):
    return [outer_6(gre(ethertype(frame[14:]), frame[14:], 42, 7, True), GRE, forward)]


@encapsulation("nvgre", "NVGRE (RFC 7637), a flow id for each direction", tunnel="nvgre:5001")
def encap_nvgre(frame, forward):
    return [outer(gre(BRIDGED, frame, 5001 << 8 | (17 if forward else 99)), GRE, forward)]


@encapsulation("pptp", "PPTP: PPP in GRE version 1, a call id for each direction (RFC 2637)", tunnel="gre:0")
def encap_pptp(frame, forward):
    content = ppp(frame[14:])
    head = struct.pack(">HHHHI", 0x3001, PPP_IN_GRE, len(content), 3 if forward else 4, 1)
    return [outer(head + content, GRE, forward)]


@encapsulation("eoip", "Ethernet over IP in GRE version 1", tunnel="eoip:300")
def encap_eoip(frame, forward):
    return [outer(struct.pack(">HHH", 0x2001, 0x6400, len(frame)) + struct.pack("<H", 300) + frame, GRE, forward)]


@encapsulation("erspan_1", "ERSPAN type I: a mirrored frame right behind GRE", tunnel="erspan:0")
def encap_erspan_1(frame, _):
    return [outer(gre(0x88BE, frame), GRE, True)]


@encapsulation("erspan_2", "ERSPAN type II, a session for each direction", tunnel="erspan:0")
def encap_erspan_2(frame, forward):
    return [outer(gre(0x88BE, struct.pack(">HHI", 0x1000 | 20, 101 if forward else 102, 0) + frame, sequence=9), GRE, True)]


@encapsulation("erspan_3", "ERSPAN type III with its optional subheader, a session for each direction", tunnel="erspan:0")
def encap_erspan_3(frame, forward):
    head = struct.pack(">HHIHH", 0x2000 | 20, 101 if forward else 102, 12345, 0, 1) + bytes(8)
    return [outer(gre(0x22EB, head + frame, sequence=9), GRE, True)]


@encapsulation("vxlan", "VXLAN", tunnel="vxlan:7")
def encap_vxlan(frame, forward):
    return [outer(vxlan(7, frame), UDP, forward)]


@encapsulation("vxlan_vlans", "VXLAN in VLAN 100, a frame of VLAN 20 within", vlan="100.20", tunnel="vxlan:7")
def encap_vxlan_vlans(frame, forward):
    return [with_vlans(outer(vxlan(7, with_vlans(frame, [20])), UDP, forward), [100])]


@encapsulation("geneve", "Geneve with an option, over IPv6", tunnel="geneve:5001")
def encap_geneve(frame, forward):
    head = struct.pack(">BBHI", 2, 0, BRIDGED, 5001 << 8) + struct.pack(">HBBI", 0x0102, 1, 1, 0)
    return [outer_6(udp(50000, 6081, head + frame), UDP, forward)]


@encapsulation("gtpu", "GTP-U with sequence numbers and an extension header, an endpoint id for each direction", tunnel="gtpu:0")
def encap_gtpu(frame, forward):
    inner = struct.pack(">HBB", 1, 0, 0x85) + bytes((1, 0, 9, 0)) + frame[14:]
    head = struct.pack(">BBHI", 0x36, 255, len(inner), 0x11112222 if forward else 0x33334444)
    return [outer(udp(2152, 2152, head + inner), UDP, forward)]


@encapsulation("ipip", "IPv4 in IPv4", tunnel="ipip:0")
def encap_ipip(frame, forward):
    return [outer(frame[14:], IPIP, forward)]


@encapsulation("4in6", "IPv4 in IPv6", tunnel="ipip:0")
def encap_4in6(frame, forward):
    return [outer_6(frame[14:], IPIP, forward)]


@encapsulation("6in4", "IPv6 in IPv4", tunnel="ipip:0", source="ipv6")
def encap_6in4(frame, forward):
    return [outer(frame[14:], IPV6_IN_IP, forward)]


@encapsulation("6in6", "IPv6 in IPv6", tunnel="ipip:0", source="ipv6")
def encap_6in6(frame, forward):
    return [outer_6(frame[14:], IPV6_IN_IP, forward)]


@encapsulation("teredo", "Teredo by its server, with an origin indication one way and authentication the other", tunnel="teredo:0",
               source="ipv6")
def encap_teredo(frame, forward):
    before = bytes((0, 1, 0, 0)) + bytes(9) if forward else bytes((0, 0, 0x12, 0x34, 1, 2, 3, 4))
    ports = (40000, 3544) if forward else (3544, 40000)
    return [outer(udp(*ports, before + frame[14:]), UDP, forward)]


@encapsulation("capwap", "802.11 frames between an access point and its controller (RFC 5415)", tunnel="capwap:0")
def encap_capwap(frame, forward):
    head = struct.pack(">II", 2 << 19 | 1 << 9 | 0x100, 0)
    ports = (41000, 5247) if forward else (5247, 41000)
    return [outer(udp(*ports, head + wifi(frame, forward)), UDP, forward)]


def wifi(frame, forward):
    """A QoS data frame of IEEE 802.11, to or from an access point."""
    addresses = bytes(6) + frame[6:12] + frame[:6] if forward else frame[:6] + bytes(6) + frame[6:12]
    return bytes((0x88, 1 if forward else 2, 0, 0)) + addresses + bytes(4) + b"\xaa\xaa\x03\0\0\0" + frame[12:]


@encapsulation("radiotap", "802.11 frames of a monitoring card, the header padded", link=RADIOTAP)
def encap_radiotap(frame, forward):
    data = wifi(frame, forward)
    return [struct.pack("<BBHIQB", 0, 0, 17, 3, 1, 0x20) + data[:26] + bytes(2) + data[26:]]


@encapsulation("dsa", "the tag of a switch chip in place of the VLAN's", vlan="20", link=DSA)
def encap_dsa(frame, _):
    return [frame[:12] + struct.pack(">HH", 0x6008, 20) + frame[12:]]


@encapsulation("pbb", "provider backbone bridging (IEEE 802.1ah) in backbone VLAN 200", vlan="200", tunnel="pbb:4660")
def encap_pbb(frame, _):
    return [with_vlans(retyped(frame, PBB, struct.pack(">I", 0x1234) + frame), [200])]


@encapsulation("fragments", "every packet in IPv4 fragments of 8 octets, the last first: the TCP header is in three")
def encap_fragments(frame, _):
    return [ethernet(ip) for ip in pieces(frame[14:], 8, lambda cut: cut[::-1])]


@encapsulation("fragments_6", "every packet in IPv6 fragments of 16 octets, the odd ones first", source="ipv6")
def encap_fragments_6(frame, _):
    return [ethernet(ip) for ip in pieces(frame[14:], 16, lambda cut: cut[1::2] + cut[::2])]


@encapsulation("vxlan_fragments", "VXLAN whose outer packets came in fragments, each of them twice", tunnel="vxlan:7")
def encap_vxlan_fragments(frame, forward):
    whole = outer(vxlan(7, frame), UDP, forward)
    ip = whole[14:18] + struct.pack(">HH", zlib.crc32(frame) & 0xFFFF, 0) + whole[22:]  # an identification, and may be cut
    return [ethernet(part) for part in pieces(ip, 48, lambda cut: cut) for _ in range(2)]


@encapsulation("total_zero", "IP total length 0, as cards leave it that cut segments up")
def encap_total_zero(frame, _):
    return [frame[:16] + bytes(2) + frame[18:]]


@encapsulation("nested", "QinQ, MPLS, GRE, IPv6", vlan="100.20", tunnel="gre:0", source="ipv6")
def encap_nested(frame, forward):
    carried = outer(gre(ethertype(frame[14:]), frame[14:]), GRE, forward)
    return [with_vlans(retyped(carried, MPLS, labels(30 if forward else 40, 50) + carried[14:]), [100, 20])]


@encapsulation("gre_vxlan", "VXLAN in GRE", tunnel="gre:0/vxlan:7")
def encap_gre_vxlan(frame, forward):
    carried = outer(vxlan(7, frame), UDP, forward)[14:]
    return [outer(gre(ethertype(carried), carried), GRE, forward, ("198.51.100.1", "198.51.100.2"))]


@encapsulation("deep", "eight tunnels, as deep as is followed: GRE in VXLAN four times",
               tunnel="/".join(["vxlan:7", "gre:0"] * 4))
def encap_deep(frame, forward):
    for _ in range(4):
        carried = outer(gre(ethertype(frame[14:]), frame[14:]), GRE, forward)
        frame = outer(vxlan(7, carried), UDP, forward)
    return [frame]
