"""A packet process that a guest has taken over lies to the monitor.

The test speaks over its end of the message socket, while it is stopped.
"""
import os
import signal
import socket
import struct

import pytest

from lab import GW4, LIBC, until

CONF, TOKEN, DNS, STOP, READY, MOVED = range(1, 7)


def stolen(lab, which):
    """A descriptor of the packet process: 0 leads to the monitor, 2 to its log.
    """
    os.kill(lab.gw.pid, signal.SIGSTOP)
    pidfd = os.pidfd_open(lab.gw.pid)
    fd = LIBC.syscall(438, pidfd, which, 0)     # pidfd_getfd
    os.close(pidfd)
    assert fd >= 0, "pidfd_getfd"
    return fd


def message(kind, payload=b""):
    return struct.pack("=I", kind) + payload


LIES = {
    "not a message": b"",
    "half a type": b"\1\0",
    "type 0": message(0),
    "type too high": message(MOVED + 1),
    "type of the monitor": message(CONF, bytes(100)),
    "resolvers": message(DNS, bytes(100)),
    "stop": message(STOP),
    "token too short": message(TOKEN, bytes(15)),
    "token too long": message(TOKEN, bytes(17)),
    "another token": message(TOKEN, bytes(16)),
    "ready, again": message(READY),
    "moved, more than once": message(MOVED, b"x" * 1000),
    "longer than any": message(MOVED, bytes(65537)),
}


@pytest.mark.parametrize("name", LIES)
def test_lie_ends_the_packet_process(lab, name):
    kept = lab.tmp / "token"
    lab.start("--token-file", kept)
    token, old = kept.read_text(), lab.gw.pid
    s = lab.own(socket.socket(fileno=stolen(lab, 0)))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    for _ in range(1000):
        try:
            s.send(LIES[name])
        except OSError:
            break               # that was one too many
    lab.gw.wait_serving(2)
    assert lab.gw.pid not in (old, None)
    assert kept.read_text() == token
    assert len(lab.gw.log.lines("killing it")) <= 1
    assert len(lab.gw.log.text.splitlines()) < 200
    lab.ag.log.wait("connected, offloads", 2)   # by the old token
    lab.guest.run("ping", "-c1", "-W3", GW4)
    assert lab.gw.stop() == 0


def test_log_of_the_packet_process_drives_no_terminal(lab):
    lab.start()
    fd = stolen(lab, 2)
    os.write(fd, bytes(range(256)) * 2 + "\u0085\u009bgr\u00fcn\n".encode())
    os.close(fd)
    until(lambda: "gr\u00fcn" in lab.gw.log.text, "no log")
    log = lab.gw.log.path.read_bytes()
    assert not set(log) & {*range(9), *range(11, 32), 127}
    assert b"\xc2\x85" not in log and b"\xc2\x9b" not in log
    os.kill(lab.gw.pid, signal.SIGCONT)
    lab.sane()
