"""The drawing kit on a page of its own: a real server's address and policy, none of its views."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Locator, Page

START = 1_800_000_000
"""Seconds since the epoch: where the times of what is drawn begin."""

_PREPARE = """async (start) => {
    const sheets = ["css/parts.css", "css/draw.css", "vendor/uPlot.min.css"];
    await Promise.all(sheets.map((file) => new Promise((done) => {
        const link = document.createElement("link");
        link.rel = "stylesheet";
        link.onload = done;
        link.href = "/" + file;
        document.head.append(link);
    })));
    const names = ["lines", "heatmap", "histogram", "waterfall", "table", "palette"];
    const modules = await Promise.all(names.map((name) => import(`/js/draw/${name}.js`)));
    const format = await import("/js/format.js");
    const box = document.createElement("main");
    box.style.width = "100%";
    document.body.replaceChildren(box);
    window.kit = Object.assign({ format, box, start }, ...modules);
    // Read from a copy: reading a drawing itself would make the browser change how it draws it.
    kit.read = (selector) => {
        const canvas = document.querySelector(selector);
        const copy = document.createElement("canvas");
        [copy.width, copy.height] = [canvas.width, canvas.height];
        const pen = copy.getContext("2d", { willReadFrequently: true });
        pen.drawImage(canvas, 0, 0);
        return pen.getImageData(0, 0, copy.width, copy.height).data;
    };
    kit.ms = (value) => format.duration(value, "nothing ran");
    const drawings = [];
    kit.clear = (theme) => {
        for (const drawing of drawings.splice(0)) drawing.destroy?.();
        box.replaceChildren();
        document.documentElement.dataset.theme = theme;
    };
    kit.add = (drawing) => {
        drawings.push(drawing);
        drawing.node.classList.add("card");
        box.append(drawing.node);
        return drawing;
    };
}"""

_PIXELS = """([selector, [from, to], [red, green, blue]]) => {
    const data = kit.read(selector);
    const canvas = document.querySelector(selector);
    // Of a line chart the plot alone counts, of another drawing all of it.
    const over = (canvas.parentNode.querySelector(".u-over") ?? canvas).getBoundingClientRect();
    const ratio = canvas.width / canvas.offsetWidth;
    const left = (over.left - canvas.getBoundingClientRect().left) * ratio;
    let found = 0;
    for (let i = 0; i < data.length; i += 4) {
        const share = (((i / 4) % canvas.width) - left) / (over.width * ratio);
        if (share < from || share > to) continue;
        const far = Math.abs(data[i] - red) + Math.abs(data[i + 1] - green)
            + Math.abs(data[i + 2] - blue);
        if (data[i + 3] > 100 && far < 12) found += 1;
    }
    return found;
}"""


class DrawPage:
    """A page with the kit's modules in it as ``kit``, and an empty box for what is made of them."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.complaints: list[str] = []
        page.set_default_timeout(30_000)
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(dialog.message))
        # A page with the server's policy, and no code of its own.
        page.goto(f"{address}/runbooks.html")
        page.evaluate(_PREPARE, START)
        self.clear()

    def clear(self, *, width: int = 900, theme: str = "light") -> None:
        """Let go of all that was drawn."""
        self.page.mouse.move(0, 0)
        self.page.set_viewport_size({"width": width, "height": 900})
        self.page.evaluate("(theme) => kit.clear(theme)", theme)
        self.complaints.clear()

    def run(self, code: str, argument: Any = None) -> Any:
        """Run the body of a function that has ``kit`` and ``given``, then let the page paint."""
        result = self.page.evaluate(f"async (given) => {{ {code} }}", argument)
        self.painted()
        return result

    def painted(self) -> None:
        """Two frames later all that was asked for is drawn, but for what is drawn in slices."""
        self.page.evaluate(
            "() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))"
        )

    def pixels(self, selector: str, colour: str, within: tuple[float, float] = (0.0, 1.0)) -> int:
        """How many pixels of a plot have a colour, given as #rrggbb or a custom property.

        ``within`` are shares of its width.
        """
        if colour.startswith("--"):
            colour = self.page.evaluate("(name) => kit.colour(name)", colour)
        parts = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
        found: int = self.page.evaluate(_PIXELS, [selector, list(within), parts])
        return found

    def inked(self, selector: str, least: int = 201, most: int = 255) -> int:
        """How many pixels of a canvas are as opaque as that, of 255."""
        found: int = self.page.evaluate(
            "([selector, least, most]) => kit.read(selector)"
            ".filter((v, n) => n % 4 === 3 && v >= least && v <= most).length",
            [selector, least, most],
        )
        return found

    def said(self, drawing: str) -> str:
        """What the live region of a drawing says."""
        return self.page.locator(f"{drawing} [role=status]").inner_text()

    def plot(self, drawing: str) -> Locator:
        """The part of a drawing that takes the keyboard."""
        return self.page.locator(f"{drawing} [role=application]")
