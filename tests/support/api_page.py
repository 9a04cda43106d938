"""Makes docs/api.md from the docstrings of the public names: `python tests/support/api_page.py` writes it again."""

import inspect
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
PACKAGES = ("bus", "bus.columns", "bus.database", "bus.http", "bus.testing", "bus.testing.fixtures")
INTRODUCTION = """\
# The library's public names

Made from the docstrings; change those and run `python tests/support/api_page.py`. Everything that is not here is
private and may change. [Writing a service](writing-a-service.md) shows how the names are used, and
[Testing a service](testing.md) those of `bus.testing`.
"""


def api_page() -> str:
    """The whole page."""
    return "\n".join([INTRODUCTION, *(_package(import_module(name)) for name in PACKAGES)])


def _package(module: ModuleType) -> str:
    sections = (_section(name, getattr(module, name)) for name in sorted(_names(module), key=str.casefold))
    return "\n".join([f"## {module.__name__}\n", *sections])


def _names(module: ModuleType) -> list[str]:
    """Its public names; those of `bus.testing.fixtures` are the fixtures."""
    return getattr(module, "__all__", None) or [name for name, value in vars(module).items() if _is_fixture(value)]


def _is_fixture(value: Any) -> bool:
    return type(value).__name__ == "FixtureFunctionDefinition"


def _section(name: str, value: Any) -> str:
    if _is_fixture(value):
        return f"### {name}\n\nA fixture. {_words(value)}"
    if isinstance(value, type):
        members = [f"- `{_member(value, each)}`: {_indented(_words(member))}\n" for each, member in _members(value)]
        return f"### {name}\n\n{_declared(name, value)}{_words(value)}" + "\n" * bool(members) + "".join(members)
    if callable(value):
        return f"### {name}\n\n`{name}{_signature(value)}`\n\n{_words(value)}"
    return f"### {name}\n\n{_comment_above(name, value)}\n"


def _comment_above(name: str, value: object) -> str:
    """What is written above a name that is neither a class nor a function, in the module of the library that has it."""
    for module in [each for each in sys.modules.values() if each.__name__.partition(".")[0] == "bus"]:
        if vars(module).get(name) is not value:
            continue
        source = inspect.getsource(module)
        if found := re.search(rf"((?:^# .*\n)+){name}\b.* = ", source, re.MULTILINE):
            return found[1].replace("# ", "").strip()
    raise LookupError(f"{name} has no comment above its definition")


def _declared(name: str, value: type) -> str:
    """How an object of the class is made, where that is for authors to do."""
    is_positional_struct = hasattr(value, "__struct_fields__") and value.__match_args__ == value.__struct_fields__ != ()
    if "__init__" in vars(value) or hasattr(value, "__dataclass_fields__") or is_positional_struct:
        return f"`{name}{_signature(value)}`\n\n"
    return ""


def _members(value: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties that the library declares for it, without those of other public classes."""
    seen = set()
    public = [getattr(import_module(package), name) for package in PACKAGES for name in _names(import_module(package))]
    for owner in value.__mro__:
        if owner.__module__.partition(".")[0] == "bus" and (owner is value or owner not in public):
            for name, member in vars(owner).items():
                is_ours = inspect.isfunction(member) or isinstance(member, property | classmethod)
                if is_ours and not name.startswith("_") and name not in seen and inspect.getdoc(member):
                    seen.add(name)
                    yield name, member


def _member(owner: type, name: str) -> str:
    member = inspect.getattr_static(owner, name)
    return name if isinstance(member, property) else f"{name}{_signature(getattr(owner, name))}"


def _signature(function: Any) -> str:
    """The parameters without their types, as a caller writes them."""
    parameters = [each for each in inspect.signature(function).parameters.values() if each.name != "self"]
    bare = [each.replace(annotation=inspect.Parameter.empty, default=_default(each)) for each in parameters]
    return re.sub(r"'(\w+|…)'", r"\1", str(inspect.Signature(bare)))


def _default(parameter: inspect.Parameter) -> Any:
    """A default that is not a plain value is shown as an ellipsis, since its text differs from run to run."""
    is_plain = parameter.default is parameter.empty or isinstance(parameter.default, str | int | float | None)
    return parameter.default if is_plain else "…"


def _words(value: Any) -> str:
    """The docstring; a list under `Raises:` and the like becomes one in Markdown."""
    text = inspect.getdoc(value) or ""
    section = re.compile(r"^(Raises|Yields|Returns):\n((?:[ ]{4}.*\n?)+)", re.MULTILINE)

    def as_list(found: re.Match[str]) -> str:
        entries = re.sub(r"\n {5,}", " ", inspect.cleandoc(found[2]).replace("\n    ", "\n         ")).splitlines()
        return f"{found[1]}:\n\n" + "".join(f"- {entry}\n" for entry in entries)

    return f"{section.sub(as_list, text).strip()}\n"


def _indented(text: str) -> str:
    """A text inside an entry of a list."""
    return re.sub(r"\n(?=.)", "\n  ", text.strip())


if __name__ == "__main__":
    sys.path.insert(0, str(PAGE.parents[1]))
    PAGE.write_text(api_page(), encoding="utf-8")
