"""The law of sizes: short functions, modules and methods, no circle of imports, tests by room."""

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from statistics import median

import pytest

import awac_dist
from awac_dist.algorithms import METHODS

ROOT = Path(awac_dist.__file__).parent
TESTS = Path(__file__).parents[1]
FUNCTION_LINES, MODULE_LINES = 40, 300
METHOD_LINES, METHOD_LINES_MEDIAN = 150, 100
OUTSIDE = {"cluster", "laws"}  # tests of cluster/ and docker/, and of the whole
IN_WORK: set[str] = set()  # to become shorter, soon
MODULES = sorted(ROOT.rglob("*.py"))


def long_functions(source: str) -> list[str]:
    """Functions and methods of more lines than are legal, docstrings and decorators aside."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[ast.get_docstring(node) is not None :]
            body = (first[-1].end_lineno or 0) - first[0].lineno + 1 if first else 0
            lines = node.body[0].lineno - node.lineno + body
            found += [f"{node.name}: {lines} lines"] * (lines > FUNCTION_LINES)
    return found


def imported(tree: ast.Module) -> Iterator[str]:
    """Names that a module imports, at once or in a function, but not for types only."""
    for node in ast.walk(ast.parse(ast.unparse(_Executed().visit(tree)))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield from (f"{node.module}.{alias.name}", str(node.module))


class _Executed(ast.NodeTransformer):
    """Leaves out what only a type checker reads."""

    def visit_If(self, node: ast.If) -> ast.stmt:
        return ast.Pass() if ast.unparse(node.test) == "TYPE_CHECKING" else node


def circle(sources: dict[str, str]) -> list[str]:
    """Modules, by name and source, that import each other in a circle; none if there is none."""
    needs = {
        module: set(imported(ast.parse(source))) & sources.keys() - {module}
        for module, source in sources.items()
    }
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def named(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


@pytest.mark.parametrize("path", MODULES, ids=named)
def test_functions_and_modules_are_short(path: Path) -> None:
    source = path.read_text()
    within = len(source.splitlines()) <= MODULE_LINES and not long_functions(source)
    assert within or named(path) in IN_WORK


def test_methods_are_short() -> None:
    lines = [
        len((ROOT.parent / f"{place.split(':')[0].replace('.', '/')}.py").read_text().splitlines())
        for place in METHODS.values()
    ]
    assert median(lines) < METHOD_LINES_MEDIAN
    assert max(lines) <= METHOD_LINES


def test_no_module_imports_itself_in_a_circle() -> None:
    assert circle({named(path): path.read_text() for path in MODULES}) == []


def test_tests_mirror_the_rooms() -> None:
    rooms = {path.stem for path in ROOT.iterdir()}
    tests = {path.parent.name for path in TESTS.glob("*/test_*.py")}
    assert tests <= rooms | OUTSIDE
    assert not list(TESTS.glob("test_*.py"))


def test_the_walk_sees_what_it_should() -> None:
    long = "def long():\n    '''Says.\n\n    More.\n    '''\n" + "    pass\n" * FUNCTION_LINES
    assert long_functions(long) == ["long: 41 lines"]
    assert long_functions(long.replace("    pass\n", "", 1)) == []
    late = "def f():\n    import a.b\n"
    typed = "if TYPE_CHECKING:\n    import a.b\n"
    sources = {"a.b": "import a.c", "a.c": "from a import d", "a.d": "from a.b import x"}
    assert sorted(set(circle(sources))) == ["a.b", "a.c", "a.d"]
    assert circle(sources | {"a.d": late})
    assert circle(sources | {"a.d": typed}) == []
