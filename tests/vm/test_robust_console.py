"""A serial console that nobody reads."""
import hashlib

import vm

# In place of QEMU: passes its console on up to the word, and reads no more
QEMU = """#!/usr/bin/python3
import fcntl, os, signal, subprocess, sys
p = subprocess.Popen(["qemu-system-" + os.uname().machine, *sys.argv[1:]],
                     stdout=subprocess.PIPE)
fcntl.fcntl(p.stdout, 1031, 4096)        # F_SETPIPE_SZ: soon full
signal.signal(signal.SIGTERM, lambda *_: p.kill())
for line in p.stdout:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
    if b"@mute" in line:
        break
sys.exit(p.wait())
"""


def test_nobody_reads(tmp, servers):
    """PID 1 starts the agent again, the network works, and it powers off"""
    (tmp / "qemu").write_text(QEMU)
    (tmp / "qemu").chmod(0o755)
    gateway = vm.Gateway(tmp, "--vhost-user", tmp / "vhost.sock")
    (tmp / "env").write_text(gateway.env())
    g = vm.Guest(
        tmp, "--vhost-user", tmp / "vhost.sock", "--env-file", tmp / "env",
        "--overlay", vm.overlay(tmp, vm.script_files(
            tmp, "mute", servers.variables())), "--append",
        "MSB_VERBOSE=1 MSB_STOP_TIMEOUT=1", timeout=60,
        env={"QEMU": str(tmp / "qemu")})
    try:
        # 125: nobody has read the last line; 124 would be a guest that stays
        assert g.wait() == 125, g.log()
    finally:
        g.end()
        gateway.stop()
    said = b"alive\n"
    assert (len(said), hashlib.sha256(said).hexdigest()) in servers.web4.got
    assert gateway.text.count("link up: native") == 2
