"""The doors: HTTP, command line, and how a system is put together."""
