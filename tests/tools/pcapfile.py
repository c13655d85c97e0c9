"""Reading and writing capture files, and the layers below TCP: the one place where the tests know these formats.

A packet is a tuple (ts_ns, octets, length): capture time in nanoseconds, the octets captured, the length on the wire.
Formats: pcap (draft-ietf-opsawg-pcap) and pcapng (draft-ietf-opsawg-pcapng), link types of tcpdump.org/linktypes.html.
"""
import ipaddress
import struct

NULL, ETHERNET, RAW, SLL, SLL2 = 0, 1, 101, 113, 276
MAGIC_MICRO, MAGIC_NANO = 0xA1B2C3D4, 0xA1B23C4D
TCP = 6
IPV4, IPV6 = 0x0800, 0x86DD


def read_pcap(path):
    """All packets of a classic pcap file, and its link type."""
    with open(path, "rb") as f:
        data = f.read()
    for order in "<>":
        magic = struct.unpack_from(order + "I", data)[0]
        if magic in (MAGIC_MICRO, MAGIC_NANO):
            break
    else:
        raise ValueError("%s: not a pcap file" % path)
    scale = 1 if magic == MAGIC_NANO else 1000
    packets, at = [], 24
    while at + 16 <= len(data):
        seconds, fraction, captured, length = struct.unpack_from(order + "4I", data, at)
        at += 16
        packets.append((seconds * 10**9 + fraction * scale, data[at:at + captured], length))
        at += captured
    return packets, struct.unpack_from(order + "I", data, 20)[0] & 0xFFFF


def pcap_octets(packets, link=ETHERNET, snaplen=262144, nano=True, order="<"):
    """A classic pcap file as octets."""
    out = [struct.pack(order + "IHHiIII", MAGIC_NANO if nano else MAGIC_MICRO, 2, 4, 0, 0, snaplen, link)]
    for ts, octets, length in packets:
        fraction = ts % 10**9 if nano else ts % 10**9 // 1000
        octets = octets[:snaplen]
        out.append(struct.pack(order + "4I", ts // 10**9, fraction, len(octets), length) + octets)
    return b"".join(out)


def _block(kind, body):
    body += b"\0" * (-len(body) % 4)
    total = len(body) + 12
    return struct.pack("<II", kind, total) + body + struct.pack("<I", total)


def pcapng_octets(interfaces, packets):
    """A pcapng file as octets. interfaces: [(link, snaplen, digits)], digits of a second's fraction in its stamps;
    packets: [(interface number, packet)]."""
    out = [_block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))]
    for link, snaplen, digits in interfaces:
        resolution = struct.pack("<HHB3xI", 9, 1, digits, 0)  # if_tsresol, then opt_endofopt
        out.append(_block(1, struct.pack("<HHI", link, 0, snaplen) + resolution))
    for number, (ts, octets, length) in packets:
        ticks = ts // 10 ** (9 - interfaces[number][2])
        octets = octets[:interfaces[number][1]]
        head = struct.pack("<IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(octets), length)
        out.append(_block(6, head + octets))
    return b"".join(out)


def checksum(octets):
    """The Internet checksum, RFC 1071."""
    octets += b"\0" * (len(octets) % 2)
    total = sum(struct.unpack(">%dH" % (len(octets) // 2), octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip_packet(source, destination, protocol, payload, ip_id=0, ttl=64):
    """An IPv4 or IPv6 packet around the payload; a TCP payload's checksum (RFC 9293 section 3.1) is filled in."""
    src, dst = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    if protocol == TCP:
        if src.version == 4:
            pseudo = src.packed + dst.packed + struct.pack(">BBH", 0, protocol, len(payload))
        else:
            pseudo = src.packed + dst.packed + struct.pack(">II", len(payload), protocol)
        payload = payload[:16] + struct.pack(">H", checksum(pseudo + payload)) + payload[18:]
    if src.version == 6:
        return struct.pack(">IHBB", 6 << 28, len(payload), protocol, ttl) + src.packed + dst.packed + payload
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), ip_id, 0x4000, ttl, protocol, 0) + src.packed + dst.packed
    return head[:10] + struct.pack(">H", checksum(head)) + head[12:] + payload


def ethertype(ip_octets):
    return IPV4 if ip_octets[0] >> 4 == 4 else IPV6


def ethernet(ip_octets, source=b"\x02\0\0\0\0\x01", destination=b"\x02\0\0\0\0\x02"):
    return destination + source + struct.pack(">H", ethertype(ip_octets)) + ip_octets


def with_vlans(frame, vlans):
    """An Ethernet frame with 802.1Q tags, the outermost first; all but the innermost bear the 802.1ad type."""
    tags = b""
    for i, vlan in enumerate(vlans):
        tags += struct.pack(">HH", 0x8100 if i == len(vlans) - 1 else 0x88A8, vlan)
    return frame[:12] + tags + frame[12:]


def to_raw(frame):
    return frame[14:]


def to_null(frame):
    """BSD loopback: the address family in the writer's byte order (2, or 30 for Darwin's IPv6)."""
    return struct.pack("<I", 2 if frame[12:14] == b"\x08\x00" else 30) + frame[14:]


def to_sll(frame):
    """Linux cooked v1: packet type, ARPHRD_ETHER, address length, address, protocol."""
    return struct.pack(">HHH", 0, 1, 6) + frame[6:12] + b"\0\0" + frame[12:14] + frame[14:]


def to_sll2(frame, interface=3):
    """Linux cooked v2: protocol, reserved, interface, ARPHRD_ETHER, packet type, address length, address."""
    return frame[12:14] + struct.pack(">HIHBB", 0, interface, 1, 0, 6) + frame[6:12] + b"\0\0" + frame[14:]
