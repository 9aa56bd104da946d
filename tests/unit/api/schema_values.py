"""Values from a JSON schema, as much of it as pydantic writes: what fits, and what nearly fits."""

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

Schema = Mapping[str, Any]

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=5,
)


def fitting(schema: Schema, definitions: Mapping[str, Schema]) -> st.SearchStrategy[Any]:
    """Values that the schema allows.

    Args:
        schema: The schema.
        definitions: What its references name, by the last part of the reference.
    """
    if "$ref" in schema:
        return fitting(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "anyOf" in schema:
        return st.one_of([fitting(one, definitions) for one in schema["anyOf"]])
    if schema.get("type") == "object":
        return _objects(schema, definitions)
    if schema.get("type") == "array":
        return st.lists(fitting(schema.get("items", {}), definitions), max_size=3)
    return _plain(schema)


def _objects(schema: Schema, definitions: Mapping[str, Schema]) -> st.SearchStrategy[dict[str, Any]]:
    needed = set(schema.get("required", ()))
    fields = {name: fitting(inner, definitions) for name, inner in schema.get("properties", {}).items()}
    return st.fixed_dictionaries(
        {name: inner for name, inner in fields.items() if name in needed},
        optional={name: inner for name, inner in fields.items() if name not in needed},
    )


def _plain(schema: Schema) -> st.SearchStrategy[Any]:
    if "pattern" in schema:
        return st.from_regex(schema["pattern"].replace("$", r"\Z"))
    least, most = schema.get("exclusiveMinimum", schema.get("minimum")), schema.get("maximum")
    kinds: dict[str | None, st.SearchStrategy[Any]] = {
        "string": st.text(max_size=min(schema.get("maxLength", 50), 50)),
        "integer": st.integers(),
        "number": st.floats(
            least, most, exclude_min="exclusiveMinimum" in schema, allow_nan=False, allow_infinity=False
        ),
        "boolean": st.booleans(),
        "null": st.none(),
    }
    return kinds.get(schema.get("type"), ANYTHING)


def nearly_fitting(schema: Schema, definitions: Mapping[str, Schema]) -> st.SearchStrategy[Any]:
    """Values that the schema allows, with one thing in them put wrong, added or left out."""

    @st.composite
    def spoilt(draw: st.DrawFn) -> Any:
        value = draw(fitting(schema, definitions))
        place = value
        while isinstance(place, dict) and place:
            name = draw(st.sampled_from(sorted(place)))
            if isinstance(place[name], dict) and draw(st.booleans()):
                place = place[name]
                continue
            change = draw(st.sampled_from(["wrong", "added", "left out"]))
            if change == "wrong":
                place[name] = draw(ANYTHING)
            elif change == "added":
                place[draw(st.text(max_size=10))] = draw(ANYTHING)
            else:
                del place[name]
            break
        return value

    return spoilt()
