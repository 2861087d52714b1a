"""Take docs/images/top.svg of `metalscope top` over `metalscope demo` at work.

    python scripts/top_screenshot.py [--seconds 60]

Needs the extras `mlx`, `server` and `top`.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import socket
import subprocess
import sys
from pathlib import Path

from metalscope.tui.app import TopApp
from metalscope.tui.live import LiveSource

IMAGE = Path(__file__).parent.parent / "docs" / "images" / "top.svg"
SIZE = (120, 34)


def main() -> None:
    """Run the demo, let the lines of bars fill, and take the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long the view fills")
    seconds = parser.parse_args().seconds
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    demo = subprocess.Popen(
        [
            sys.executable, "-m", "metalscope", "demo", "--headless",
            "--seconds", str(seconds + 60), "--port", str(port),
        ],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        IMAGE.write_text(asyncio.run(_picture(f"http://127.0.0.1:{port}", seconds)))
    finally:
        demo.kill()
        demo.wait()


async def _picture(address: str, seconds: float) -> str:
    app = TopApp([LiveSource(address, every=1)])
    async with app.run_test(size=SIZE) as pilot:
        await asyncio.sleep(seconds)
        await pilot.pause()
        picture = app.export_screenshot(simplify=True)
    # The fonts would be loaded from elsewhere; the reader's own monospaced one will do.
    return re.sub(r"@font-face\s*{[^}]*}", "", picture)


if __name__ == "__main__":
    main()
