"""Start each monster so many times, with innocent jobs before and after it."""

from __future__ import annotations

import sys

from chaos.journal import note
from chaos.lair import app, die, fail, innocent, outlast, survive
from chaos.monsters import DYING, FAILING, OUTLASTING, SURVIVING, Monster
from flask_backburner.task import Task

ENDINGS: tuple[tuple[Task[[str], int], dict[str, Monster]], ...] = (
    (outlast, OUTLASTING),
    (die, DYING),
    (fail, FAILING),
    (survive, SURVIVING),
)


def main(rounds: int) -> None:
    with app.app_context():
        for _ in range(rounds):
            for task, monsters in ENDINGS:
                for kind in monsters:
                    note("acknowledged", task.delay(kind).id, word=kind)
                    note("acknowledged", innocent.delay().id, word="innocent")


if __name__ == "__main__":
    main(int(sys.argv[1]))
