"""Our own engine: a worker process on this machine, or threads in this process."""
