// Elements without a framework: made once, and touched only where something changed.

/** Make an element: h("p", {class: "x", text: "..."}, child, ...); `on` has listeners. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "text") element.textContent = value;
    else if (key === "on")
      for (const [name, call] of Object.entries(value)) element.addEventListener(name, call);
    else if (key === "data") Object.assign(element.dataset, value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Set an element's text if it is another. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Set a data attribute if it is another. */
export function setData(element, key, value) {
  if (element.dataset[key] !== value) element.dataset[key] = value;
}

/** Show or hide. */
export function show(element, isShown) {
  if (element.hidden === isShown) element.hidden = !isShown;
}

/**
 * Keep a list of parts in step with a list of values, by key: parts that stay are updated in place.
 * A part has .element and .update(value).
 */
export function keep(container, parts, values, keyOf, make) {
  const seen = new Set();
  let before = null;
  for (const value of values) {
    const key = keyOf(value);
    if (seen.has(key)) continue;
    seen.add(key);
    let part = parts.get(key);
    if (!part) {
      part = make(value);
      parts.set(key, part);
    }
    const wanted = before ? before.nextElementSibling : container.firstElementChild;
    if (part.element !== wanted) container.insertBefore(part.element, wanted);
    part.update(value);
    before = part.element;
  }
  for (const [key, part] of parts) {
    if (!seen.has(key)) {
      part.element.remove();
      part.close?.();
      parts.delete(key);
    }
  }
}
