// Building and updating the document. Text goes in as text: names of kernels are anyone's input.

/** An element with properties and children; strings become text nodes. */
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name === "class") node.className = value;
    else if (name === "data") Object.assign(node.dataset, value);
    else if (name in node && typeof value !== "string") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/** Write text only where it changed, so that a still number costs nothing and selections live. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(node, name, value) {
  if (value === null || value === undefined || value === "") {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/**
 * Show a formatted value in a node: {text, unit?, title?, absent?}. What is absent is a dash that
 * says why; it is never a zero.
 */
export function show(node, value) {
  if (node.childNodes.length !== 1 || node.firstChild.nodeType !== Node.TEXT_NODE) {
    node.textContent = "";
    node.append(document.createTextNode(""));
  }
  if (node.firstChild.data !== value.text) node.firstChild.data = value.text;
  setAttribute(node, "title", value.title);
  setAttribute(node, "aria-label", value.absent ? `not known: ${value.title}` : null);
  node.classList.toggle("absent", Boolean(value.absent));
}

/**
 * Keep a container's children in step with a list of items.
 * make(item) gives {node, update(item)}; parts are kept by key and only moved where the order changed.
 */
export function keyedList(container, keyOf, make) {
  const parts = new Map();
  return (items) => {
    const wanted = new Set();
    let cursor = container.firstChild;
    for (const item of items) {
      const key = keyOf(item);
      if (wanted.has(key)) continue;
      wanted.add(key);
      let part = parts.get(key);
      if (!part) {
        part = make(item);
        parts.set(key, part);
      }
      part.update(item);
      if (part.node === cursor) cursor = cursor.nextSibling;
      else container.insertBefore(part.node, cursor);
    }
    for (const [key, part] of parts) {
      if (wanted.has(key)) continue;
      part.node.remove();
      parts.delete(key);
    }
  };
}

/** A sentence in place of what is not there yet, and the content once it is. */
export function emptyOr(container, sentence, content) {
  const empty = el("p", { class: "quiet" }, sentence);
  container.append(empty, content);
  return (isEmpty) => {
    empty.hidden = !isEmpty;
    content.hidden = isEmpty;
  };
}
