"""Print all figures."""

from bench import inside, served

inside.main()
served.main()
