// What the program predicts, in words: what, when, how sure, and what it rests on.

import { el, keyedList, setText } from "../dom.js";
import * as format from "../format.js";
import { createCard } from "./cards.js";
import { createFact, createText } from "./texts.js";

const SERIES_OF = { load: () => "operations", memory_exhausted: (subject) => subject };

export function createPredictions(page) {
  const list = el("ul", { class: "predictions" });
  const none = el("p", { class: "quiet" });
  const card = createCard("What the program expects", list, none);
  const keyOf = ({ kind, subject }) => JSON.stringify([kind, subject]);
  const update = keyedList(list, keyOf, (one) => createPrediction(page, one));
  return {
    node: card.node,
    draw() {
      // Of a fleet each host predicts for itself; a store of metrics does not have it.
      card.node.hidden = page.isFleet;
      const { snapshot } = page.state;
      const found = snapshot?.health.predictions ?? [];
      update(found);
      list.hidden = found.length === 0;
      none.hidden = found.length > 0;
      setText(none, snapshot ? NOTHING : "The program has not yet said what it expects.");
    },
  };
}

const NOTHING =
  "Nothing is predicted: no memory is about to run out, no component has failed, " +
  "and of load the past does not say enough. It is looked for every few minutes.";

function createPrediction(page, { kind, subject }) {
  const title = el("h3", {}, `${sentenceCase(format.words(kind))} · ${subject}`);
  const message = el("p");
  const facts = el("dl", { class: "facts" });
  const evidence = el("ul", { class: "evidence" });
  const node = el("li", { class: "prediction" }, title, message, facts, evidence);
  const series = SERIES_OF[kind]?.(subject);
  if (series) node.append(el("p", {}, el("a", { href: page.address.of("forecasts", { series }) }, "Its forecast")));
  const updateFacts = keyedList(facts, ([label]) => label, (fact) => createFact(fact));
  const updateEvidence = keyedList(evidence, (text) => text, createText);
  const update = (now) => {
    setText(message, now.message);
    updateFacts(factsOf(now));
    updateEvidence(now.evidence);
    evidence.hidden = now.evidence.length === 0;
  };
  return { node, update };
}

function factsOf({ kind, component, at, earliest, latest, confidence, value, lower, upper, unit }) {
  const figure = (number) => format.whole(format.figure(number, unit));
  const bounds = lower !== null && upper !== null ? ` (${figure(lower)} to ${figure(upper)})` : "";
  const sure = confidence === null ? "" : `${format.whole(format.share(confidence))} likely`;
  return [
    ["When", at && moment(at)],
    ["Between", earliest && `${moment(earliest)} and ${latest ? moment(latest) : "possibly never"}`],
    ["Within that", sure],
    [kind === "failure_risk" ? "Likelihood" : "Then", value !== null && `${figure(value)}${bounds}`],
    ["Component", component],
  ].filter(([, text]) => text);
}

const moment = (text) => format.moment(new Date(text));
const sentenceCase = (text) => text.charAt(0).toUpperCase() + text.slice(1);
