/** Single-letter keys: when they are meant, and when they are letters. */

/** Whether what is typed now belongs to a field. */
export function isTyping(target: EventTarget | null): boolean {
  return (
    target instanceof HTMLElement &&
    (target.isContentEditable || target.matches("input, textarea, select"))
  );
}

/** Whether a key is pressed by itself: no shortcut of the browser, no input method at work. */
export function isPlain(event: {
  ctrlKey: boolean;
  metaKey: boolean;
  altKey: boolean;
  isComposing: boolean;
}): boolean {
  return !event.ctrlKey && !event.metaKey && !event.altKey && !event.isComposing;
}
