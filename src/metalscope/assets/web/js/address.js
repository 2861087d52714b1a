// What the address says: which view, of which time, and what is chosen in it. An address that is
// passed on shows the same.
//
//   #/operations?range=1h&operation=execute:matmul     the last hour, as it goes on
//   #/memory?since=1764370000&until=1764373600         one hour that is over
//   #alert=<id>                                        what messages of alerts link to

export const FIRST_VIEW = "overview";

/** {view, params} of a hash; an address that names no view is of the first one. */
export function parse(hash) {
  const [, view, query] = /^#\/([a-z0-9-]*)(?:\?(.*))?$/.exec(hash) ?? [];
  return { view: view || FIRST_VIEW, params: new URLSearchParams(query ?? "") };
}

export function format({ view, params }) {
  const query = params.toString();
  return `#/${view}${query && `?${query}`}`;
}

/** Follows the address: onChange() after each change of it, by whomever. */
export function createAddress(onChange) {
  let now = parse(location.hash);
  addEventListener("hashchange", () => {
    now = parse(location.hash);
    onChange();
  });

  const go = (next, { push }) => {
    const hash = format(next);
    if (hash === format(now)) return;
    now = next;
    if (push) history.pushState(null, "", hash);
    else history.replaceState(null, "", hash);
    onChange();
  };

  return {
    get view() {
      return now.view;
    },
    get params() {
      return now.params;
    },
    /** Set parameters, or take those away whose value is null; a step to go back to, if `push`. */
    set(changes, { push = false } = {}) {
      const params = new URLSearchParams(now.params);
      for (const [name, value] of Object.entries(changes)) {
        if (value === null || value === "") params.delete(name);
        else params.set(name, value);
      }
      go({ view: now.view, params }, { push });
    },
    /** The hash of another view, of the same time and host. */
    of(view, changes = {}) {
      const params = new URLSearchParams();
      for (const name of SHARED) if (now.params.has(name)) params.set(name, now.params.get(name));
      for (const [name, value] of Object.entries(changes)) params.set(name, value);
      return format({ view, params });
    },
  };
}

/** What goes along from one view to the next. */
const SHARED = ["range", "since", "until", "compare", "host"];
