"""Print all figures but those of a thousand watchers: ``python -m bench.watchers``."""

from bench import inside, served

inside.main()
served.main()
