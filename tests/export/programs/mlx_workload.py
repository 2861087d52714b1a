"""An MLX script that knows nothing of metalscope and keeps its own count of what it does.

    python mlx_workload.py LOG STOP SECONDS

Each operation becomes a line of LOG: end in Unix seconds, kind, milliseconds, whether it failed. A
last line says "done"; then the script waits for the file STOP, so that its metrics can be read.
"""

import sys
import time
from pathlib import Path

import mlx.core as mx

log_path, stop, seconds = Path(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3])
saved = log_path.with_suffix(".npy")

small = mx.ones((64, 64))
large = mx.ones((640, 640))

with log_path.open("w", buffering=1) as log:

    def did(kind, work):
        start = time.perf_counter()
        failed = 0
        try:
            work()
        except RuntimeError:
            failed = 1
        ms = (time.perf_counter() - start) * 1e3
        log.write(f"{time.time():.6f} {kind} {ms:.6f} {failed}\n")

    end = time.monotonic() + seconds
    step = 0
    while time.monotonic() < end:
        step += 1
        did("execute", lambda: mx.eval(small @ small))
        if step % 5 == 0:
            did("execute", lambda: mx.eval(large @ large))
        if step % 4 == 0:
            did("synchronize", mx.synchronize)
        if step % 10 == 0:
            did("transfer", lambda: mx.save(str(saved), small))
        if step % 7 == 0:
            # Deliberate: there is no such file.
            did("transfer", lambda: mx.load("no-such-weights.safetensors"))
        time.sleep(0.01)
    log.write("done\n")

while not stop.exists():
    time.sleep(0.05)
