"""What is fetched piece by piece is what would have been fetched as a whole."""

from __future__ import annotations

import pytest

from metalscope.server import RunningServer

pytestmark = pytest.mark.browser

JOIN = """async () => {
    const { join, lineKey } = await import("/js/past.js");
    const step = 5;
    const line = (name, since, until) => ({
        kind: "execute", name, device: "", host: "", labels: {}, unit: "/s",
        values: Array.from({ length: until - since }, (_, n) => 100 * name.length + since + n),
    });
    const lines = (since, until, names) => ({
        start: since * step, step, omitted: 0, lines: names.map((name) => line(name, since, until)),
    });
    // An answer has the edges that it needs: those of later steps reach further.
    const cells = (since, until) => {
        const edges_ms = Array.from({ length: 4 + Math.floor(until / 20) }, (_, n) => 2 ** n);
        const found = [];
        for (let at = since; at < until; at += 1) {
            const cell = edges_ms.indexOf(2 ** Math.floor(at / 20));
            found.push([at - since, cell, at + 1]);
        }
        return { start: since * step, step, steps: until - since, edges_ms, cells: found };
    };
    const told = (data) => data.cells
        .map(([at, cell, n]) => [data.start + at * step, data.edges_ms[cell] ?? Infinity, n])
        .sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    const of = (data) => Object.fromEntries(data.lines.map((one) => [lineKey(one), one.values]));

    const names = ["a", "bb", "ccc"];
    const problems = [];
    const same = (what, one, other) => {
        if (JSON.stringify(one) !== JSON.stringify(other)) problems.push([what, one, other]);
    };
    // Windows that move on by some steps, each asked for from a little before what is known.
    let known = lines(0, 60, names);
    let heat = cells(0, 60);
    for (const [since, from, until] of [[3, 58, 63], [10, 61, 70], [10, 68, 70], [45, 68, 105]]) {
        known = join(known, lines(from, until, names), since * step);
        heat = join(heat, cells(from, until), since * step);
        const whole = lines(since, until, names);
        same(`lines until ${until}`, [known.start, of(known)], [since * step, of(whole)]);
        same(`cells until ${until}`, told(heat), told(cells(since, until)));
        same(`steps until ${until}`, heat.steps, until - since);
    }
    // A line that a piece does not hold is not known there; what was not known before stays out.
    const partly = join(lines(0, 4, ["a", "bb"]), lines(3, 6, ["bb", "new"]), 0);
    same("partly", partly.lines.map((one) => one.values.length), [6, 6]);
    same("a", partly.lines[0].values, [100, 101, 102, null, null, null]);
    // Another step, or a time before what is known: nothing fits, and the newer counts.
    same("step", join(lines(0, 4, ["a"]), { ...lines(0, 4, ["a"]), step: 10 }, 0).step, 10);
    same("earlier", join(lines(10, 14, ["a"]), lines(2, 14, ["a"]), 10 * step).start, 2 * step);
    return problems;
}"""


def test_pieces_make_what_the_whole_is(watched, server: RunningServer) -> None:
    page = watched.page
    page.goto(server.url)
    assert page.evaluate(JOIN) == []
    assert watched.complaints == []
