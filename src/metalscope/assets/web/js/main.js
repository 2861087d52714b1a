// Puts the pieces together: address → view, stream → state → one drawing a frame.

import { firingText } from "./alerts.js";
import { el, setAttribute, setText } from "./dom.js";
import * as format from "./format.js";
import { setUpKeyboard } from "./keyboard.js";
import { hasKey, openWithKey } from "./key.js";
import { createPage } from "./page.js";
import { takeEvent, takeRecent, takeSnapshot } from "./state.js";
import { follow } from "./stream.js";
import { setUpTheme } from "./theme.js";
import { setUpTime } from "./time.js";
import { viewsOf } from "./views.js";

const $ = (id) => document.getElementById(id);
const CONNECTION_TEXT = {
  connecting: "Connecting",
  live: "Live",
  paused: "Paused",
  past: "The past",
  locked: "Signed out",
  lost: "Connection lost, retrying",
};

const LEARN_AGAIN_MS = 2_000;

let connection = "connecting";
let current = null; // {id, view}
let asked = 0; // a view that was left while it was loaded is not shown

const page = createPage({ onChange: () => navigate(), onDraw: () => draw() });
const time = setUpTime({ ranges: $("ranges"), more: $("time-more") }, page);
let overview = null; // it stands in the document, so there is one

function draw() {
  showProcess();
  current?.view.draw();
}

function showProcess() {
  if (page.isFleet) {
    setText($("process"), page.about.address);
    return;
  }
  const { snapshot } = page.state;
  if (!snapshot) return;
  const { system } = snapshot;
  const up = `up ${format.span(snapshot.uptime_seconds)}`;
  const parts = system ? [system.host, `pid ${system.pid}`, up] : [up];
  setText($("process"), parts.join(" · "));
  const firing = firingText(snapshot);
  document.title = `${firing && `(${firing}) `}metalscope${system ? ` · ${system.host}` : ""}`;
}

function showConnection() {
  const isPast = !page.window().isLive;
  const shown = connection !== "live" ? connection : page.isPaused() ? "paused" : isPast ? "past" : "live";
  const pill = $("connection");
  if (pill.dataset.state === shown) return;
  // Read out only what is worth an interruption: not each reconnection attempt.
  if (shown !== "connecting" && pill.dataset.state !== "connecting") setText($("announcer"), CONNECTION_TEXT[shown]);
  pill.dataset.state = shown;
  setText($("connection-text"), CONNECTION_TEXT[shown]);
}

// -- views -------------------------------------------------------------------------------------

function showViews(views, here) {
  const links = views.map(({ id, title }) => {
    const link = el("a", { href: page.address.of(id), data: { view: id } }, title);
    setAttribute(link, "aria-current", id === here ? "page" : null);
    return link;
  });
  const hadFocus = $("views").contains(document.activeElement);
  $("views").replaceChildren(...links);
  const chosen = links.find((link) => link.dataset.view === here);
  // Along the strip alone: the page itself stays where it is.
  if (chosen) $("views").scrollLeft = chosen.offsetLeft - $("views").clientWidth / 2;
  if (hadFocus) chosen?.focus();
}

async function navigate() {
  const views = viewsOf(page.about);
  const wanted = views.find((view) => view.id === page.address.view) ?? views[0];
  const turn = ++asked;
  showViews(views, wanted.id);
  showHosts();
  time.show();
  showConnection();
  if (current?.id === wanted.id) {
    if (current.view.look) current.view.look();
    else page.again();
    page.drawSoon();
    return;
  }
  let createView;
  try {
    ({ createView } = await wanted.load());
  } catch {
    createView = () => notLoaded(wanted);
  }
  if (turn === asked) enter(wanted, createView);
}

