import { beforeEach, describe, expect, it } from "vitest";
import { Connection, HELD_RETRY_MS, isReady, LONGEST_RETRY_MS, OFFLINE_AFTER_MS } from "./connection";
import type { SocketLike } from "./surroundings";

/** Timers that move only when told, and sockets that the test opens and closes. */
class World {
  now = 0;
  timers = new Map<number, { at: number; act: () => void }>();
  sockets: FakeSocket[] = [];
  key: string | null = null;
  private nextTimer = 1;

  connection = new Connection("ws://test/ws", {
    connect: (address, subprotocol) => {
      const socket = new FakeSocket(address, subprotocol);
      this.sockets.push(socket);
      return socket;
    },
    setTimer: (act, ms) => {
      this.timers.set(this.nextTimer, { at: this.now + ms, act });
      return this.nextTimer++;
    },
    clearTimer: (timer) => this.timers.delete(timer),
    random: () => 0.5,
    token: { get: () => this.key, set: (key) => (this.key = key) },
  });

  get socket(): FakeSocket {
    return this.sockets.at(-1)!;
  }

  get link(): string {
    return this.connection.getState().link;
  }

  advance(ms: number): void {
    const until = this.now + ms;
    for (;;) {
      const due = [...this.timers].filter(([, timer]) => timer.at <= until).sort((a, b) => a[1].at - b[1].at)[0];
      if (due === undefined) break;
      this.timers.delete(due[0]);
      this.now = due[1].at;
      due[1].act();
    }
    this.now = until;
  }
}

class FakeSocket implements SocketLike {
  onopen = null;
  onmessage: ((event: never) => void) | null = null;
  onclose: ((event: never) => void) | null = null;
  readyState = 1;
  sent: string[] = [];
  closed = false;

  constructor(
    readonly address: string,
    readonly subprotocol: string,
  ) {}

  send(frame: string): void {
    this.sent.push(frame);
  }

  close(): void {
    this.closed = true;
  }

  say(event: object): void {
    this.onmessage?.({ data: JSON.stringify(event) } as never);
  }

  greet(facts: object = {}): void {
    const session = { scenarios: ["general"], ping_interval_s: 20, limits: {}, ...facts };
    this.say({ type: "session.created", session });
  }

  end(code: number): void {
    this.onclose?.({ code } as never);
  }
}

let world: World;
beforeEach(() => {
  world = new World();
  world.connection.start();
});

describe("connecting", () => {
  it("offers the subprotocol and is open once greeted", () => {
    expect(world.socket.subprotocol).toBe("manicule.v1");
    expect(world.link).toBe("connecting");
    expect(world.connection.send({ type: "ping" })).toBe(false);
    world.socket.greet();
    expect(world.link).toBe("open");
    expect(world.connection.send({ type: "ping" })).toBe(true);
  });

  it("gives up an attempt that nobody answers", () => {
    const first = world.socket;
    world.advance(9_000);
    expect(first.closed).toBe(true);
    expect(world.sockets.length).toBe(2);
  });
});

describe("a lost connection", () => {
  it("is reconnecting, then offline after 10 s, and comes back by itself", () => {
    world.socket.greet();
    world.socket.end(1006);
    expect(world.link).toBe("reconnecting");
    const until = world.now + OFFLINE_AFTER_MS;
    while (world.now < until - 100) {
      if (world.sockets.at(-1)!.onclose !== null) world.socket.end(1006);
      world.advance(50);
      expect(world.link).toBe("reconnecting");
    }
    world.advance(100);
    expect(world.link).toBe("offline");
    world.socket.end(1006);
    world.advance(LONGEST_RETRY_MS);
    world.socket.greet();
    expect(world.link).toBe("open");
  });

  it("waits longer after each failure, up to a limit", () => {
    world.socket.greet();
    const waits: number[] = [];
    for (let round = 0; round < 9; round += 1) {
      const before = world.sockets.length;
      const lostAt = world.now;
      world.socket.end(1006);
      while (world.sockets.length === before) world.advance(10);
      waits.push(world.now - lostAt);
    }
    expect(waits).toEqual([...waits].sort((a, b) => a - b));
    expect(waits[0]).toBeLessThan(500);
    expect(waits.at(-1)).toBeLessThanOrEqual(LONGEST_RETRY_MS);
  });

  it("is noticed when a ping has no answer", () => {
    world.socket.greet();
    const first = world.socket;
    world.advance(20_000);
    expect(first.sent).toEqual(['{"type":"ping"}']);
    world.advance(5_000);
    expect(first.closed).toBe(true);
    expect(world.link).toBe("reconnecting");
  });

  it("stays when the ping is answered", () => {
    world.socket.greet();
    for (let round = 0; round < 5; round += 1) {
      world.advance(20_000);
      world.socket.say({ type: "pong" });
    }
    expect([world.link, world.sockets.length]).toEqual(["open", 1]);
  });
});

