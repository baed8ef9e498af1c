#!/usr/bin/env python3
"""demo.py - servers on the host's loopback for rootfs/demo

usage: demo.py DIR

Makes a certificate authority in DIR (ca.pem), starts HTTP, HTTPS and DNS
servers, writes their ports to DIR/servers as shell assignments, and serves
until its standard input ends.
"""
import http.server
import os
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import threading

HOST_ALIAS = "host.microsandbox.internal"
ANSWERS = {1: socket.inet_pton(socket.AF_INET, "192.0.2.10"),
           28: socket.inet_pton(socket.AF_INET6, "2001:db8::10")}


class Page(http.server.BaseHTTPRequestHandler):
    """One page that says who asked"""

    def do_GET(self):
        body = f"hello from the host's {self.server.name}\n".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, format, *args):
        pass


class Web(http.server.ThreadingHTTPServer):
    name = ""
    daemon_threads = True

    def handle_error(self, request, client_address):
        print(f"demo.py: {self.name}: {sys.exc_info()[1]}", file=sys.stderr)


class Web6(Web):
    address_family = socket.AF_INET6


class Dns(socketserver.BaseRequestHandler):
    """Answers A and AAAA of test.example; NXDOMAIN for other names"""

    def handle(self):
        query, sock = self.request
        if len(query) < 17:
            return
        labels, i = [], 12
        while i < len(query) and query[i]:
            labels.append(query[i + 1:i + 1 + query[i]])
            i += 1 + query[i]
        question = query[12:i + 5]
        if len(query) < i + 5:
            return
        kind, = struct.unpack("!H", query[i + 1:i + 3])
        known = b".".join(labels).lower() == b"test.example"
        answer = b""
        if known and kind in ANSWERS:
            data = ANSWERS[kind]
            answer = struct.pack("!HHHIH", 0xc00c, kind, 1, 60, len(data)) + data
        sock.sendto(query[:2] + struct.pack(
            "!HHHHH", 0x8180 | (0 if known else 3), 1, 1 if answer else 0, 0, 0)
            + question + answer, self.client_address)


def openssl(*args):
    subprocess.run(("openssl",) + args, check=True, capture_output=True)


def certificates(d):
    """An ECDSA P-256 authority and a server's certificate, for a day"""
    def path(name):
        return os.path.join(d, name)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl("req", "-x509", *key, "-days", "1", "-subj", "/CN=msb demo CA",
            "-addext", "basicConstraints=critical,CA:TRUE",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
            "-keyout", path("ca.key"), "-out", path("ca.pem"))
    openssl("req", *key, "-subj", f"/CN={HOST_ALIAS}",
            "-keyout", path("server.key"), "-out", path("server.csr"))
    with open(path("ext"), "w", encoding="utf-8") as f:
        f.write(f"subjectAltName=DNS:{HOST_ALIAS},DNS:localhost\n"
                "extendedKeyUsage=serverAuth\n")
    openssl("x509", "-req", "-in", path("server.csr"), "-CA", path("ca.pem"),
            "-CAkey", path("ca.key"), "-CAcreateserial", "-days", "1",
            "-extfile", path("ext"), "-out", path("server.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(path("server.pem"), path("server.key"))
    return context


def listen(cls, host, port, handler):
    """At the wished port, or at any if that is taken"""
    try:
        return cls((host, port), handler)
    except OSError:
        return cls((host, 0), handler)


def main():
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__.strip(), file=sys.stderr)
        return 0 if sys.argv[1:] in (["-h"], ["--help"]) else 2
    d = sys.argv[1]
    context = certificates(d)

    servers = {"HTTP4": listen(Web, "127.0.0.1", 8080, Page),
               "HTTP6": listen(Web6, "::1", 8080, Page),
               "HTTPS": listen(Web, "127.0.0.1", 8443, Page),
               "DNS": listen(socketserver.ThreadingUDPServer,
                             "127.0.0.1", 5353, Dns)}
    servers["HTTP4"].name = "127.0.0.1"
    servers["HTTP6"].name = "::1"
    servers["HTTPS"].name = "127.0.0.1, over TLS"
    # The handshake belongs to the connection's thread, not to accept()
    servers["HTTPS"].socket = context.wrap_socket(
        servers["HTTPS"].socket, server_side=True,
        do_handshake_on_connect=False)

    for server in servers.values():
        threading.Thread(target=server.serve_forever, daemon=True).start()
    new = os.path.join(d, "servers.new")
    with open(new, "w", encoding="utf-8") as f:
        for name, server in servers.items():
            f.write(f"PORT_{name}={server.server_address[1]}\n")
    os.rename(new, os.path.join(d, "servers"))

    sys.stdin.buffer.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())
