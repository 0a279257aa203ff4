"""The store on Redis, for more than one machine."""

from .store import RedisStore as RedisStore