describe("close codes", () => {
  it.each([4429, 4509])("%i does not reconnect at once", (code) => {
    world.socket.greet();
    world.socket.end(code);
    expect(world.link).toBe("held");
    world.advance(HELD_RETRY_MS);
    expect(world.sockets.length).toBe(1);
    world.advance(HELD_RETRY_MS / 2 + 1);
    expect(world.sockets.length).toBe(2);
  });

  it("lets the person try sooner", () => {
    world.socket.greet();
    world.socket.end(4429);
    world.connection.retryNow();
    expect([world.link, world.sockets.length]).toEqual(["reconnecting", 2]);
  });

  it.each([4401, 4403])("%i does not reconnect by itself", (code) => {
    world.socket.greet();
    world.socket.end(code);
    world.advance(600_000);
    expect([world.link, world.sockets.length]).toEqual(["denied", 1]);
  });

  it("1013 waits longer than a plain loss", () => {
    world.socket.greet();
    world.socket.end(1013);
    world.advance(1_000);
    expect(world.sockets.length).toBe(1);
    world.advance(2_500);
    expect(world.sockets.length).toBe(2);
  });
});

describe("a server that goes away", () => {
  it("is left when asked, and the next greeting clears it", () => {
    world.socket.greet();
    world.connection.moveOn();
    world.advance(10_000);
    expect(world.sockets.length).toBe(1);
    world.socket.say({ type: "session.go_away", reason: "deploy", time_left_ms: 25_000 });
    expect(world.connection.getState().goingAway).toBe(true);
    world.connection.moveOn();
    world.advance(4_000);
    expect(world.sockets.length).toBe(2);
    world.socket.greet();
    expect(world.connection.getState()).toMatchObject({ link: "open", goingAway: false });
  });
});

describe("frames", () => {
  it("that are not events are ignored", () => {
    const seen: string[] = [];
    world.connection.onEvent((event) => seen.push(event.type));
    for (const data of ["nonsense", "[]", "null", "3", '{"no":"type"}']) {
      world.socket.onmessage?.({ data } as never);
    }
    world.socket.greet();
    expect(seen).toEqual(["session.created"]);
  });
});

describe("a server that wants a key", () => {
  const unauthorized = { code: "unauthorized", message: "", retryable: false };
  const signIn = (): string | null => world.connection.getState().signIn;
  const sent = (): object[] => world.socket.sent.map((frame) => JSON.parse(frame) as object);

  it("and says so is asked for one at once, and waits for it in peace", () => {
    world.socket.greet({ needs_token: true });
    expect([signIn(), isReady(world.connection.getState())]).toEqual(["needed", false]);
    world.socket.say({ type: "error", error: unauthorized });
    world.socket.end(4401);
    expect([world.link, signIn()]).toEqual(["denied", "needed"]);
    world.connection.signIn("the key");
    world.socket.greet({ needs_token: true });
    expect(sent()).toEqual([{ type: "session.update", token: "the key" }]);
    expect(isReady(world.connection.getState())).toBe(true);
  });

  it("is asked for one at the first refusal, and given it", () => {
    world.socket.greet();
    expect(signIn()).toBe(null);
    world.socket.say({ type: "error", error: unauthorized });
    expect([signIn(), isReady(world.connection.getState())]).toEqual(["needed", false]);
    world.connection.signIn("the key");
    expect(sent()).toEqual([{ type: "session.update", token: "the key" }]);
    world.socket.say({ type: "session.updated", session: { scenarios: [], ping_interval_s: 20 } });
    expect([signIn(), isReady(world.connection.getState())]).toEqual([null, true]);
  });

  it("gets a key that is there before anything else", () => {
    world.key = "the key";
    world.connection.onState(() => world.connection.send({ type: "ping" }));
    world.socket.greet();
    expect(sent()[0]).toEqual({ type: "session.update", token: "the key" });
    expect(signIn()).toBe(null);
  });

  it("that refuses the key is told another one on a new connection", () => {
    world.key = "old";
    world.socket.greet();
    world.socket.say({ type: "error", error: unauthorized });
    world.socket.end(4401);
    expect([world.link, signIn(), world.key]).toEqual(["denied", "refused", null]);
    world.connection.signIn("new");
    expect(world.sockets.length).toBe(2);
    world.socket.greet();
    expect(sent()).toEqual([{ type: "session.update", token: "new" }]);
    expect(world.link).toBe("open");
  });

  it("asks for one also when it only closes", () => {
    world.socket.greet();
    world.socket.end(4401);
    expect(signIn()).toBe("needed");
  });
});
