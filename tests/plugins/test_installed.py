"""What is read quickly of installed distributions is what the standard library reads slowly."""

from importlib import metadata

from taskkit.plugins.installed import name_and_version, providers


def test_names_versions_and_modules_are_those_of_the_standard_library() -> None:
    distributions = [*metadata.distributions()]
    assert len(distributions) > 50
    for each in distributions:
        assert name_and_version(each) == (each.metadata["Name"], each.version)
    fast, slow = providers(), metadata.packages_distributions()
    assert {"torch", "PIL", "sklearn", "yaml", "pytest"} <= fast.keys() & slow.keys()
    # What is a module differs between versions of Python: some take folders of data for one.
    both = fast.keys() & slow.keys()
    assert len(both) > 0.9 * len(fast)
    assert {module: sorted(set(fast[module])) for module in both} == {
        module: sorted(set(slow[module])) for module in both
    }


def test_a_distribution_without_metadata_has_no_name(tmp_path, monkeypatch) -> None:
    (tmp_path / "nameless-1.0.dist-info").mkdir()
    (tmp_path / "odd-2.0.dist-info").mkdir()
    (tmp_path / "odd-2.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: odd\nVersion: 2.0\n\nName: no\n"
    )
    (tmp_path / "odd-2.0.dist-info" / "RECORD").write_text(
        'odd.py,,\n"odd, too/__init__.py",,\nodd-2.0.dist-info/RECORD,,\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    found = {name_and_version(each) for each in metadata.distributions(path=[str(tmp_path)])}
    assert found == {("", ""), ("odd", "2.0")}
    assert providers()["odd"] == providers()["odd, too"] == ["odd"]
