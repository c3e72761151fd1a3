"""The local rules of `simplify`, by what they are about; importing them enters them."""

from mgrad.transforms.rewrites import arithmetic, logic, movement, sums

__all__ = ["arithmetic", "logic", "movement", "sums"]
