"""Tables of datasets, families, tasks, licenses and categories, against all names in the installed libraries."""

from __future__ import annotations

import re

import pytest
import timm
from torchvision.models import get_model_weights, list_models

from filtercrawl_plugins.metadata.datasets import timm_datasets, torchvision_datasets
from filtercrawl_plugins.metadata.families import timm_family
from filtercrawl_plugins.metadata.licenses import spdx_with_evidence
from filtercrawl_plugins.metadata.onnx_zoo import license_with_evidence, model_folder
from filtercrawl_plugins.metadata.tasks import timm_task, torchvision_task
from filtercrawl_plugins.metadata.visual_categories import CATEGORIES, visual_category
from filtercrawl_plugins.sources.timm.registry import list_entries

# Of the Hub's tasks, those that these zoos have networks for.
TASKS = {
    *("image-classification", "image-feature-extraction", "image-segmentation", "object-detection"),
    *("keypoint-detection", "video-classification", "image-to-image", "question-answering"),
}
# CNN Filter DB's own.
PAPER = {
    *("faces", "depth", "natural", "map", "thermal", "astronomy", "art", "seismic", "cars", "fractals", "textures"),
    *("handwriting", "med_ct", "med_xray", "med_mri", "plants"),
}


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("a1_in1k", ("imagenet-1k",)),
        ("fb_in22k_ft_in1k_384", ("imagenet-22k", "imagenet-1k")),
        ("fcmae_ft_in22k_in1k", ("imagenet-1k", "imagenet-22k", "imagenet-1k")),
        ("fcmae_ft_in1k", ("imagenet-1k",)),
        ("in22k_ft_in22k_in1k", ("imagenet-22k", "imagenet-1k")),
        ("clip_laion2b_soup_ft_in12k_in1k_320", ("laion-2b", "imagenet-12k", "imagenet-1k")),
        ("fb_swsl_ig1b_ft_in1k", ("instagram-1b", "imagenet-1k")),
        ("fb_ssl_yfcc100m_ft_in1k", ("yfcc-100m", "imagenet-1k")),
        ("ns_jft_in1k_475", ("jft-300m", "imagenet-1k")),
        ("openai", ("wit-400m",)),
        ("metaclip_2pt5b", ("metaclip-2.5b",)),
        ("apple_mclip2_dfndr2b", ("dfndr-2b",)),
        ("clip_ft_in1k", ("laion-400m", "imagenet-1k")),
        ("merged2b_ft_inat21", ("merged-2b", "inaturalist-2021")),
        ("ssld_stage2_ft_in1k", ("imagenet-22k", "imagenet-1k")),
        ("sam_in1k", ("imagenet-1k",)),
        ("dinov3_lvd1689m", ("lvd-1689m",)),
        ("v2_webli", ("webli",)),
        ("", ()),
        ("fb", ()),
        ("qwen3_vl_4b", ()),
        ("notin1k", ()),
        ("in1kplus", ()),
    ],
)
def test_a_tag_names_its_datasets_in_order(tag: str, expected: tuple[str, ...]) -> None:
    assert timm_datasets(tag) == expected


def test_nearly_all_tags_of_timm_name_a_dataset_and_all_that_name_imagenet_are_read() -> None:
    tags = [name.partition(".")[2] for name in timm.list_pretrained()]
    read = [tag for tag in tags if timm_datasets(tag)]
    assert len(read) / len(tags) > 0.9
    for tag in tags:
        last = [word for word in tag.split("_") if word in ("in1k", "in12k", "in21k", "in22k")][-1:]
        if last:
            assert timm_datasets(tag)[-1] == f"imagenet-{last[0].removeprefix('in')}", tag


