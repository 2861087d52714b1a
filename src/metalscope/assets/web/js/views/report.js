// The report as it stands at one moment, to read, to print and to take along.

import { el, setText } from "../dom.js";
import * as format from "../format.js";
import { fetchWithKey, hasKey, openWithKey } from "../key.js";
import { createNotice } from "./cards.js";
import { readMarkdown } from "./report-markdown.js";

const ADDRESS = "api/v1/report";
const FORMATS = [
  ["markdown", "Markdown", "report.md"],
  ["text", "Text", "report.txt"],
  ["json", "JSON", "report.json"],
];

export function createView(page) {
  const notice = createNotice();
  const again = el("button", { type: "button", class: "button" }, "Make it anew");
  const print = el("button", { type: "button", class: "button" }, "Print");
  const links = FORMATS.map(([name, words, file]) => createDownload(name, words, file));
  const said = el("p", { class: "hint", role: "status" });
  const head = el(
    "div", { class: "card-head" },
    el("h2", { id: "report-title" }, "Report"), said,
    el("div", { class: "report-buttons" }, again, print, el("span", { class: "quiet" }, "Save as"), ...links),
  );
  const body = el("div", { class: "report-body" });
  const card = el("section", { class: "card report", "aria-labelledby": "report-title" }, head, body);
  const node = el("div", { class: "view-parts" }, notice.node, card);

  let isLeft = false;
  const load = async () => {
    const hadFocus = document.activeElement === again;
    again.disabled = true;
    setText(said, "The report is being made");
    const found = await fetchReport();
    if (isLeft) return;
    again.disabled = false;
    // A button that cannot be pressed loses the focus.
    if (hadFocus) again.focus();
    notice.say(found.ok ? "" : `The report cannot be had now: ${found.why}.`);
    setText(said, found.ok ? `as of ${format.moment(new Date(page.now() * 1000))}` : "");
    if (found.ok) body.replaceChildren(...sectionsOf(found.text));
  };
  again.addEventListener("click", load);
  print.addEventListener("click", () => window.print());
  load();
  return {
    node,
    look() {},
    draw() {},
    leave() {
      isLeft = true;
    },
  };
}

async function fetchReport() {
  try {
    const answer = await fetchWithKey(`${ADDRESS}?format=markdown`);
    if (answer.ok) return { ok: true, text: await answer.text() };
    const { detail } = await answer.json();
    return { ok: false, why: detail ?? `answered ${answer.status}` };
  } catch {
    return { ok: false, why: "the program did not answer" };
  }
}

function createDownload(name, words, file) {
  const link = el("a", { class: "button", href: `${ADDRESS}?format=${name}`, download: `metalscope-${file}` }, words);
  // A browser's navigation carries no key.
  link.addEventListener("click", (event) => {
    if (!hasKey()) return;
    event.preventDefault();
    openWithKey(link.getAttribute("href"), file);
  });
  return link;
}

// What is read here is what is saved: nothing is left out, and nothing is worded twice.
function sectionsOf(text) {
  return readMarkdown(text)
    .filter(({ level }) => level === 2)
    .map(createSection);
}

function createSection({ title, blocks }) {
  const body = blocks.map((block) => createBlock(block, title));
  return el("section", { class: "report-section" }, el("h3", {}, title), ...body);
}

function createBlock(block, title) {
  if (block.type === "table") return block.head.some(Boolean) ? createTable(block, title) : createPairs(block);
  if (block.type !== "list") return el("p", {}, block.text);
  return el("ul", { class: "report-list" }, ...block.items.map((item) => el("li", {}, item)));
}

function createPairs({ rows }) {
  return el("dl", { class: "facts" }, ...rows.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}

function createTable({ head, rows }, title) {
  const numeric = head.map((_, n) => rows.every((row) => isFigure(row[n])) && rows.some((row) => /\d/.test(row[n])));
  const cell = (tag, text, n, more = {}) => el(tag, { class: numeric[n] ? "num" : null, ...more }, text);
  const createCell = (text, n) => (n === 0 ? cell("th", text, n, { scope: "row" }) : cell("td", text, n));
  const table = el(
    "table", {},
    el("caption", { class: "visually-hidden" }, title),
    el("thead", {}, el("tr", {}, ...head.map((text, n) => cell("th", text, n, { scope: "col" })))),
    el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map(createCell)))),
  );
  return el("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": title }, table);
}

// 12, 1.5 ms, 87.6%, or a dash for what is not known.
const isFigure = (text) => /^(—|[-+<]? ?[\d.,]+( ?[%\w/µ°]{1,6})?)$/u.test(text ?? "");
