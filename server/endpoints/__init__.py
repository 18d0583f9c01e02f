"""The doors: WebSocket, Server-Sent Events, probes, metrics, pages."""
