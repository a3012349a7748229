"""The methods of photometry that a configuration chooses, and whether schema and rules are as each is declared."""

from collections.abc import Collection, Mapping, Sequence

from gaiaflux.model.errors import InputError
from gaiaflux.model.method import Method
from gaiaflux.model.methods import METHODS, methods_named

__all__ = ["check_rules", "check_schema", "chosen_methods"]


def chosen_methods(config: Mapping, methods: Sequence[Method] = METHODS) -> list[Method]:
    """Methods that a configuration chooses.

    Parameters
    ----------
    config : mapping
        Complete configuration.
    methods : sequence of Method
        All that there are.

    Returns
    -------
    list of Method
        In the order of `methods`, whatever the configuration's.

    Raises
    ------
    InputError
        The schema allows a method that is not declared.
    """
    return methods_named(config["photometry"]["methods"], methods)


def check_schema(schema: Mapping, methods: Sequence[Method] = METHODS) -> None:
    """Refuse a schema that does not have the methods as they are declared.

    Parameters
    ----------
    schema : mapping
        Schema of the configuration.
    methods : sequence of Method
        All that there are.

    Raises
    ------
    InputError
        One line for each problem.
    """
    photometry = schema["properties"]["photometry"]["properties"]
    allowed, declared = photometry["methods"]["items"]["enum"], [method.name for method in methods]
    problems = [
        f"{name}: the schema's photometry.methods has it, but model/methods.py does not declare it"
        for name in allowed
        if name not in declared
    ]
    for method in methods:
        section = photometry.get(method.section)
        if method.name not in allowed:
            problems.append(f"{method.name}: declared in model/methods.py, but not in the schema's photometry.methods")
        if section is None:
            problems.append(f"{method.name}: the schema has no section photometry.{method.section}")
        elif method.on_request:
            problems += [
                f"{method.name}: the schema has no photometry.{method.section}.{key} with x-decides: products"
                for key in method.on_request.settings
                if section["properties"].get(key, {}).get("x-decides") != "products"
            ]
    if problems:
        raise InputError("\n".join(problems))


def check_rules(names: Collection[str], methods: Sequence[Method] = METHODS) -> None:
    """Refuse rules that do not make what the methods declare.

    Parameters
    ----------
    names : collection of str
        Of all rules.
    methods : sequence of Method
        All that there are.

    Raises
    ------
    InputError
        One line for each rule that is missing.
    """
    wanted = [(method, method.rule) for method in methods]
    wanted += [(method, method.on_request.rule) for method in methods if method.on_request]
    problems = [f"{method.name}: there is no rule {rule}" for method, rule in wanted if rule not in names]
    if problems:
        raise InputError("\n".join(problems))
