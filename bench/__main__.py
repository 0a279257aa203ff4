"""Print all figures but those of a thousand watchers: ``python -m bench.watchers``."""

from bench import ends, inside, processes, served

inside.main()
served.main()
processes.main()
ends.main()
