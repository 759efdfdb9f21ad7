"""The code of the components, which nobody may import where recipes are read and checked alone."""

raise ImportError("a recipe was checked, and the code of its components imported")


class Task: ...


class Model: ...


class Data: ...
