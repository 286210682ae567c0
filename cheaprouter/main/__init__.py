"""The process: parts put together, sockets, the command line."""
