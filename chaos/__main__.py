"""Play every scenario, or those that are named; with ``--defects`` see what each notices."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from chaos import (
    celery_amnesia,
    celery_children,
    celery_kills,
    celery_line,
    celery_restarts,
    celery_tokens,
    embedded,
    hang,
    kills,
    kinds,
    poison,
    resume,
    shutdown,
    stage,
)
from chaos.inquiry import inquire

SCENARIOS: Sequence[stage.Scenario] = (
    *(kills, embedded, poison, resume, shutdown, hang, kinds),
    *(celery_kills, celery_children, celery_restarts, celery_amnesia),
    *(celery_line, celery_tokens),
)


def main() -> int:
    names = [stage.name_of(scenario) for scenario in SCENARIOS]
    parser = stage.parser()
    parser.add_argument("names", nargs="*", choices=[[], *names], metavar="scenario")
    parser.add_argument("--defects", action="store_true", help="check the checker instead")
    options = parser.parse_args()
    chosen = [each for each in SCENARIOS if stage.name_of(each) in (options.names or names)]
    return inquire(chosen) if options.defects else stage.run(chosen, options)


if __name__ == "__main__":
    sys.exit(main())
