"""`struct`: the standard library's `dataclass`, for frozen values of which each request makes several.

A frozen one sets every field through a function call, and so takes five times as long to make; twenty of them were a
twentieth of what a request costs. These are frozen to the type checker alone, which reads all of the code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["struct"]

if TYPE_CHECKING:
    from dataclasses import dataclass as struct
else:
    from dataclasses import dataclass

    def struct(*, frozen: bool, slots: bool) -> object:
        """With the equality and the hash of a frozen one."""
        return dataclass(slots=slots, unsafe_hash=frozen)
