/** What a connection needs of the world; the page hands in the browser, tests something tamer. */

export interface SocketLike {
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  readyState: number;
  send(frame: string): void;
  close(code?: number): void;
}
export interface Surroundings {
  connect: (address: string, subprotocol: string) => SocketLike;
  setTimer: (act: () => void, ms: number) => number;
  clearTimer: (timer: number) => void;
  /** A number from 0 up to, but not including, 1. */
  random: () => number;
  /** Where the API key is kept, for as long as the tab lives. */
  token: { get: () => string | null; set: (token: string | null) => void };
}
