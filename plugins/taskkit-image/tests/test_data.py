"""The named data sets, as they really arrive."""

import gzip
from collections import Counter

import numpy as np
import pytest
import torch

from taskkit import Classes, DataError, SourceError
from taskkit_image import sections
from taskkit_image.digits import Digits
from taskkit_image.facts import Images
from taskkit_image.fashion_mnist import FashionMnist
from taskkit_image.mnist5k import Mnist5k
from taskkit_image.torchvision_data import TorchvisionData


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def prepared(module):
    try:
        return module.prepare(Classes)
    except SourceError as reason:
        pytest.skip(f"no source within reach: {str(reason).splitlines()[0]}")


def counts(data, split):
    return Counter(example.target for example in data.examples(split))


def held(data):
    return [{example.id for example in data.examples(split)} for split in ("train", "val", "test")]


def test_digits_are_there_without_a_network():
    data = Digits(sections.Digits()).prepare(Classes)
    assert data.spec.input == Images(1, 8, 8)
    assert data.spec.target.names == tuple("0123456789")
    assert sum(data.spec.target.counts) == 1797 - 180 - 360
    assert set(counts(data, "val").values()) == {18}
    assert set(counts(data, "test").values()) == {36}
    assert max(int(example.input.max()) for example in data.examples("test")) == 255
    assert {problem.severity for problem in data.inspect()} == {"info"}


def test_mnist5k_is_split_evenly_and_never_differently(shared_cache, monkeypatch):
    monkeypatch.setenv("TASKKIT_CACHE", str(shared_cache))
    data = prepared(Mnist5k(sections.Mnist5k()))
    assert data.spec.input == Images(1, 28, 28)
    assert data.spec.target.counts == (350,) * 10
    assert set(counts(data, "val").values()) == {50}
    assert set(counts(data, "test").values()) == {100}
    assert len(set.union(*held(data))) == 5000
    assert [example.id for example in data.examples("test")[:5]] == ["0004", "0005", "0008", "0009", "0010"]
    image = data.examples("train")[0].input
    assert image.dtype == torch.uint8
    assert image.shape == (1, 28, 28)
    assert [problem for problem in data.inspect() if problem.severity == "error"] == []


def test_mnist5k_is_augmented_only_when_asked(shared_cache, monkeypatch):
    monkeypatch.setenv("TASKKIT_CACHE", str(shared_cache))
    batch = {"image": torch.full((4, 1, 28, 28), 9, dtype=torch.uint8), "target": torch.zeros(4)}
    assert Mnist5k(sections.Mnist5k(augment=False)).augment(batch) is batch
    assert not torch.equal(Mnist5k(sections.Mnist5k()).augment(batch)["image"], batch["image"])


def test_a_folder_that_lacks_the_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(SourceError, match=r"mnist_5k\.csv\.gz"):
        Mnist5k(sections.Mnist5k(root=str(tmp_path))).prepare(Classes)


@pytest.fixture(scope="module")
def fashion(shared_cache):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TASKKIT_CACHE", str(shared_cache))
        return prepared(FashionMnist(sections.FashionMnist()))


def test_fashion_mnist_keeps_its_official_test_split(fashion):
    assert fashion.spec.target.counts == (5500,) * 10
    assert set(counts(fashion, "val").values()) == {500}
    assert set(counts(fashion, "test").values()) == {1000}
    assert fashion.spec.target.names[fashion.examples("test")[0].target] == "Ankle boot"
    assert not held(fashion)[0] & held(fashion)[1]


def test_fashion_mnist_is_known_by_its_content_however_it_is_compressed(fashion, shared_cache, tmp_path):
    for file in shared_cache.glob("**/*-ubyte.gz"):
        (tmp_path / file.name).write_bytes(gzip.compress(gzip.decompress(file.read_bytes()), compresslevel=1, mtime=0))
    again = FashionMnist(sections.FashionMnist(root=str(tmp_path))).prepare(Classes)
    assert again.spec.fingerprint == fashion.spec.fingerprint

    (tmp_path / "t10k-labels-idx1-ubyte.gz").write_bytes(gzip.compress(bytes(10008), mtime=0))
    with pytest.raises(DataError, match="the sha256 of its content is"):
        FashionMnist(sections.FashionMnist(root=str(tmp_path))).prepare(Classes)


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return header + array.tobytes()


def test_a_torchvision_data_set_is_read_from_a_folder_that_torchvision_made(tmp_path):
    folder = tmp_path / "KMNIST" / "raw"
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for part, count in {"train": 50, "t10k": 20}.items():
        images = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx((np.arange(count) % 10).astype(np.uint8)))
    module = TorchvisionData(sections.TorchvisionData("KMNIST", root=str(tmp_path)))
    data = module.prepare(Classes)
    assert data.spec.input == Images(1, 28, 28)
    assert data.spec.target.names[:2] == ("o", "ki")
    assert len(data.examples("test")) == 20
    assert len(data.examples("train")) + len(data.examples("val")) == 50
    assert len(data.examples("val")) > 0
    assert {problem.kind for problem in data.inspect() if problem.severity != "info"} <= {"empty"}
    batch = {"image": torch.stack([example.input for example in data.examples("test")])}
    assert module.augment(batch)["image"].shape == (20, 1, 28, 28)


def test_a_torchvision_data_set_that_is_not_there_is_an_error_that_says_what_to_do(tmp_path):
    with pytest.raises(SourceError, match=r"data\.root"):
        TorchvisionData(sections.TorchvisionData("CIFAR10", root=str(tmp_path))).prepare(Classes)


def test_damaged_torchvision_files_are_named(tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"damaged")
    with pytest.raises(DataError, match="torchvision cannot read CIFAR10"):
        TorchvisionData(sections.TorchvisionData("CIFAR10", root=str(tmp_path))).prepare(Classes)
