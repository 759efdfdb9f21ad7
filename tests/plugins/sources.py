"""Sources of plugins, to be installed and found."""

IMPORTS = "from taskkit import Component, RecipeFile, hookimpl\n"


def declaring(*names: str, **fields: str) -> str:
    """The source of a plugin that declares models of these names."""
    values = {
        "kind": "'model'",
        "summary": "'A model.'",
        "implementation": "'torch.nn:Identity'",
        "section": "'taskkit:ClassificationSection'",
        "input": "'taskkit:Classes'",
        **fields,
    }
    arguments = ", ".join(f"{key}={value}" for key, value in values.items())
    components = ", ".join(f"Component(name={name!r}, {arguments})" for name in names)
    return hooked(f"[{components}]")


def hooked(value: str, hook: str = "taskkit_components") -> str:
    """The source of a plugin with one hook that returns this."""
    return f"{IMPORTS}\n@hookimpl\ndef {hook}():\n    return {value}\n"
