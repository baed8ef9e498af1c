"""How much is under way to a guest that is far away, without SO_PEEK_OFF."""
import threading
import time

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from lab import GUEST4, GW_MAC, HOST4, MAC

KIB = 1024
SHIFT = 8
RTT_S = 0.5     # the timeout follows it: no loss is seen before all has come


class Far:
    """A guest's end of one connection, which says nothing by itself"""

    def __init__(self, peer, port):
        self.peer, self.port, self.top = peer, port, 0
        self.segment("S", 0, 0, [("MSS", 1460), ("WScale", SHIFT)])
        syn_ack = peer.recv(self.ours, timeout=5)
        assert syn_ack and syn_ack[TCP].flags == "SA"
        self.isn = syn_ack[TCP].seq
        time.sleep(RTT_S)
        self.ack(0)

    def ours(self, p):
        return TCP in p and p[TCP].sport == self.port

    def segment(self, flags, seq, ack, options=()):
        self.peer.send(Ether(src=MAC, dst=GW_MAC) / IP(
            src=GUEST4, dst=HOST4) / TCP(
                sport=40000, dport=self.port, flags=flags, seq=seq, ack=ack,
                window=65535, options=list(options)))

    def ack(self, n):
        self.segment("A", 1, self.isn + 1 + n & 0xffffffff)

    def reach(self, quiet_s):
        """How far the stream has come, once nothing more comes"""
        end = time.monotonic() + quiet_s
        while time.monotonic() < end:
            p = self.peer.recv(self.ours, timeout=quiet_s)
            if not p:
                break
            n = p[IP].len - 20 - 4 * p[TCP].dataofs
            reach = (p[TCP].seq - self.isn - 1 & 0xffffffff) + n
            if n and reach > self.top:
                self.top, end = reach, time.monotonic() + quiet_s
        return self.top


@pytest.fixture
def port(lab):
    """A server that says 4 MiB, to a host that takes them at once"""
    lab.host.sysctl("net.ipv4.tcp_rmem", "4096 16777216 16777216")
    listener = lab.own(lab.host.listen(HOST4))

    def serve():
        conn, _ = listener.accept()
        lab.own(conn)
        try:
            conn.sendall(bytes(4096 * KIB))
        except OSError:
            pass        # the test has seen enough
    threading.Thread(target=serve, daemon=True).start()
    return listener.getsockname()[1]


def test_far_guest_has_a_mebibyte(lab, port):
    """And another one when that is acknowledged, in spite of retransmissions"""
    lab.gateway("--no-peek-off")
    far = Far(lab.bare(), port)
    assert far.reach(4 * RTT_S) == 1024 * KIB
    far.ack(1024 * KIB)
    assert far.reach(1) == 2048 * KIB
    assert lab.gw.stop() == 0
    assert lab.gw.log.lines("tcp_rtos: ")


def test_far_guest_gets_more_when_a_quarter_is_free(lab, port):
    """Else what is under way would be copied again for each segment"""
    lab.gateway("--no-peek-off")
    far = Far(lab.bare(), port)
    assert far.reach(0.2) == 1024 * KIB
    far.ack(255 * KIB)
    assert far.reach(0.2) == 1024 * KIB
    far.ack(257 * KIB)
    assert far.reach(0.2) == (1024 + 257) * KIB
    assert lab.gw.stop() == 0
    assert not lab.gw.log.lines("tcp_rtos: ")
