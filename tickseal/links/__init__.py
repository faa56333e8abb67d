"""Links: the only place of the library with sockets and asyncio."""
