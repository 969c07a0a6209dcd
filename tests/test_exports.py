"""The public names: few, importable, and documented."""

import importlib
import importlib.resources
import inspect

import pytest

import hubbub
import hubbub.errors
import hubbub.wire

MODULES = ("hubbub", "hubbub.errors", "hubbub.wire")


def test_there_are_few_public_names() -> None:
    assert len(hubbub.__all__) <= 32
    assert list(hubbub.__all__) == sorted(
        hubbub.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name)
    )
    assert len(set(hubbub.__all__)) == len(hubbub.__all__)


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_there_and_says_what_it_is(module: str) -> None:
    package = importlib.import_module(module)
    assert package.__doc__
    for name in package.__all__:
        thing = getattr(package, name)
        assert inspect.isclass(thing) or inspect.isfunction(thing), name
        documented = (vars(thing).get("__doc__") if inspect.isclass(thing) else thing.__doc__) or ""
        assert len(documented) > 20, f"{name} has no docstring of its own"
        assert thing.__module__.startswith("hubbub."), name


def test_what_is_imported_is_what_is_exported() -> None:
    modules = {name for name, thing in vars(hubbub).items() if inspect.ismodule(thing)}
    public = {name for name in vars(hubbub) if not name.startswith("_")} - modules
    assert public == set(hubbub.__all__)


def test_the_methods_of_public_classes_say_what_they_do() -> None:
    silent = []
    # What the transport calls is documented in its contract, and NamedTuple and Pydantic document their own.
    inherited = {"on_messages", "on_lost", "on_fault"}
    for name in hubbub.__all__:
        kind = getattr(hubbub, name)
        for attribute, thing in vars(kind).items():
            if attribute.startswith("_") or attribute in inherited or not kind.__module__.startswith("hubbub."):
                continue
            function = thing.__func__ if isinstance(thing, classmethod | staticmethod) else thing
            if (inspect.isfunction(function) or isinstance(function, property)) and not inspect.getdoc(function):
                silent.append(f"{name}.{attribute}")
    assert silent == []


def test_the_package_says_that_it_is_typed() -> None:
    assert (importlib.resources.files("hubbub") / "py.typed").is_file()
