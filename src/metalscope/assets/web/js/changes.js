// What the page asks the program to change. It goes to the page's own origin only.

import { fetchWithKey } from "./key.js";

const SILENCE_S = 3600;
const WHO = "dashboard";
const MOST_COMMENT = 200;

/** Resolves to {ok, data} or {ok: false, why}, and never fails. */
export async function ask(address, method = "GET", body = undefined) {
  const sent = body && { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
  try {
    const answer = await fetchWithKey(address, { method, ...sent });
    const data = await answer.json();
    return answer.ok ? { ok: true, data } : { ok: false, why: data.detail ?? `answered ${answer.status}` };
  } catch {
    return { ok: false, why: "the program did not answer" };
  }
}

const addressOf = (alert) => `api/v1/alerts/${encodeURIComponent(alert.id)}`;

export const fetchAlert = (id) => ask(addressOf({ id }));
export const acknowledge = (alert) => ask(`${addressOf(alert)}/acknowledge`, "POST", { by: WHO });
export const unacknowledge = (alert) => ask(`${addressOf(alert)}/acknowledge`, "DELETE");
export const endSilence = (silence) => ask(`api/v1/silences/${encodeURIComponent(silence.id)}`, "DELETE");

/** Quiet for this rule with these labels, however grave it gets; for an hour where nothing is said. */
export function silence(alert, { seconds = SILENCE_S, comment = alert.title } = {}) {
  return ask("api/v1/silences", "POST", {
    matchers: [["alertname", alert.rule], ...Object.entries(alert.labels)].map(matcher),
    duration: seconds,
    created_by: WHO,
    // Whole characters: half of one is no text.
    comment: [...comment.replaceAll(/[\p{Cc}\p{Cs}]/gu, " ")].slice(0, MOST_COMMENT).join(""),
  });
}

function matcher([name, value]) {
  const escaped = value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
  return `${name}="${escaped}"`;
}
