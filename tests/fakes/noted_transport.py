"""The end of a connection where a real socket cannot be made to do it: bad timing, and cuts."""

import asyncio


class NotedTransport(asyncio.Transport):
    """Notes what is done with it, and tells nobody."""

    def __init__(self):
        super().__init__()
        self.written, self.paused, self.ended = b"", False, False

    def write(self, data):
        self.written += data

    def pause_reading(self):
        self.paused = True

    def resume_reading(self):
        self.paused = False

    def is_closing(self):
        return self.ended

    def abort(self):
        self.ended = True

    def close(self):
        self.abort()
