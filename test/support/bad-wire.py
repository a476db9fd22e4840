"""A wire between two TAP interfaces that loses, delays and reorders what crosses it: python3 bad-wire.py A B LOSS DELAY JITTER

LOSS is a share, DELAY and JITTER are ms one way; a frame is delayed by DELAY, give or take JITTER, so that frames overtake each
other. SIGUSR1 cuts the wire without anybody being told, SIGUSR2 mends it, SIGTERM ends with the counts of what has happened.
tc-netem does the same where the kernel has it; many have not, and it keeps no count of what was overtaken.
"""
import fcntl
import heapq
import json
import os
import random
import select
import signal
import struct
import sys
import time

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000


def open_tap(name):
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TAP | IFF_NO_PI))
    return tap


left, right = open_tap(sys.argv[1]), open_tap(sys.argv[2])
loss, delay, jitter = float(sys.argv[3]), float(sys.argv[4]) / 1000, float(sys.argv[5]) / 1000
other = {left: right, right: left}
chance = random.Random(20)
counts = {"passed": 0, "lost": 0, "overtaken": 0, "cut": 0}
newest = {left: 0, right: 0}
waiting = []
number = 0
is_cut = False


def cut(*_):
    global is_cut
    is_cut = True
    counts["cut"] += len(waiting)
    waiting.clear()
    print("cut", flush=True)


def mend(*_):
    global is_cut
    is_cut = False
    print("mended", flush=True)


def end(*_):
    print(json.dumps(counts), flush=True)
    os._exit(0)


signal.signal(signal.SIGUSR1, cut)
signal.signal(signal.SIGUSR2, mend)
signal.signal(signal.SIGTERM, end)
print("ready", flush=True)

while True:
    rest = max(0, waiting[0][0] - time.monotonic()) if waiting else None
    readable, _, _ = select.select([left, right], [], [], rest)
    for tap in readable:
        try:
            frame = os.read(tap, 65536)
        except OSError:
            # The interface is down.
            time.sleep(0.01)
            continue
        if is_cut:
            counts["cut"] += 1
        elif chance.random() < loss:
            counts["lost"] += 1
        else:
            number += 1
            due = time.monotonic() + max(0, delay + chance.uniform(-jitter, jitter))
            heapq.heappush(waiting, (due, number, other[tap], frame))
    now = time.monotonic()
    while waiting and waiting[0][0] <= now:
        _, sent_as, tap, frame = heapq.heappop(waiting)
        counts["overtaken"] += sent_as < newest[tap]
        newest[tap] = max(newest[tap], sent_as)
        try:
            os.write(tap, frame)
            counts["passed"] += 1
        except OSError:
            # The other end is down, or its queue is full.
            counts["lost"] += 1
