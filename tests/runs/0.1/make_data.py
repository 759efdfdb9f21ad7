"""Make the data of these fixtures anew: drawn, written and sung by this program alone. Run it in this folder.

One test example of each kind but the log has a wrong answer on purpose, so that no score is a perfect one.
"""

import csv
import math
import random
import struct
import wave
from pathlib import Path

from PIL import Image

random.seed(20)


def images(root):
    """Three classes of 8 x 8 grey pictures: lines across, lines down, and a frame."""
    shapes = {
        "across": lambda x, y: y % 4 < 2,
        "down": lambda x, y: x % 4 < 2,
        "frame": lambda x, y: min(x, y, 7 - x, 7 - y) == 0,
    }
    for name in shapes:
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(14):
            inside = shapes["down" if (name, number) == ("frame", 9) else name]
            picture = Image.new("L", (8, 8))
            picture.putdata([(170 if inside(n % 8, n // 8) else 40) + random.randrange(60) for n in range(64)])
            picture.save(root / name / f"{number:02d}.png", optimize=True)


def texts(path):
    """Short reports of the weather, good and bad."""
    words = {
        "good": (["sunny", "warm", "bright", "mild"], ["swim", "sing", "picnic"]),
        "bad": (["rainy", "cold", "grey", "stormy"], ["cough", "shiver", "umbrella"]),
    }
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("text", "label", "split"))
        for number in range(36):
            label = ("good", "bad")[number % 2]
            first, second = random.sample(words[label][0], 2)
            place, thing = random.choice(("Oslo", "Lima", "Cairo", "Perth")), random.choice(words[label][1])
            split = "train" if number < 20 else "val" if number < 28 else "test"
            said = f"Day {number}: {place} is {first} and {second}, we {thing}."
            table.writerow((said, "bad" if number == 34 else label, split))


def recordings(root):
    """Words of three letters, each of which is a tone of its own, 8 kHz."""
    tones = {"a": 300.0, "e": 750.0, "o": 1500.0}
    words = ["ae", "oa", "eo", "ea o", "a oe", "o e", "oae", "e ao", "aeo", "eo a", "o ae", "eoa", "ao e", "oe a"]
    splits = ["train"] * 8 + ["val"] * 2 + ["test"] * 4
    root.mkdir(parents=True, exist_ok=True)
    with (root / "table.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("path", "text", "split"))
        for number, (text, split) in enumerate(zip(words, splits, strict=True)):
            samples = [0.0] * 240
            for letter in text:
                for n in range(480):
                    loud = 0.5 * math.sin(math.pi * n / 480) if letter in tones else 0.0
                    samples.append(loud * math.sin(2 * math.pi * tones.get(letter, 0.0) * n / 8000))
                samples += [0.0] * 80
            samples += [0.0] * 240
            name = f"{number:02d}.wav"
            with wave.open(str(root / name), "wb") as sound:
                sound.setparams((1, 2, 8000, 0, "NONE", ""))
                noisy = (round(32767 * s) + random.randrange(-60, 60) for s in samples)
                sound.writeframes(b"".join(struct.pack("<h", s) for s in noisy))
            table.writerow((name, "oe o" if text == "oe a" else text, split))


def log(root):
    """Sixteen readers, each of whom goes on with the next of twelve books, most of the time."""
    root.mkdir(parents=True, exist_ok=True)
    rows = []
    for reader in range(16):
        time, book, unread = 1_700_000_000 + random.randrange(1_000_000), random.randrange(12), set(range(12))
        for _ in range(random.randint(5, 9)):
            rows.append((f"u{reader:02d}", f"b{book:02d}", time))
            unread.remove(book)
            book = (book + 1) % 12 if (book + 1) % 12 in unread and random.random() < 0.9 else min(unread)
            time += random.randrange(3600, 100_000)
    for name, header, content in (
        ("log.csv", ("user", "item", "timestamp"), sorted(rows, key=lambda row: row[2])),
        ("books.csv", ("item", "title"), [(f"b{n:02d}", f"Volume {n + 1}") for n in range(12)]),
    ):
        with (root / name).open("w", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(header)
            table.writerows(content)


images(Path("data/images"))
texts(Path("data/texts.csv"))
recordings(Path("data/recordings"))
log(Path("data/log"))
