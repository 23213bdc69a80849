"""States as kernels see them: one pointer to a block of memory that describes the arrays.

To numba a named tuple is a value: each array in it is seven or more values, and every call passes all of them on. For a
state of two hundred arrays that is most of the machine code, of the time to compile it and of the cost of a call. Here
the wrapper that takes Python objects apart writes the arrays' descriptions into one block of its own, nested states in
their place, and kernels pass a pointer to it. Nothing writes to the block afterwards, which loads from it say, so that
they move out of loops.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.core.datamodel.registry import register_default
from numba.core.imputils import lower_getattr_generic
from numba.core.pythonapi import NativeValue, unbox
from numba.core.typing.templates import AttributeTemplate
from numba.core.typing.typeof import typeof
from numba.extending import infer_getattr

_WORD_BYTES = 8
_ARRAY_WORDS = 5
_DATA, _SHAPE = 4, 5
_WORD = ir.IntType(64)
_POINTER = ir.IntType(8).as_pointer()


class StateType(types.Type):
    """The type of a named tuple of arrays, numbers and such tuples.

    Two tuples have the same type when class, field names and field types are the same. ``places`` has type and place of
    each field by name, in words from the block's beginning; ``words`` is the block's size.
    """

    def __init__(self, python_class: str, fields: Iterable[tuple[str, types.Type]]) -> None:
        self.places: dict[str, tuple[types.Type, int]] = {}
        self.words = 0
        described = [python_class]
        for name, kind in fields:
            self.places[name] = kind, self.words
            self.words += _words(kind)
            described.append(f"{name}:{type(kind).__name__}:{kind}")
        digest = hashlib.blake2b("\0".join(described).encode(), digest_size=8).hexdigest()
        super().__init__(f"{python_class.rpartition('.')[2]}_{digest}")


def _words(kind: types.Type) -> int:
    if isinstance(kind, StateType):
        return kind.words
    return _ARRAY_WORDS + 2 * kind.ndim if isinstance(kind, types.Array) else 1


def type_of(value: Any) -> types.Type:
    """Return the type of an argument of a kernel."""
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        python: Any = type(value)
        kinds = [type_of(each) for each in value]
        if all(isinstance(kind, (StateType, types.Array, types.Number)) for kind in kinds):
            return StateType(f"{python.__module__}.{python.__qualname__}", zip(python._fields, kinds, strict=True))
    return typeof(value)


@register_default(StateType)
class _StateModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: StateType) -> None:
        super().__init__(dmm, fe_type, _POINTER)

    def from_argument(self, builder: Any, value: Any) -> Any:
        """Say of a kernel's own argument that it is safe to read at any place, and written by nobody."""
        if isinstance(value, ir.Argument):
            value.add_attribute("noalias")
            value.attributes.dereferenceable = self.fe_type.words * _WORD_BYTES
        return value


@infer_getattr
class _StateAttributes(AttributeTemplate):
    key = StateType

    def generic_resolve(self, state: StateType, attribute: str) -> types.Type | None:
        found = state.places.get(attribute)
        return found[0] if found is not None else None


def _at(builder: Any, block: Any, place: int) -> Any:
    return builder.gep(block, [ir.Constant(_WORD, place * _WORD_BYTES)], inbounds=True)


def _load(builder: Any, block: Any, place: int, kind: Any) -> Any:
    loaded = builder.load(builder.bitcast(_at(builder, block, place), kind.as_pointer()), align=_WORD_BYTES)
    loaded.set_metadata("invariant.load", builder.module.add_metadata([]))
    return loaded


@lower_getattr_generic(StateType)
def _load_field(context: Any, builder: Any, state: StateType, block: Any, attribute: str) -> Any:
    kind, place = state.places[attribute]
    if isinstance(kind, StateType):
        return _at(builder, block, place)
    if not isinstance(kind, types.Array):
        data = _load(builder, block, place, context.get_data_type(kind))
        return context.data_model_manager[kind].from_data(builder, data)
    model = context.data_model_manager[kind]
    structure = model.get_value_type()
    item_bytes = ir.Constant(_WORD, context.get_abi_sizeof(context.get_data_type(kind.dtype)))
    shape = [_load(builder, block, place + _SHAPE + axis, _WORD) for axis in range(kind.ndim)]
    if kind.layout == "C":
        strides = [item_bytes]
        for size in reversed(shape[1:]):
            strides.insert(0, builder.mul(strides[0], size))
        items = shape[0]
        for size in shape[1:]:
            items = builder.mul(items, size)
    else:
        strides = [_load(builder, block, place + _SHAPE + kind.ndim + axis, _WORD) for axis in range(kind.ndim)]
        items = _load(builder, block, place + 2, _WORD)
    values = {
        "nitems": items,
        "itemsize": item_bytes,
        "data": _load(builder, block, place + _DATA, structure.elements[model.get_field_position("data")]),
        "shape": cgutils.pack_array(builder, shape),
        "strides": cgutils.pack_array(builder, strides),
    }
    array = ir.Constant(structure, None)
    for name, value in values.items():
        array = builder.insert_value(array, value, model.get_field_position(name))
    return array


@unbox(StateType)
def _write_block(kind: StateType, value: Any, c: Any) -> NativeValue:
    size = ir.ArrayType(_WORD, kind.words)
    block = c.builder.bitcast(cgutils.alloca_once(c.builder, size), _POINTER)
    failed = _write_fields(kind, value, block, 0, c)
    with c.builder.if_then(failed, likely=False):
        c.pyapi.err_set_string("PyExc_TypeError", "a state holds something that is not an array")
    return NativeValue(block, is_error=failed)


def _write_fields(state: StateType, value: Any, block: Any, start: int, c: Any) -> Any:
    failed = cgutils.false_bit
    for index, (kind, place) in enumerate(state.places.values()):
        item = c.pyapi.tuple_getitem(value, index)
        if isinstance(kind, StateType):
            wrong = _write_fields(kind, item, block, start + place, c)
        elif isinstance(kind, types.Array):
            code = c.pyapi.numba_array_adaptor(item, _at(c.builder, block, start + place))
            wrong = cgutils.is_not_null(c.builder, code)
        else:
            native = c.unbox(kind, item)
            data = c.context.data_model_manager[kind].as_data(c.builder, native.value)
            target = c.builder.bitcast(_at(c.builder, block, start + place), data.type.as_pointer())
            c.builder.store(data, target, align=_WORD_BYTES)
            wrong = native.is_error
        failed = c.builder.or_(failed, wrong)
    return failed
