"""How a kernel becomes machine code: what its callers copy, and what they only call.

numba copies the code of every callee into each caller and optimises it there again, level by level. A kernel that is
too large to be copied with profit is compiled once instead: callers hold its symbol, which the linker resolves. The
symbol is the same in every process, so that the code of a caller that one process has compiled fits the code of a
callee that another one has.
"""

from __future__ import annotations

import hashlib
from typing import Any

import llvmlite.binding
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler import Flags as NumbaFlags
from numba.core.typed_passes import NopythonRewrites

from streamlearn.kernels import cache as kernel_cache

COPIED_INSTRUCTIONS = 150
"""Instructions of the largest kernel that is copied into its callers."""


class KernelLibrary(JITCodeLibrary):
    """The machine code of one compiled signature that other kernels call."""

    def _get_module_for_linking(self) -> Any:
        self._ensure_finalized()
        if self._shared_module is None and _is_large(self._final_module):
            self._shared_module = llvmlite.binding.parse_assembly(str(self._codegen._create_empty_module(self.name)))
        return super()._get_module_for_linking()


def _is_large(module: Any) -> bool:
    count = 0
    for function in module.functions:
        for block in function.blocks:
            count += sum(1 for _ in block.instructions)
            if count > COPIED_INSTRUCTIONS:
                return True
    return False


class Flags(NumbaFlags):
    """numba's flags, compared quickly: numba does it for every operator that it looks up, option by option."""

    __slots__ = ()

    _hash = hash(NumbaFlags())

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        own: Any = self
        if isinstance(other, Flags) and own._values == other._values:
            return True
        return super().__eq__(other)


class KernelCompiler(CompilerBase):
    """numba's passes, with a symbol and a library of our own."""

    caller = ""
    library_class = JITCodeLibrary

    def _compile_core(self) -> Any:
        state: Any = self.state
        state.flags = Flags(state.flags)
        return super()._compile_core()

    def define_pipelines(self) -> list[Any]:
        state: Any = self.state
        function = state.func_id.func
        if kernel_cache.covers(function):
            code = function.__code__
            text = f"{self.caller}\0{code.co_firstlineno}\0".encode() + code.co_code
            state.func_id.unique_id = hashlib.blake2b(text, digest_size=8).hexdigest()
        if state.library is None:
            state.library = self.library_class(state.targetctx.codegen(), state.func_id.func_qualname)
            state.library.enable_object_caching()
        passes = DefaultPassBuilder.define_nopython_pipeline(state)
        # It looks for expressions over whole arrays, of which kernels have none.
        passes.passes = [each for each in passes.passes if each[0] is not NopythonRewrites]
        return [passes]


class PythonCompiler(KernelCompiler):
    """Compiles what Python calls."""

    caller = "python"


class InnerCompiler(KernelCompiler):
    """Compiles what other kernels call."""

    caller = "kernel"
    library_class = KernelLibrary
