"""Compilation of a kernel to machine code: which callees are linked into their callers, and which are called.

numba links the code of every callee into each caller and optimises it there again, level by level. A large kernel is
compiled once instead: its callers refer to its symbol, which the linker resolves. The symbol is the same in every
process, so a caller that one process has compiled can call a callee that another process has compiled.
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

MAX_LINKED_IN_INSTRUCTIONS = 150
"""Instructions of the largest kernel that is linked into its callers."""


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
            if count > MAX_LINKED_IN_INSTRUCTIONS:
                return True
    return False


class Flags(NumbaFlags):
    """numba's flags with a fast comparison: numba compares them for every operator, option by option."""

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
    """numba's compiler with a symbol and a library class of our own."""

    caller = ""
    library_class = JITCodeLibrary

    def _compile_core(self) -> Any:
        state: Any = self.state
        state.flags = Flags(state.flags)
        return super()._compile_core()

    def define_pipelines(self) -> list[Any]:
        state: Any = self.state
        function = state.func_id.func
        if kernel_cache.has_hashed_source(function):
            code = function.__code__
            text = f"{self.caller}\0{code.co_firstlineno}\0".encode() + code.co_code
            state.func_id.unique_id = hashlib.blake2b(text, digest_size=8).hexdigest()
        if state.library is None:
            state.library = self.library_class(state.targetctx.codegen(), state.func_id.func_qualname)
            state.library.enable_object_caching()
        passes = DefaultPassBuilder.define_nopython_pipeline(state)
        # This pass rewrites expressions over whole arrays; kernels have none.
        passes.passes = [each for each in passes.passes if each[0] is not NopythonRewrites]
        return [passes]


class PythonCompiler(KernelCompiler):
    """Compiles kernels for calls from Python."""

    caller = "python"


class InnerCompiler(KernelCompiler):
    """Compiles kernels for calls from other kernels."""

    caller = "kernel"
    library_class = KernelLibrary
