"""The services of this project, feature by feature: what a new one must not forget."""

import ast
import inspect
import pkgutil
from importlib import import_module
from types import ModuleType

import pytest

from bus.contract.operations import operations_in
from bus.service.application import installed_applications
from bus.service.service import Service

pytestmark = pytest.mark.parametrize("service", ["auth", "catalog"])


def test_a_contract_exports_all_that_its_features_declare(service: str) -> None:
    contract = import_module(f"{service}.contract")
    declared = {name for module in _modules_of(contract) for name in _declared_in(module)}
    assert declared == set(contract.__all__)


def test_a_feature_has_the_same_name_in_the_contract_and_the_handlers(service: str) -> None:
    contract, handlers = (import_module(f"{service}.{package}") for package in ("contract", "handlers"))
    features = {_name(module) for module in _modules_of(handlers)} - {"service"}
    # Files with periodic functions alone have nothing to declare.
    periodic = {each.function.__module__.rpartition(".")[2] for each in _service(service).periodic.values()}
    handling = {each.function.__module__.rpartition(".")[2] for each in _service(service).handlers.values()}
    assert features - (periodic - handling) <= {_name(module) for module in _modules_of(contract)}
    assert features == set(handlers.__all__) - {service}


def test_handlers_carry_out_the_operations_of_the_contract_and_list_them_in_its_order(service: str) -> None:
    application = installed_applications()[service]
    declared = [operation.operation_name for operation in operations_in(application.contract)]
    builtin = {operation.operation_name for operation in application.service.builtin_operations}
    listed = [name for name in application.service.operations if name not in builtin]
    assert listed == declared


def _service(name: str) -> Service:
    return installed_applications()[name].service


def _modules_of(package: ModuleType) -> list[ModuleType]:
    return [import_module(f"{package.__name__}.{each.name}") for each in pkgutil.iter_modules(package.__path__)]


def _name(module: ModuleType) -> str:
    return module.__name__.rpartition(".")[2]


def _declared_in(module: ModuleType) -> list[str]:
    """Its public classes and its types of fields, without what it imports."""
    body = ast.parse(inspect.getsource(module)).body
    names = [statement.name for statement in body if isinstance(statement, ast.ClassDef)]
    targets = [target for statement in body if isinstance(statement, ast.Assign) for target in statement.targets]
    names += [target.id for target in targets if isinstance(target, ast.Name)]
    return [name for name in names if not name.startswith("_")]
