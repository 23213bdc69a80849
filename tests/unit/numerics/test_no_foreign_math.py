"""State is computed without exponentials, logarithms, powers and sums of libm, numpy or BLAS.

Their last bits depend on the CPU. Checked in the sources of encoder and learner, and in the machine code of every
kernel.
"""

from __future__ import annotations

import ast
import re

import pytest

from streamlearn.kernels.cache import PACKAGE
from tests.unit.kernels.cold_start import ColdStart

FUNCTIONS = {
    *("sum", "nansum", "mean", "nanmean", "average", "median", "var", "std", "prod", "trace"),
    *("dot", "vdot", "inner", "outer", "matmul", "tensordot", "einsum", "convolve", "correlate", "cov", "corrcoef"),
    *(
        "exp",
        "exp2",
        "expm1",
        "log",
        "log2",
        "log10",
        "log1p",
        "logaddexp",
        "logaddexp2",
        "power",
        "float_power",
        "pow",
    ),
    *("sin", "cos", "tan", "sinh", "cosh", "tanh", "arcsin", "arccos", "arctan", "arctan2", "arctanh", "cbrt", "hypot"),
    *("asin", "acos", "atan", "atan2", "atanh", "erf", "erfc", "gamma", "lgamma", "fsum", "dist", "sumprod"),
    *("interp", "polyval", "softmax", "logsumexp", "expit", "logit"),
}
METHODS = {"sum", "mean", "dot", "var", "std", "prod", "trace"}
MODULES = {"np", "numpy", "math", "cmath", "scipy"}
FOLDERS = ("kernels", "numerics", "encoder", "learner")


def is_whole(node: ast.expr) -> bool:
    """Return whether an element of a sum is certainly an integer: a size, a length, a truth value."""
    if isinstance(node, ast.Attribute):
        return node.attr in ("nbytes", "size", "itemsize")
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in ("len", "int")
    return isinstance(node, ast.Compare) or (isinstance(node, ast.Constant) and isinstance(node.value, int))


def fault(node: ast.AST) -> str | None:
    """Return what is forbidden about a node of a syntax tree."""
    if isinstance(node, ast.Attribute) and node.attr in FUNCTIONS:
        root = node.value
        while isinstance(root, ast.Attribute):
            root = root.value
        if isinstance(root, ast.Name) and root.id in MODULES:
            return ast.unparse(node)
    if isinstance(node, ast.Attribute) and node.attr == "linalg":
        return ast.unparse(node)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
        return f".{node.func.attr}()"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("sum", "pow"):
        # Python 3.12 adds floats with compensation, Python 3.11 without.
        (first, *_) = node.args
        if not (isinstance(first, ast.GeneratorExp | ast.ListComp) and is_whole(first.elt)):
            return f"{node.func.id}()"
    if isinstance(node, ast.ImportFrom) and node.module in ("math", "numpy", "scipy.special"):
        names = FUNCTIONS & {alias.name for alias in node.names}
        return f"from {node.module} import {min(names)}" if names else None
    if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.MatMult):
        return "@"
    if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Pow):
        exponent = node.right if isinstance(node, ast.BinOp) else node.value
        if isinstance(exponent, ast.UnaryOp):
            exponent = exponent.operand
        if not (isinstance(exponent, ast.Constant) and type(exponent.value) is int):
            return "** with an exponent that is not an integer literal"
    return None


def faults(text: str) -> list[str]:
    return [
        f"line {getattr(node, 'lineno', 0)}: {found}" for node in ast.walk(ast.parse(text)) if (found := fault(node))
    ]


