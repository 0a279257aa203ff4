"""A task's arguments and results as typed JSON that arrives as it was given.

``Signature`` writes and reads them; ``hint`` says which types can travel, ``obstacle`` what in a
value cannot, ``likeness`` whether what arrives is what was given, and ``refusal`` words it all.
"""

from .signature import Limits, Signature

__all__ = ["Limits", "Signature"]
