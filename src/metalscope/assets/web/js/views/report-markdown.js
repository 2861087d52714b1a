// Reads the Markdown that reports are written in: headings, tables, lists and lines.

/**
 * [{level, title, blocks}…]; a block is {type: "table", head, rows}, {type: "list", items} or
 * {type: "line", text}.
 */
export function readMarkdown(text) {
  const sections = [];
  let blocks = [];
  for (const line of text.split("\n")) {
    const heading = /^(#{1,6}) (.*)$/.exec(line);
    if (heading) {
      blocks = [];
      sections.push({ level: heading[1].length, title: plain(heading[2]), blocks });
    } else if (line.startsWith("|")) takeRow(blocks, line);
    else if (line.startsWith("- ")) takeItem(blocks, plain(line.slice(2)));
    else if (line.trim()) blocks.push({ type: "line", text: plain(line) });
    else blocks.push({ type: "gap" });
  }
  for (const section of sections) section.blocks = section.blocks.filter(({ type }) => type !== "gap");
  return sections;
}

function takeRow(blocks, line) {
  const cells = cellsOf(line);
  const open = blocks.at(-1);
  if (open?.type !== "table") {
    blocks.push({ type: "table", head: cells, rows: [] });
    return;
  }
  const isRule = open.rows.length === 0 && !open.isRuled && cells.every((cell) => /^:?-+:?$/.test(cell));
  if (isRule) open.isRuled = true;
  else open.rows.push(cells);
}

function takeItem(blocks, item) {
  const open = blocks.at(-1);
  if (open?.type === "list") open.items.push(item);
  else blocks.push({ type: "list", items: [item] });
}

/** The cells of a row: a bar with a backslash before it is of the text. */
function cellsOf(line) {
  const cells = line.match(/(?:\\.|[^|\\])+/g) ?? [];
  return cells.map((cell) => plain(cell.trim()));
}

const NAMED = { "&lt;": "<", "&amp;": "&" };

/** Text without what Markdown needed to leave it as it is. */
export function plain(text) {
  return text.replace(/\\([\\|`])|&(?:lt|amp);/g, (found, escaped) => escaped ?? NAMED[found]);
}