function enter(wanted, createView) {
  current?.view.leave?.();
  const isOverview = wanted.id === "overview";
  const view = isOverview ? (overview ??= createView(page)) : createView(page, wanted);
  const isFirst = current === null;
  current = { id: wanted.id, view };
  $("overview").hidden = !isOverview;
  $("view").hidden = isOverview;
  const heading = el("h2", { class: "visually-hidden" }, wanted.title);
  $("view").replaceChildren(...(isOverview ? [] : [heading, view.node]));
  view.enter?.();
  // Read out where one is now; at the beginning the browser reads the document.
  if (!isFirst) setText($("announcer"), wanted.title);
  page.drawSoon();
}

// A browser keeps in mind that a module could not be had, until the document is loaded anew.
function notLoaded({ title }) {
  const text = `${title} could not be loaded. Load the page anew when the program answers again.`;
  return { node: el("p", { class: "notice", role: "alert" }, text), draw() {} };
}

function showHosts() {
  const place = $("host");
  place.parentElement.hidden = !page.isFleet;
  if (!page.isFleet) return;
  // The address may name one that has gone.
  const hosts = [...new Set(["", ...page.about.hosts, page.host()])];
  const shown = JSON.stringify(hosts);
  if (place.dataset.hosts !== shown) {
    place.replaceChildren(...hosts.map((host) => el("option", { value: host }, host || "All hosts")));
    place.dataset.hosts = shown;
  }
  place.value = page.host();
}
$("host").addEventListener("change", () => page.address.set({ host: $("host").value || null }));

// -- controls ----------------------------------------------------------------------------------

function togglePause() {
  if (page.isPaused()) page.resume();
  else page.pause();
  $("pause").setAttribute("aria-pressed", String(page.isPaused()));
  setText($("pause"), page.isPaused() ? "Resume" : "Pause");
  showConnection();
  page.drawSoon();
}
$("pause").addEventListener("click", togglePause);

$("skip").addEventListener("click", (event) => {
  event.preventDefault();
  $("content").focus();
});

// A browser's navigation carries no key.
for (const link of document.querySelectorAll(".bottom a")) {
  link.addEventListener("click", (event) => {
    if (!hasKey()) return;
    event.preventDefault();
    openWithKey(link.getAttribute("href"), link.textContent);
  });
}

setUpTheme($("theme"), () => {
  current?.view.redraw?.();
});

const numbered = (number) => () => {
  const view = viewsOf(page.about)[number];
  if (view) location.hash = page.address.of(view.id);
};
const focusFilter = () => {
  const filters = [...document.querySelectorAll("main input[type=search]")];
  filters.find((filter) => filter.checkVisibility())?.focus();
};
const openKeys = setUpKeyboard([
  ...Array.from({ length: 9 }, (_, n) => ({ key: String(n + 1), says: `View ${n + 1}`, act: numbered(n) })),
  { key: "p", says: "Pause, or resume", act: togglePause },
  { key: "[", says: "A shorter range", act: () => time.widen(-1) },
  { key: "]", says: "A longer range", act: () => time.widen(1) },
  { key: ",", says: "Back by one span", act: () => time.move(-1) },
  { key: ".", says: "Forth by one span", act: () => time.move(1) },
  { key: "/", says: "Into the filter", act: focusFilter },
  { key: "t", says: "Another theme", act: () => $("theme").click() },
  { key: "?", says: "This list", act: () => openKeys() },
]);
$("keys").addEventListener("click", () => openKeys());

// -- the beginning -----------------------------------------------------------------------------

let learning = 0;

async function learn() {
  clearTimeout(learning);
  if (await page.learn()) navigate();
  else if (connection !== "lost") learning = setTimeout(learn, LEARN_AGAIN_MS);
}

follow("api/v1/events", {
  recent: (data) => takeRecent(page.live, data),
  snapshot: (data) => {
    takeSnapshot(page.live, data);
    if (!page.isPaused()) page.drawSoon();
  },
  event: (data) => {
    takeEvent(page.live, data);
    if (!page.isPaused()) page.drawSoon();
  },
  connection: (now) => {
    // The first time it is asked below, at once.
    const isBack = now === "live" && connection !== "live" && connection !== "connecting";
    connection = now;
    showConnection();
    // Another program may answer now, or this one with another past.
    if (isBack) learn();
  },
});

navigate();
learn();
