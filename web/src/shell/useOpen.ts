import { useEffect, useState } from "react";

/** Whether something is open. Escape closes it, wherever the focus is. */
export function useOpen(): [boolean, (change: boolean | ((before: boolean) => boolean)) => void] {
  const [open, setOpen] = useState(false);
  useEffect(() => {
    if (!open) return;
    const keyDown = (event: KeyboardEvent): void => {
      if (event.key === "Escape") setOpen(false);
    };
    document.addEventListener("keydown", keyDown);
    return () => document.removeEventListener("keydown", keyDown);
  }, [open]);
  return [open, setOpen];
}
