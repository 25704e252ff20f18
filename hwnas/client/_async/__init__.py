"""The client for ``asyncio``; the one beside it, without, is generated from this one."""
