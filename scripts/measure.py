#!/usr/bin/env python3
"""Runs a command and writes what it cost as JSON: measure.py FILE COMMAND ARGUMENT…   Its exit code is the command's. Linux only.

The Benchmark target measures every process through this one, so that all of them are measured alike and none inherits the memory of a large parent.
"""
import json
import os
import sys
import threading
import time

file, command = sys.argv[1], sys.argv[2:]
peak = 0


def sample(ended):
    # The peak only grows, so what is missed is the growth of the last moments; a process that ended has no memory to be read any more.
    global peak
    while True:
        try:
            with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
                peak = max([peak] + [int(line.split()[1]) for line in status if line.startswith("VmHWM:")])
        except OSError:
            return
        if ended.wait(0.02):
            return


begun = time.monotonic()
pid = os.posix_spawnp(command[0], command, os.environ)
ended = threading.Event()
sampler = threading.Thread(target=sample, args=(ended,))
sampler.start()
os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
wall = time.monotonic() - begun
ended.set()
sampler.join()
with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as text:
    stat = text.read()
_, status, usage = os.wait4(pid, 0)
code = os.waitstatus_to_exitcode(status)
with open(file, "w", encoding="ascii") as out:
    # cpu and largestKiB cover the command and its descendants that were waited for; stat tells the two apart.
    json.dump({"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "stat": stat, "peakKiB": peak, "largestKiB": usage.ru_maxrss}, out)
sys.exit(code if code >= 0 else 128 - code)
