import { AppShell } from "@mantine/core";
import type { ReactNode } from "react";
import type { ConnectionState } from "../protocol/connection";
import { ColorScheme } from "./ColorScheme";
import { Help } from "./Help";
import { LinkBanner, LinkState } from "./LinkState";
import { Mark } from "./Mark";

interface ShellProps {
  state: ConnectionState;
  retry: () => void;
  /** What stands in the header before the state of the link. */
  badge: ReactNode;
  /** What is said above the room. */
  notes: ReactNode;
  children: ReactNode;
}

/** What every room of the application stands in: the header, the state of the link, the room. */
export function Shell({ state, retry, badge, notes, children }: ShellProps) {
  return (
    <AppShell header={{ height: 56 }} padding={0}>
      <a className="skip-link" href="#room">
        Skip to the conversation
      </a>
      <AppShell.Header className="shell-header">
        <a className="brand" href="/" aria-label="manicule, start page">
          <Mark size={30} />
          <span>manicule</span>
        </a>
        <div className="shell-tools">
          {badge}
          <LinkState state={state} />
          <Help />
          <ColorScheme />
        </div>
      </AppShell.Header>
      <AppShell.Main id="room" tabIndex={-1}>
        <div className="banner-place">
          <LinkBanner state={state} retry={retry} />
          {notes}
        </div>
        {children}
      </AppShell.Main>
    </AppShell>
  );
}
