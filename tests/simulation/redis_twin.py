"""As much of a Redis as leases need, at the other end of a wire."""

from __future__ import annotations

from simulated_world import Wire, World

from server.storage.faults import StorageError


class RedisTwin:
    """Keys with times to live, by the clock of the simulation."""

    def __init__(self, world: World) -> None:
        self._now = world.loop.time
        self._keys: dict[str, tuple[bytes, float]] = {}

    async def call(self, command: str, key: str, *rest: object) -> object:
        """Carry out one command, as Redis does: wholly, at one moment."""
        value, until = self._keys.get(key, (b"", 0.0))
        present = until > self._now()
        match command, rest:
            case "GET", ():
                return value if present else None
            case "SET", (str(token), "NX", "PX", int(ms)):
                if present:
                    return None
                self._keys[key] = (token.encode(), self._now() + ms / 1000)
                return b"OK"
            case "PEXPIRE", (int(ms),):
                if present:
                    self._keys[key] = (value, self._now() + ms / 1000)
                return int(present)
            case "DEL", ():
                self._keys.pop(key, None)
                return int(present)
        raise StorageError("reply", f"ERR unknown command {command}")


class FarRedis:
    """What a node speaks through."""

    def __init__(self, twin: RedisTwin, world: World) -> None:
        self._twin = twin
        self.wire = Wire(world, lambda: StorageError("timeout"), patience_s=0.5)

    async def call(self, *command: object) -> object:
        """Send one command; raises `StorageError` when there is no reply."""
        return await self.wire.call(lambda: self._twin.call(*command))