# Entries of timm whose tag and configuration name no data set, and why. Each stays null until they do.
WITHOUT_DATASETS = {
    r"aimv2_.*\.apple_pt(_dist)?": "a mixture of which a part is not public",
    r"beit3_.*\.(indomain_)?pt": "images, texts and pairs of many collections",
    r"davit_\w+_fl\.msft_florence2": "the vision tower of a language model",
    r"(deepseek|gemma4|qwen3)_vit_\w+\..*": "the vision tower of a language model",
    r"mobilenetv5_300m\.gemma3n": "the vision tower of a language model",
    r"(naflexvit|vit)_\w+_radio_v\d\.c_radio": "distilled from other networks",
    r"sam2_hiera_\w+\.fb_r\d+(_2pt1)?": "the tag names the size of the images and the release",
    r"vit_\w+_sapiens2\.fb": "images that are not public",
    r"vit_\w+_lingbot\.robbyant": "the tag names the company",
    r"vit_intern300m_patch14_448\.ogvl_(2pt5|dist)": "the vision tower of a language model",
    r"vit_pe_(core|lang|spatial)_\w+\.fb(_tiling)?": "images and videos that are not public",
    r"vit_so400m_patch14_siglip_gap_\d+\.(pali|pali2_3b|pali2_10b)_(pt|mix)": "the vision tower of a language model",
}


def test_entries_of_timm_without_datasets_are_known() -> None:
    entries = [entry.names[0] for entry in list_entries()]
    without = [name for name in entries if not timm_datasets(name.partition(".")[2])]
    reasons = {name: [pattern for pattern in WITHOUT_DATASETS if re.fullmatch(pattern, name)] for name in without}
    assert [name for name, patterns in reasons.items() if len(patterns) != 1] == []
    assert {pattern for patterns in reasons.values() for pattern in patterns} == WITHOUT_DATASETS.keys()


def test_all_weights_of_torchvision_name_their_datasets() -> None:
    for model in list_models():
        for weights in get_model_weights(model):
            assert torchvision_datasets(weights.name), weights
    assert torchvision_datasets("MARS_V1") == ()


def test_categories_are_those_of_the_paper() -> None:
    assert set(CATEGORIES.values()) <= PAPER
    assert visual_category(("laion-2b", "imagenet-1k")) == "natural"
    assert visual_category(("imagenet-1k", "laion-2b")) is None
    assert visual_category(()) is None
    assert visual_category(("mri-of-mice",), {"mri-of-mice": "med_mri"}) == "med_mri"
    assert visual_category(("imagenet-1k",), {"imagenet-1k": "objects"}) == "objects"
    assert visual_category(("ILSVRC/imagenet-1k",)) == CATEGORIES["imagenet-1k"]
    assert visual_category(("ylecun/mnist",)) == CATEGORIES["mnist"]
    assert visual_category(("somebody/mnist",)) is None


@pytest.mark.parametrize(
    ("architecture", "expected"),
    [
        ("resnet18", "resnet"),
        ("seresnext26ts", "resnet"),
        ("resnetv2_50x1_bit", "resnet"),
        ("tf_efficientnetv2_s", "efficientnet"),
        ("mobilenetv4_conv_small", "mobilenet"),
        ("mnasnet_100", "mnasnet"),
        ("convnextv2_atto", "convnext"),
        ("vit_base_patch16_dinov3", "vit"),
        ("deit3_base_patch16_224", "deit"),
        ("swinv2_tiny_window8_256", "swin"),
        ("repvgg_a0", "repvgg"),
        ("regnetz_c16", "regnet"),
        ("maxvit_tiny_tf_224", "maxvit"),
        ("coatnet_0_rw_224", "coatnet"),
        ("poolformer_s12", "poolformer"),
        ("xception41", "xception"),
        ("inception_next_tiny", "inception_next"),
        ("coat_tiny", "coat"),
        ("botnet26t_256", "botnet"),
        ("sebotnet33ts_256", "botnet"),
        ("eca_botnext26ts_256", "botnet"),
        ("sehalonet33ts", "halonet"),
        ("halo2botnet50ts_256", "byoanet"),
        ("lamhalobotnet50ts_256", "byoanet"),
        ("seresnet50", "resnet"),
        ("legacy_seresnet50", "resnet"),
        ("legacy_seresnext101_32x4d", "resnet"),
        ("senet154", "senet"),
        ("legacy_senet154", "senet"),
        ("cs3darknet_l", "cspnet"),
        ("cs3sedarknet_x", "cspnet"),
        ("cspdarknet53", "cspnet"),
        ("darknet53", "darknet"),
        ("eva02_base_patch14_224", "eva"),
        ("eva_large_patch14_196", "eva"),
        ("davit_tiny", "davit"),
        ("test_maxvit", "maxvit"),
        ("resnest14d", "resnest"),
    ],
)
def test_the_family_of_an_architecture(architecture: str, expected: str) -> None:
    assert timm_family(architecture) == expected


