"""The daemon that every participant runs: bytes in, session, bytes out, and a journal of both."""
