import { Component } from "react";
import type { ReactNode } from "react";

interface ContainedProps {
  /** What could not be shown, for the sentence that stands in its place. */
  instead: string;
  children: ReactNode;
}

/** Keeps a failure to draw one part from taking the whole page, and what was typed, with it. */
export class Contained extends Component<ContainedProps, { failed: boolean }> {
  override state = { failed: false };

  static getDerivedStateFromError(): { failed: boolean } {
    return { failed: true };
  }

  override render(): ReactNode {
    if (!this.state.failed) return this.props.children;
    return <p role="alert">{this.props.instead} could not be shown.</p>;
  }
}
