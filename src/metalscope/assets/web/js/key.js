// The key of whoever looks, where the server asks for one. It stays in this tab, and goes to this
// server only: in a header, and for the event stream, which takes none, as a ticket for one use.

import { el, setText } from "./dom.js";

const PLACE = "metalscope-key";
const TICKETS = "api/v1/tickets";
const REFUSED = {
  401: "This key is not known here, or has ended.",
  403: "This key may not read this page: it needs the role viewer or more.",
  429: "Too many wrong keys. Wait a minute, then try again.",
};

let key = stored();
let asking = null;

function stored() {
  try {
    return sessionStorage.getItem(PLACE);
  } catch {
    return null; // a browser that keeps nothing
  }
}

function keep(text) {
  key = text;
  try {
    if (text === null) sessionStorage.removeItem(PLACE);
    else sessionStorage.setItem(PLACE, text);
  } catch {
    // It lives as long as the page then.
  }
}

const authorization = (text) => (text ? { authorization: `Bearer ${text}` } : {});

const ticketFor = (text) => fetch(TICKETS, { method: "POST", headers: authorization(text) });

export const hasKey = () => key !== null;

/** Fetch what a link leads to with the key, and have it saved: a navigation would carry none. */
export async function openWithKey(address, name) {
  const answer = await fetchWithKey(address);
  if (!answer.ok) return;
  const link = el("a", { href: URL.createObjectURL(await answer.blob()), download: `metalscope-${name}` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** fetch with the key. Where the server wants one, or another, it is asked for, and tried again. */
export async function fetchWithKey(address, init = {}) {
  for (;;) {
    const sent = key;
    const answer = await fetch(address, { ...init, headers: { ...init.headers, ...authorization(sent) } });
    if (answer.status !== 401) return answer;
    await another(sent);
  }
}

/** Where the event stream is: with a ticket, if there is a key. Fails where there is no server. */
export async function addressOfEvents(url) {
  while (key) {
    const sent = key;
    const answer = await ticketFor(sent);
    if (answer.ok) return `${url}?ticket=${encodeURIComponent((await answer.json()).ticket)}`;
    if (!(answer.status in REFUSED)) break; // 404: nobody is asked for a key any more
    await another(sent, REFUSED[answer.status]);
  }
  return url;
}

/** Whether a stream could not be opened for want of a key. */
export async function wantsKey(url) {
  if (key) return false;
  const answer = await fetch(url, { method: "HEAD" });
  return answer.status === 401;
}

export const askForKey = () => another(null);

/** Resolves when there is another key than the one that was refused. */
async function another(refused, why = refused ? REFUSED[401] : "") {
  if (key !== refused) return;
  asking ??= ask(why).finally(() => (asking = null));
  await asking;
}

function ask(why) {
  keep(null);
  const said = el("p", { class: "key-said", role: "alert" }, why);
  const field = el("input", {
    type: "password",
    id: "key",
    autocomplete: "off",
    spellcheck: "false",
    required: "",
    "aria-describedby": "key-hint",
  });
  const button = el("button", { class: "button", type: "submit" }, "Sign in");
  const form = el(
    "form",
    {},
    el("h2", { id: "key-title" }, "This server asks for a key"),
    el("p", { class: "quiet", id: "key-hint" }, "metalscope keys create makes one. It is forgotten with this tab."),
    el("label", { for: "key" }, "Key"),
    field,
    said,
    button,
  );
  const dialog = el("dialog", { class: "key-dialog", "aria-labelledby": "key-title" }, form);
  // There is nothing behind it to go back to.
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  // A browser may close it all the same when Escape is pressed again.
  dialog.addEventListener("close", () => dialog.isConnected && dialog.showModal());
  document.body.append(dialog);
  dialog.showModal();
  field.focus();
  return new Promise((resolve) => {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      button.disabled = true;
      const failure = await refusalOf(field.value.trim());
      button.disabled = false;
      if (failure) {
        setText(said, failure);
        field.select();
        return;
      }
      keep(field.value.trim());
      dialog.remove();
      resolve();
    });
  });
}

async function refusalOf(text) {
  if (!/^[\x21-\x7e]+$/.test(text)) return REFUSED[401]; // not to be put into a header
  try {
    const answer = await ticketFor(text);
    return answer.ok ? null : (REFUSED[answer.status] ?? `The server answered ${answer.status}.`);
  } catch {
    return "The server did not answer.";
  }
}
