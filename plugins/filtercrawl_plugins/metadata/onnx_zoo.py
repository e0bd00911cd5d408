"""Task, family and training datasets of the models in the ONNX model zoo, by folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """What is known about the models in one folder; None and () mean unknown."""

    task: str | None = None
    family: str | None = None
    datasets: tuple[str, ...] = ()


_IMAGENET: Final = ("imagenet-1k",)
_COCO: Final = ("coco",)


def _classifier(family: str) -> ModelFolder:
    return ModelFolder(task="image-classification", family=family, datasets=_IMAGENET)


def _detector(family: str, datasets: tuple[str, ...] = _COCO) -> ModelFolder:
    return ModelFolder(task="object-detection", family=family, datasets=datasets)


# Folders below `validated/`; the facts are from their README files in the zoo.
_FOLDERS: Final = {
    "vision/classification/alexnet": _classifier("alexnet"),
    "vision/classification/caffenet": _classifier("alexnet"),
    "vision/classification/densenet-121": _classifier("densenet"),
    "vision/classification/efficientnet-lite4": _classifier("efficientnet"),
    "vision/classification/inception_and_googlenet": _classifier("inception"),
    "vision/classification/mnist": ModelFolder(task="image-classification", datasets=("mnist",)),
    "vision/classification/mobilenet": _classifier("mobilenet"),
    "vision/classification/rcnn_ilsvrc13": ModelFolder(task="image-classification", family="rcnn"),
    "vision/classification/resnet": _classifier("resnet"),
    "vision/classification/shufflenet": _classifier("shufflenet"),
    "vision/classification/squeezenet": _classifier("squeezenet"),
    "vision/classification/vgg": _classifier("vgg"),
    "vision/classification/zfnet-512": _classifier("zfnet"),
    "vision/object_detection_segmentation/duc": ModelFolder(
        task="image-segmentation", family="resnet", datasets=("cityscapes",)
    ),
    "vision/object_detection_segmentation/faster-rcnn": _detector("rcnn"),
    "vision/object_detection_segmentation/fcn": ModelFolder(task="image-segmentation", family="fcn", datasets=_COCO),
    "vision/object_detection_segmentation/mask-rcnn": ModelFolder(
        task="image-segmentation", family="rcnn", datasets=_COCO
    ),
    "vision/object_detection_segmentation/retinanet": _detector("retinanet"),
    "vision/object_detection_segmentation/ssd": _detector("ssd"),
    "vision/object_detection_segmentation/ssd-mobilenetv1": _detector("ssd"),
    "vision/object_detection_segmentation/tiny-yolov2": _detector("yolo", ("pascal-voc",)),
    "vision/object_detection_segmentation/tiny-yolov3": _detector("yolo"),
    "vision/object_detection_segmentation/yolov2-coco": _detector("yolo"),
    "vision/object_detection_segmentation/yolov3": _detector("yolo"),
    "vision/object_detection_segmentation/yolov4": _detector("yolo"),
    "vision/body_analysis/arcface": ModelFolder(task="image-feature-extraction", family="resnet", datasets=("ms1m",)),
    "vision/body_analysis/emotion_ferplus": ModelFolder(task="image-classification", datasets=("ferplus",)),
    "vision/body_analysis/ultraface": _detector("ultraface", ("wider-face",)),
    "vision/style_transfer/fast_neural_style": ModelFolder(task="image-to-image", datasets=_COCO),
    "vision/super_resolution/sub_pixel_cnn_2016": ModelFolder(task="image-to-image", datasets=("bsds300",)),
    "text/machine_comprehension/bert-squad": ModelFolder(task="question-answering", family="bert"),
    "text/machine_comprehension/bidirectional_attention_flow": ModelFolder(task="question-answering"),
    "text/machine_comprehension/gpt-2": ModelFolder(family="gpt2"),
    "text/machine_comprehension/roberta": ModelFolder(family="roberta"),
    "text/machine_comprehension/t5": ModelFolder(family="t5"),
}
_UNKNOWN: Final = ModelFolder()


def model_folder(name: str) -> ModelFolder:
    """Return what is known about a model by its path below `validated/`."""
    folders = (str(parent) for parent in PurePosixPath(name).parents if str(parent) in _FOLDERS)
    return _FOLDERS.get(next(folders, ""), _UNKNOWN)
