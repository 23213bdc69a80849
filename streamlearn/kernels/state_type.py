"""The numba type of states: kernels get one pointer to a block of memory that describes the arrays.

In numba a named tuple is passed by value: each array in it is seven or more values, and every call passes all of them.
For a state of two hundred arrays this is most of the machine code, of the compile time and of the cost of a call. Here
the wrapper that unboxes Python objects writes the array descriptors into one block, those of nested states included,
and kernels pass a pointer to it. Nothing writes to the block afterwards: loads from it are marked invariant, so that
LLVM moves them out of loops.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from enum import IntEnum
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


class _ArrayWord(IntEnum):
    """Words of an array's descriptor, as ``numba_array_adaptor`` writes it; the strides follow the shape."""

    OWNER = 0  # memory owner of numba's runtime, not used
    PARENT = 1  # Python object, not used
    ITEMS = 2  # number of items
    ITEM_BYTES = 3
    DATA = 4  # pointer to the first item
    SHAPE = 5  # first of the dimensions


_WORD = ir.IntType(64)
_POINTER = ir.IntType(8).as_pointer()


class StateType(types.Type):
    """The type of a named tuple of arrays, numbers and such tuples.

    Two tuples have the same type when class, field names and field types are the same.

    Attributes
    ----------
    fields
        Type of each field and its offset in the block, in words.
    words
        Size of the block in words.
    """

    def __init__(self, python_class: str, named_types: Iterable[tuple[str, types.Type]]) -> None:
        self.fields: dict[str, tuple[types.Type, int]] = {}
        self.words = 0
        described = [python_class]
        for name, kind in named_types:
            self.fields[name] = kind, self.words
            self.words += _words(kind)
            described.append(f"{name}:{type(kind).__name__}:{kind}")
        digest = hashlib.blake2b("\0".join(described).encode(), digest_size=8).hexdigest()
        super().__init__(f"{python_class.rpartition('.')[2]}_{digest}")


def _words(kind: types.Type) -> int:
    if isinstance(kind, StateType):
        return kind.words
    return _ArrayWord.SHAPE + 2 * kind.ndim if isinstance(kind, types.Array) else 1


def type_of(value: Any) -> types.Type:
    """Return the numba type of an argument of a kernel."""
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
        """Mark the pointer argument of a kernel as not aliased and readable over the whole block."""
        if isinstance(value, ir.Argument):
            value.add_attribute("noalias")
            value.attributes.dereferenceable = self.fe_type.words * _WORD_BYTES
        return value


@infer_getattr
class _StateAttributes(AttributeTemplate):
    key = StateType

    def generic_resolve(self, state: StateType, attribute: str) -> types.Type | None:
        found = state.fields.get(attribute)
        return found[0] if found is not None else None


def _at(builder: Any, block: Any, offset: int) -> Any:
    return builder.gep(block, [ir.Constant(_WORD, offset * _WORD_BYTES)], inbounds=True)


def _load(builder: Any, block: Any, offset: int, kind: Any) -> Any:
    loaded = builder.load(builder.bitcast(_at(builder, block, offset), kind.as_pointer()), align=_WORD_BYTES)
    loaded.set_metadata("invariant.load", builder.module.add_metadata([]))
    return loaded


@lower_getattr_generic(StateType)
def _load_field(context: Any, builder: Any, state: StateType, block: Any, attribute: str) -> Any:
    kind, offset = state.fields[attribute]
    if isinstance(kind, StateType):
        return _at(builder, block, offset)
    if not isinstance(kind, types.Array):
        data = _load(builder, block, offset, context.get_data_type(kind))
        return context.data_model_manager[kind].from_data(builder, data)
    model = context.data_model_manager[kind]
    structure = model.get_value_type()
    item_bytes = ir.Constant(_WORD, context.get_abi_sizeof(context.get_data_type(kind.dtype)))
    shape = [_load(builder, block, offset + _ArrayWord.SHAPE + axis, _WORD) for axis in range(kind.ndim)]
    if kind.layout == "C":
        strides = [item_bytes]
        for size in reversed(shape[1:]):
            strides.insert(0, builder.mul(strides[0], size))
        items = shape[0]
        for size in shape[1:]:
            items = builder.mul(items, size)
    else:
        first = offset + _ArrayWord.SHAPE + kind.ndim
        strides = [_load(builder, block, first + axis, _WORD) for axis in range(kind.ndim)]
        items = _load(builder, block, offset + _ArrayWord.ITEMS, _WORD)
    values = {
        "nitems": items,
        "itemsize": item_bytes,
        "data": _load(builder, block, offset + _ArrayWord.DATA, structure.elements[model.get_field_position("data")]),
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
        c.pyapi.err_set_string("PyExc_TypeError", "a field of a state is not an array or number of the compiled type")
    return NativeValue(block, is_error=failed)


def _write_fields(state: StateType, value: Any, block: Any, start: int, c: Any) -> Any:
    failed = cgutils.false_bit
    for index, (kind, offset) in enumerate(state.fields.values()):
        item = c.pyapi.tuple_getitem(value, index)
        if isinstance(kind, StateType):
            wrong = _write_fields(kind, item, block, start + offset, c)
        elif isinstance(kind, types.Array):
            code = c.pyapi.numba_array_adaptor(item, _at(c.builder, block, start + offset))
            wrong = cgutils.is_not_null(c.builder, code)
        else:
            native = c.unbox(kind, item)
            data = c.context.data_model_manager[kind].as_data(c.builder, native.value)
            target = c.builder.bitcast(_at(c.builder, block, start + offset), data.type.as_pointer())
            c.builder.store(data, target, align=_WORD_BYTES)
            wrong = native.is_error
        failed = c.builder.or_(failed, wrong)
    return failed
