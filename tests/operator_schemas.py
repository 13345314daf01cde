"""JSON schemas of operators' resources, read off the classes that packages make of their CRDs.

The classes are read and not imported: one package would bring a web server along, the other a
plugin into pytest. What neither says (patterns, bounds) is not checked.
"""

import ast
import json
from functools import cache
from importlib import resources
from typing import Any, Final

import jsonschema
import referencing
from deploying import TOOLS, Manifest, tool

# Whose definitions KServe's classes refer to.
_KUBERNETES: Final = "v1.35.0-local-strict"
# Group and version -> what fetch_tools unpacked, and what a class's name begins with.
_SOURCES: Final = {
    "cert-manager.io/v1": ("cert_manager", ""),
    "monitoring.coreos.com/v1": ("prometheus_operator", ""),
    "serving.kserve.io/v1alpha1": ("kserve", "V1alpha1"),
    "serving.kserve.io/v1beta1": ("kserve", "V1beta1"),
}
GROUPS: Final = frozenset(_SOURCES)
_PLAIN: Final[dict[str, Manifest]] = {
    "str": {"type": "string"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "bool": {"type": "boolean"},
}


@cache
def operator_validator(group: str, kind: str) -> Any:
    """A validator of one kind of resource; a field that its operator does not know is an error."""
    package, prefix = _SOURCES[group]
    kubernetes = _kubernetes_definitions()
    definitions = dict(_definitions(package))
    resource = referencing.Resource.from_contents(kubernetes)
    top = json.loads(json.dumps(definitions[f"{prefix}{kind}"]))
    top["properties"]["metadata"] = {"type": "object"}
    return jsonschema.Draft202012Validator(
        {**top, "$defs": definitions}, registry=resource @ referencing.Registry()
    )


@cache
def _kubernetes_definitions() -> Manifest:
    folder = resources.files("kubernetes_validate") / "kubernetes-json-schema" / _KUBERNETES
    definitions: Manifest = json.loads((folder / "_definitions.json").read_text(encoding="utf-8"))
    return definitions


@cache
def _definitions(package: str) -> dict[str, Manifest]:
    classes = [
        node
        for path in sorted((TOOLS / tool(package)).glob("*.py"))
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    ]
    names = frozenset(node.name for node in classes)
    read = _openapi_class if package == "kserve" else _pydantic_class
    return {node.name: read(node, names) for node in classes}


def _pydantic_class(node: ast.ClassDef, names: frozenset[str]) -> Manifest:
    """`secret_name: Annotated[str, Field(alias="secretName")]`, required without a default."""
    if any(ast.unparse(base).startswith("RootModel") for base in node.bases):
        return {}  # a quantity, as a number or as text
    properties, required = {}, []
    for field in (one for one in node.body if isinstance(one, ast.AnnAssign)):
        name = ast.unparse(field.target)
        for inner in ast.walk(field.annotation):
            if isinstance(inner, ast.keyword) and inner.arg == "alias":
                name = ast.literal_eval(inner.value)
        properties[name] = _annotation(field.annotation, names)
        if field.value is None:
            required.append(name)
    return _object(properties, required)


def _annotation(node: ast.expr, names: frozenset[str]) -> Manifest:
    if not isinstance(node, ast.Subscript):
        name = ast.unparse(node)
        return {"$ref": f"#/$defs/{name}"} if name in names else _PLAIN.get(name, {})
    outer = ast.unparse(node.value)
    parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if outer in ("Annotated", "Optional"):
        return _annotation(parts[0], names)
    if outer == "List":
        return {"type": "array", "items": _annotation(parts[0], names)}
    if outer == "Dict":
        return {"type": "object", "additionalProperties": _annotation(parts[1], names)}
    if outer == "Literal":
        return {"enum": [ast.literal_eval(part) for part in parts]}
    return {}


def _openapi_class(node: ast.ClassDef, names: frozenset[str]) -> Manifest:
    """`openapi_types = {"storage_uri": "str"}` and `attribute_map` with the names on the wire."""
    tables = {
        ast.unparse(one.targets[0]): ast.literal_eval(one.value)
        for one in node.body
        if isinstance(one, ast.Assign)
    }
    types, wire = tables["openapi_types"], tables["attribute_map"]
    return _object({wire[key]: _openapi_type(types[key], names) for key in types}, [])


def _openapi_type(name: str, names: frozenset[str]) -> Manifest:
    if name.startswith("list["):
        return {"type": "array", "items": _openapi_type(name[5:-1], names)}
    if name.startswith("dict("):
        values = name[5:-1].partition(", ")[2]
        return {"type": "object", "additionalProperties": _openapi_type(values, names)}
    if name in names:
        return {"$ref": f"#/$defs/{name}"}
    kubernetes = _kubernetes_definitions()
    core = f"io.k8s.api.core.v1.{name.removeprefix('V1')}"  # V1Container is Kubernetes' own
    if core in kubernetes["$defs"]:
        return {"$ref": f"{kubernetes['$id']}#/$defs/{core}"}
    return _PLAIN.get(name, {})


def _object(properties: Manifest, required: list[str]) -> Manifest:
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
