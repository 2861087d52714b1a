// Which operation is chosen, as the address has it: execute:matmul, with the device behind a third
// colon where it is that of one device alone, and the host behind a fourth.

const escaped = (part) => part.replaceAll("%", "%25").replaceAll(":", "%3A");
const plain = (part) => part.replaceAll("%3A", ":").replaceAll("%25", "%");

/** {kind, name, device, host} of the address; device and host are null where any will do. */
export function chosenOf(text) {
  if (!text) return null;
  const [kind, name, device, host] = text.split(":").map(plain);
  if (name === undefined) return { kind: null, name: kind, device: null, host: null };
  return { kind, name, device: device ?? null, host: host ?? null };
}

export function textOf({ kind, name, device, host }) {
  const parts = [kind, name, device ?? ""];
  if (host) parts.push(host);
  return parts.map(escaped).join(":");
}

export const fits = (chosen, row) =>
  ["kind", "name", "device", "host"].every((part) => chosen[part] === null || chosen[part] === row[part]);

/** What the past is asked for. */
export const patternsOf = (chosen) =>
  chosen === null
    ? {}
    : { kind: chosen.kind, name: chosen.name, device: chosen.device, ...(chosen.host && { host: chosen.host }) };

export const titleOf = (chosen) => (chosen === null ? "All operations" : chosen.name);

/** What there is to say beside the name. */
export const placeOf = (chosen) =>
  chosen === null ? "" : [chosen.kind, chosen.device, chosen.host].filter(Boolean).join(" · ");
