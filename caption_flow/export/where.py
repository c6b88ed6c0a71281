"""Export: which rows are meant, as a condition in Python's words over their columns.

`width >= 512 and "stop" in finish_reasons and not contains(captions, "watermark")`: read by
Python's own parser, and worked out by Arrow for many rows at once; nothing of it is run as code.
What is null equals nothing, and is neither less nor more.
"""

import ast
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, TypeGuard

import pyarrow as pa
import pyarrow.compute as pc

from caption_flow.errors import ConfigError
from caption_flow.export.terms import COMPARED, FUNCTIONS, SUMS, Value, inverted, negative, truth

_LONGEST = 10_000  # characters
_SHOWN = 200  # of these, where a mistake is told
_MOST_TERMS = 1000  # of an expression, which are worked out one in another


class Condition:
    """What rows must fulfil; the columns that it needs are in `columns`."""

    def __init__(self, text: str, schema: pa.Schema) -> None:
        """Read a condition; ConfigError where it cannot be, or does not fit the columns."""
        self._text = text
        self._said = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
        self._tree = self._parsed()
        self.columns = frozenset(_names(self._tree))
        for name in sorted(self.columns.difference(schema.names)):
            raise ConfigError(f"--where: {unknown_column(name, schema.names)}")
        self.holds(pa.RecordBatch.from_pylist([], schema=schema))

    def holds(self, rows: pa.RecordBatch) -> pa.Array:
        """Tell of each row whether it fulfils this."""
        try:
            found = truth(_Worked(rows).out(self._tree))
        except RecursionError as exc:
            raise ConfigError(f"--where: {self._said}: it is nested too deep.") from exc
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as exc:
            raise ConfigError(f"--where: {self._said}: {' '.join(str(exc).split())}") from exc
        if isinstance(found, pa.Array):
            return found
        return pa.array([found] * rows.num_rows, pa.bool_())

    def _parsed(self) -> ast.expr:
        if len(self._text) > _LONGEST:
            raise ConfigError(f"--where: it is longer than {_LONGEST:,} characters.")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of "\\d", which is what is meant
                tree = ast.parse(self._text.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError) as exc:
            hint = ' "==" compares, and texts stand in quotes, as in model == "a/b".'
            raise ConfigError(f"--where: {self._said} cannot be read ({exc}).{hint}") from exc
        if sum(1 for _ in ast.walk(tree)) > _MOST_TERMS:
            raise ConfigError(f"--where: it has more than {_MOST_TERMS:,} terms.")
        return tree


class _Worked:
    """Works a condition out over some rows."""

    def __init__(self, rows: pa.RecordBatch) -> None:
        self._rows = rows

    def out(self, node: ast.expr) -> Value:
        work = _KINDS.get(type(node))
        if work is None:
            raise TypeError(f'"{ast.unparse(node)}" is not understood')
        value = work(self, node)
        return value.as_py() if isinstance(value, pa.Scalar) else value

    def constant(self, node: Any) -> Value:
        return node.value

    def name(self, node: Any) -> Value:
        return self._rows.column(node.id)

    def collection(self, node: Any) -> Value:
        raise TypeError(f'a list as "{ast.unparse(node)}" stands only after "in"')

    def negated(self, node: Any) -> Value:
        value = self.out(node.operand)
        if isinstance(node.op, ast.Not):
            return inverted(truth(value))
        if isinstance(node.op, ast.USub):
            return negative(value) if isinstance(value, pa.Array) else -value
        raise TypeError(f'"{ast.unparse(node)}" is not understood')

    def joined(self, node: Any) -> Value:
        join = pc.and_ if isinstance(node.op, ast.And) else pc.or_
        found = truth(self.out(node.values[0]))
        for one in node.values[1:]:
            found = join(found, truth(self.out(one)))
        return found

    def sum(self, node: Any) -> Value:
        work = SUMS.get(type(node.op))
        if work is None:
            raise TypeError(f'"{ast.unparse(node)}" is not understood')
        return work(self.out(node.left), self.out(node.right))

    def compared(self, node: Any) -> Value:
        """Compare as Python does: 1 < width < 9 too."""
        found: Value = True
        left = self.out(node.left)
        for operation, right_node in zip(node.ops, node.comparators, strict=True):
            among = isinstance(operation, ast.In | ast.NotIn) and isinstance(right_node, _LISTS)
            right = self._listed(right_node) if among else self.out(right_node)
            found = pc.and_(found, COMPARED[type(operation)](left, right))
            left = right
        return found

    def called(self, node: Any) -> Value:
        name = node.func.id if isinstance(node.func, ast.Name) else ast.unparse(node.func)
        if _is_column(node):
            return self._rows.column(str(node.args[0].value))
        function = FUNCTIONS.get(name)
        if function is None or node.keywords:
            known = ", ".join(sorted([*FUNCTIONS, "column"]))
            raise TypeError(f'there is no function "{name}"; there are {known}')
        return function(*(self.out(one) for one in node.args))

    def _listed(self, node: Any) -> list[Value]:
        return [self.out(one) for one in node.elts]


_LISTS = (ast.List, ast.Tuple, ast.Set)
_KINDS: Mapping[type, Callable[[_Worked, Any], Value]] = {
    ast.Constant: _Worked.constant,
    ast.Name: _Worked.name,
    ast.List: _Worked.collection,
    ast.Tuple: _Worked.collection,
    ast.Set: _Worked.collection,
    ast.UnaryOp: _Worked.negated,
    ast.BoolOp: _Worked.joined,
    ast.BinOp: _Worked.sum,
    ast.Compare: _Worked.compared,
    ast.Call: _Worked.called,
}


def _names(tree: ast.expr) -> Iterator[str]:
    """Name the columns that a condition needs."""
    functions = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and id(node) not in functions:
            yield node.id
        elif _is_column(node):
            yield str(node.args[0].value)


def _is_column(node: Any) -> TypeGuard[Any]:
    """Whether this names a column whose name is no word of Python's: column("my name")."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "column"
        and len(node.args) == 1
        and isinstance(node.args[0], ast.Constant)
    )


def unknown_column(name: str, names: Sequence[str]) -> str:
    """Say that there is no such column, and which is nearest."""
    near = get_close_matches(name, names, n=1)
    hint = f'did you mean "{near[0]}"?' if near else f"there are {', '.join(names)}."
    return f'no column is called "{name}"; {hint}'