@pytest.mark.parametrize(
    "text",
    [
        *("np.sum(x)", "np.mean(x, axis=0)", "x.sum()", "x[0].mean()", "x.dot(y)", "a @ b", "a @= b", "np.exp(x)"),
        *(
            "math.log(x)",
            "math.exp(x)",
            "x ** y",
            "x ** 0.5",
            "x **= y",
            "np.dot(a, b)",
            "np.linalg.norm(x)",
            "pow(x, y)",
        ),
        *("from math import exp", "numpy.log1p(x)", "sum(weights)", "sum(w for w in x)", "f = np.tanh", "math.fsum(x)"),
    ],
)
def test_forbidden_calls_are_found(text):
    assert faults(text)


@pytest.mark.parametrize(
    "text",
    [
        *("x ** 2", "2.0 ** -40", "np.sqrt(x)", "exp32(x)", "log64(y)", "sum(a.nbytes for a in x)", "np.zeros(3)"),
        *("sum(len(a) for a in x)", "np.cumsum(counts)", "summary.total()", "f(**named)", "sum(a is None for a in x)"),
    ],
)
def test_allowed_calls_are_not(text):
    assert faults(text) == []


@pytest.mark.parametrize(
    "path",
    sorted(path for folder in FOLDERS for path in (PACKAGE / folder).rglob("*.py")),
    ids=lambda path: path.relative_to(PACKAGE).as_posix(),
)
def test_sources_have_no_foreign_math(path):
    assert faults(path.read_text()) == []


FOREIGN_SYMBOL = re.compile(
    r"""^_*(llvm\.)?
    ( (exp|exp2|exp10|expm1|log|log2|log10|log1p|pow|powi|powidf2|powisf2|tgamma|lgamma|erf|erfc|hypot|cbrt
       |a?(sin|cos|tan)h?|atan2|sincos|fma|fmuladd)(f|l|)(\..*)?(@PLT)?$
    | numba_(xx|cpow|erf|lgamma|gamma|expm1|log1p|hypot)   # BLAS and special functions that numba bundles
    | (c?blas|lapack|[sdcz](dot|gem[mv]|axpy|nrm2))
    | svml | ZGV                                           # vector libraries
    )""",
    re.VERBOSE,
)


def foreign_symbols(kernel: dict) -> list[str]:
    return [symbol for symbol in kernel["symbols"] if FOREIGN_SYMBOL.match(symbol)]


@pytest.fixture(scope="module")
def reports(cold_start: ColdStart) -> dict[str, dict]:
    """Reports of `tests/unit/kernels/machine_code.py`, compiled for this CPU and for a generic one."""
    return {"host": cold_start.host, "generic": cold_start.generic}


@pytest.mark.timeout(1200)
def test_the_state_has_the_same_bits_on_a_generic_cpu(reports):
    assert reports["host"]["learned"] > 1000
    assert reports["host"]["clusters"] > 1
    for key in (
        "hash",
        "experts",
        "neighbours",
        "label_trees",
        "joint",
        "learned_pool",
        "page_hinkley",
        "ihomer",
        "learned",
    ):
        assert reports["generic"][key] == reports["host"][key]


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("target", ["host", "generic"])
def test_all_kernels_were_compiled_and_their_code_is_readable(reports, target):
    kernels = reports[target]["kernels"]
    assert len(kernels) > 50
    assert [name for name, kernel in kernels.items() if kernel["signatures"] == 0] == []
    assert [name for name, kernel in kernels.items() if not kernel["readable"]] == []


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("target", ["host", "generic"])
def test_machine_code_calls_no_foreign_math(reports, target):
    found = {name: foreign_symbols(kernel) for name, kernel in reports[target]["kernels"].items()}
    assert {name: symbols for name, symbols in found.items() if symbols} == {}


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("target", ["host", "generic"])
def test_machine_code_fuses_no_multiplication_with_an_addition(reports, target):
    assert [name for name, kernel in reports[target]["kernels"].items() if kernel["fused"]] == []


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("target", ["host", "generic"])
def test_foreign_math_in_a_kernel_is_found(reports, target):
    found = set(foreign_symbols(reports[target]["foreign"]))
    assert {"exp", "log", "pow", "tanh", "numba_xxdot"} <= found
