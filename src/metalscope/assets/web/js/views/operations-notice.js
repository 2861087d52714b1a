// What there is to say where a view has nothing to show.

import { setText } from "../dom.js";
import * as format from "../format.js";

/** Say why there is no past, or else `why`; without either there is no notice. */
export function showNotice(notice, page, why) {
  const isAsking = page.about === null;
  const said =
    isAsking ? "Asking what past there is…"
    : page.hasPast ? why
    : `There is no past to show: ${page.about.why || "the program keeps none"}.`;
  notice.className = isAsking ? "quiet" : "notice";
  notice.hidden = said === "";
  setText(notice, said);
}

/** readAt: when it was last read, s; null where it was not. */
export function cannotBeRead({ why }, readAt) {
  const since = readAt === null ? "" : ` What is shown is of ${format.moment(new Date(readAt * 1000))}.`;
  return `cannot be read now: ${why}.${since}`;
}
