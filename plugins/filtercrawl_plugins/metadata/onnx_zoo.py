"""Task, family and training datasets of the models in the ONNX model zoo, by folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """What is known about the models in one folder; None and () mean unknown.

    Attributes:
        license: SPDX expression, as the README file states it.
        task: Task in the vocabulary of the Hugging Face Hub.
        family: Family of architectures.
        datasets: Training data sets, in order of training.
    """

    license: str | None
    task: str | None = None
    family: str | None = None
    datasets: tuple[str, ...] = ()


_APACHE: Final = "Apache-2.0"
_BSD: Final = "BSD-3-Clause"
_MIT: Final = "MIT"
_IMAGENET: Final = ("imagenet-1k",)
_COCO: Final = ("coco",)
_SQUAD: Final = ("squad",)


def _classifier(license_: str, family: str) -> ModelFolder:
    return ModelFolder(license=license_, task="image-classification", family=family, datasets=_IMAGENET)


def _detector(license_: str, family: str, datasets: tuple[str, ...] = _COCO) -> ModelFolder:
    return ModelFolder(license=license_, task="object-detection", family=family, datasets=datasets)


# Folders below `validated/`; the facts are from their README files in the zoo.
_CLASSIFICATION: Final = {
    "alexnet": _classifier(_BSD, "alexnet"),
    "caffenet": _classifier(_BSD, "alexnet"),
    "densenet-121": _classifier(_MIT, "densenet"),
    "efficientnet-lite4": _classifier(_MIT, "efficientnet"),
    "inception_and_googlenet/googlenet": _classifier(_BSD, "inception"),
    "inception_and_googlenet/inception_v1": _classifier(_MIT, "inception"),
    "inception_and_googlenet/inception_v2": _classifier(_MIT, "inception"),
    "mnist": ModelFolder(license=_MIT, task="image-classification", datasets=("mnist",)),
    "mobilenet": _classifier(_APACHE, "mobilenet"),
    "rcnn_ilsvrc13": ModelFolder(
        license=_BSD, task="image-classification", family="rcnn", datasets=("ilsvrc2013-detection",)
    ),
    "resnet": _classifier(_APACHE, "resnet"),
    "shufflenet": _classifier(_BSD, "shufflenet"),
    "squeezenet": _classifier(_APACHE, "squeezenet"),
    "vgg": _classifier(_APACHE, "vgg"),
    "zfnet-512": _classifier(_MIT, "zfnet"),
}
# Backbones are named where the README does: that of R-CNN and YOLO does not.
_DETECTION: Final = {
    "duc": ModelFolder(license=_APACHE, task="image-segmentation", family="resnet", datasets=("cityscapes",)),
    "faster-rcnn": _detector(_MIT, "rcnn"),
    "fcn": ModelFolder(license=_MIT, task="image-segmentation", family="fcn", datasets=_COCO),
    "mask-rcnn": ModelFolder(license=_MIT, task="image-segmentation", family="rcnn", datasets=_COCO),
    "retinanet": _detector(_BSD, "retinanet", (*_IMAGENET, *_COCO)),
    "ssd": _detector(_APACHE, "ssd", (*_IMAGENET, *_COCO)),
    "ssd-mobilenetv1": _detector(_MIT, "ssd"),
    "tiny-yolov2": _detector(_MIT, "yolo", ("pascal-voc",)),
    "tiny-yolov3": _detector(_MIT, "yolo"),
    "yolov2-coco": _detector(_MIT, "yolo"),
    "yolov3": _detector(_MIT, "yolo"),
    "yolov4": _detector(_MIT, "yolo"),
}
_FOLDERS: Final = {
    **{f"vision/classification/{name}": folder for name, folder in _CLASSIFICATION.items()},
    **{f"vision/object_detection_segmentation/{name}": folder for name, folder in _DETECTION.items()},
    "vision/body_analysis/arcface": ModelFolder(
        license=_APACHE, task="image-feature-extraction", family="resnet", datasets=("ms1m",)
    ),
    "vision/body_analysis/emotion_ferplus": ModelFolder(
        license=_MIT, task="image-classification", datasets=("ferplus",)
    ),
    "vision/body_analysis/ultraface": _detector(_MIT, "ultraface", ("wider-face",)),
    "vision/style_transfer/fast_neural_style": ModelFolder(license=_BSD, task="image-to-image", datasets=_COCO),
    "vision/super_resolution/sub_pixel_cnn_2016": ModelFolder(
        license=None, task="image-to-image", datasets=("bsds300",)
    ),
    "text/machine_comprehension/bert-squad": ModelFolder(
        license=_APACHE, task="question-answering", family="bert", datasets=_SQUAD
    ),
    "text/machine_comprehension/bidirectional_attention_flow": ModelFolder(
        license=None, task="question-answering", datasets=_SQUAD
    ),
    "text/machine_comprehension/gpt-2": ModelFolder(license=_APACHE, family="gpt2"),
    "text/machine_comprehension/roberta": ModelFolder(license=_APACHE, family="roberta"),
    "text/machine_comprehension/t5": ModelFolder(license=_APACHE, family="t5", datasets=("c4",)),
}
_UNKNOWN: Final = ModelFolder(license=None)


def model_folder(name: str) -> ModelFolder:
    """Return what is known about a model by its path below `validated/`."""
    return _FOLDERS.get(_folder_of(name), _UNKNOWN)


def license_with_evidence(name: str) -> tuple[str | None, str | None]:
    """Return the license of a model by its path below `validated/`, and where it is stated; None if it is not."""
    license_ = model_folder(name).license
    return license_, f"ONNX model zoo, {_folder_of(name)}/README.md: {license_}" if license_ else None


def _folder_of(name: str) -> str:
    return next((str(parent) for parent in PurePosixPath(name).parents if str(parent) in _FOLDERS), "")