@pytest.mark.parametrize("name", ["resnet18.a1_in1k", "hf-hub:timm/resnet18", "BertModel", "", "resnet_of_mine"])
def test_a_name_that_timm_does_not_register_has_no_family(name: str) -> None:
    assert timm_family(name) is None


def test_every_family_is_one_plain_word() -> None:
    for name in timm.list_pretrained():
        architecture = name.partition(".")[0]
        found = timm_family(architecture)
        assert found is not None
        assert found == found.lower()
        assert found.isidentifier()


def test_tasks_are_words_of_the_hub() -> None:
    for name in timm.list_pretrained():
        config = timm.get_pretrained_cfg(name)
        assert config is not None
        assert timm_task(config.num_classes, timm_datasets(name.partition(".")[2])) in {*TASKS, None}
    for model in list_models():
        for weights in get_model_weights(model):
            assert torchvision_task(type(weights).__module__) in {*TASKS, None}
    assert timm_task(0, ("imagenet-1k",)) == "image-feature-extraction"
    assert timm_task(1000, ("laion-2b", "imagenet-1k")) == "image-classification"
    assert timm_task(512, ("laion-2b",)) == "image-feature-extraction"
    assert timm_task(1024, ()) is None


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("apache-2.0", ("Apache-2.0", "cfg: apache-2.0")),
        ("cc-by-nc-4.0", ("CC-BY-NC-4.0", "cfg: cc-by-nc-4.0")),
        ("gemma", (None, "cfg: gemma")),
        ("https://x.example/LICENSE", (None, "cfg: https://x.example/LICENSE")),
        ("mit\n| row |", (None, None)),
        ("", (None, None)),
        (None, (None, None)),
    ],
)
def test_a_licence_is_spdx_or_evidence_alone(stated: str | None, expected: tuple[str | None, str | None]) -> None:
    assert spdx_with_evidence(stated, "cfg") == expected


@pytest.mark.parametrize(
    ("name", "task", "datasets"),
    [
        ("vision/classification/mnist/model/mnist-12.onnx", "image-classification", ("mnist",)),
        ("vision/object_detection_segmentation/ssd/model/ssd-10.onnx", "object-detection", ("imagenet-1k", "coco")),
        ("vision/object_detection_segmentation/ssd-mobilenetv1/model/x.onnx", "object-detection", ("coco",)),
        ("vision/object_detection_segmentation/mask-rcnn/model/x.onnx", "image-segmentation", ("coco",)),
        ("vision/style_transfer/fast_neural_style/model/candy-9.onnx", "image-to-image", ("coco",)),
        ("text/machine_comprehension/bidirectional_attention_flow/model/x.onnx", "question-answering", ("squad",)),
        ("vision/classification/unheard-of/model/x.onnx", None, ()),
        ("x.onnx", None, ()),
    ],
)
def test_the_folders_of_the_onnx_zoo(name: str, task: str | None, datasets: tuple[str, ...]) -> None:
    assert (model_folder(name).task, model_folder(name).datasets) == (task, datasets)
    assert model_folder(name).task in {*TASKS, None}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vision/classification/vgg/model/vgg16-7.onnx", "Apache-2.0"),
        ("vision/classification/inception_and_googlenet/googlenet/model/googlenet-9.onnx", "BSD-3-Clause"),
        ("vision/classification/inception_and_googlenet/inception_v1/model/inception-v1-9.onnx", "MIT"),
        ("vision/super_resolution/sub_pixel_cnn_2016/model/super-resolution-10.onnx", None),  # its README states none
        ("vision/classification/unheard-of/model/x.onnx", None),
    ],
)
def test_licenses_of_the_onnx_zoo_are_those_of_its_readmes(name: str, expected: str | None) -> None:
    license_, evidence = license_with_evidence(name)
    assert license_ == expected
    folder = name.partition("/model/")[0]
    assert evidence == (f"ONNX model zoo, {folder}/README.md: {expected}" if expected else None)
