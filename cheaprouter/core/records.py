"""`dataclass`, as the type checker knows it and at a third of what it costs a start.

The standard library's writes and compiles the source of up to eight methods for each class: 0.6 to 1.1 ms, and there are well
over a hundred. Here only `__init__` is compiled; equality, hash and text are plain functions over the fields' names. `frozen` is
held by mypy, which sees every line that could assign; at run time it would make each object four times as dear as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]

if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    import dataclasses
    from operator import attrgetter

    def dataclass(cls: type | None = None, /, *, frozen: bool = False, eq: bool = True, slots: bool = False) -> Any:
        """As `dataclasses.dataclass`; a class's own methods win, and `fields`, `replace` and `asdict` know the class."""
        if cls is None:
            return lambda decorated: dataclass(decorated, frozen=frozen, eq=eq, slots=slots)
        made = dataclasses.dataclass(cls, repr=False, eq=False, slots=slots)
        own = vars(cls)
        for name, method in _methods(made, frozen=frozen, eq=eq).items():
            if own.get(name) is None:
                setattr(made, name, method)
        return made

    def _methods(cls: type, *, frozen: bool, eq: bool) -> dict[str, Any]:
        fields = dataclasses.fields(cls)
        shown = tuple(field.name for field in fields if field.repr)

        def text(self: Any) -> str:
            return f"{cls.__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"

        if not eq:
            return {"__repr__": text}
        compared = [field.name for field in fields if field.compare]
        values = attrgetter(*compared) if compared else lambda _: ()

        def equal(self: Any, other: object) -> Any:
            return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

        def hashed(self: Any) -> int:
            return hash(values(self))

        return {"__repr__": text, "__eq__": equal, "__hash__": hashed if frozen else None}
