"""A network without training: the value of a voxel says which structure it is.

Structure k of TotalSegmentator has 100 + 10 k HU, give or take 3. Run as a program it writes a
folder of weights with such networks, just as TotalSegmentator's own look like:

    python hu_bands.py FOLDER 297 298 291 292 293 294 295
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn


class Decoder(nn.Module):
    deep_supervision = False


class HuBands(nn.Module):
    """`bands` are the numbers of its classes among all structures, in order from class 1."""

    def __init__(
        self,
        input_channels: int,
        num_classes: int,
        bands: list[int],
        deep_supervision: bool = False,
    ) -> None:
        super().__init__()
        self.decoder = Decoder()
        self.nothing = nn.Parameter(torch.zeros(1))
        self.bands, self.classes = bands, num_classes

    def forward(self, x: Any) -> Any:
        trapped()
        value = x[:, 0].float()
        number = torch.round((value - 100) / 10)
        number[(value - (100 + 10 * number)).abs() > 3] = 0
        found = torch.zeros((x.shape[0], self.classes, *x.shape[2:]), dtype=x.dtype)
        for channel, band in enumerate(self.bands, start=1):
            found[:, channel] = (number == band) * 10.0
        found[:, 0] = (found[:, 1:].amax(dim=1) == 0) * 10.0
        return found


def trapped() -> None:
    """Do what the file HU_BANDS_TRAP says, once: hang, kill, eat memory, or look for a network."""
    place = os.environ.get("HU_BANDS_TRAP")
    if not place or not Path(place).exists():
        return
    said = Path(place).read_text().split()
    if "always" not in said:
        Path(place).unlink()
    if "hang" in said:
        time.sleep(3600)
    if "kill" in said:
        os.kill(os.getpid(), signal.SIGKILL)
    if "eat" in said:
        held = []
        while True:
            held.append(torch.ones(1 << 24))
    if "network" in said:
        Path(f"{place}.said").write_text(" ".join(map(reached, ("192.0.2.1", "127.0.0.1"))))


def reached(host: str) -> str:
    try:
        with socket.create_connection((host, 9), timeout=1):
            return "connected"
    except ConnectionRefusedError:
        return "refused"  # something was there to refuse it
    except OSError:
        return "cut"


SPACING = {297: 3.0, 298: 6.0}


def write(folder: Path, number: int) -> None:
    """The folder of one network, with patches as large as HU_BANDS_PATCH says."""
    from totalsegmentator.map_tasks_config import TASK_ID_WEIGHTS_CONFIGS
    from totalsegmentator.map_to_binary import (
        class_map,
        class_map_5_parts,
        map_taskid_to_partname_ct,
    )

    names = class_map["total"]
    if number in map_taskid_to_partname_ct:
        numbers = {name: n for n, name in names.items()}
        names = class_map_5_parts[map_taskid_to_partname_ct[number]]
        bands = [numbers[name] for name in names.values()]
    else:
        bands = list(names)
    trainer = "nnUNetTrainer_4000epochs_NoMirroring"
    if number in map_taskid_to_partname_ct:
        trainer = "nnUNetTrainerNoMirroring"
    dataset = TASK_ID_WEIGHTS_CONFIGS[number]["foldername"]
    place = folder / dataset / f"{trainer}__nnUNetPlans__3d_fullres"
    (place / "fold_0").mkdir(parents=True)
    (place / "plans.json").write_text(
        json.dumps(
            plans(
                dataset, SPACING.get(number, 1.5), bands, int(os.environ.get("HU_BANDS_PATCH", 64))
            )
        )
    )
    labels = {"background": 0, **{name: n for n, name in enumerate(names.values(), start=1)}}
    said = {
        "channel_names": {"0": "CT"}, "labels": labels, "numTraining": 1, "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "NibabelIOWithReorient",
    }  # fmt: skip
    (place / "dataset.json").write_text(json.dumps(said))
    network = HuBands(1, len(labels), bands)
    checkpoint = {
        "network_weights": network.state_dict(),
        "trainer_name": trainer,
        "init_args": {"configuration": "3d_fullres"},
        "inference_allowed_mirroring_axes": None,
    }
    torch.save(checkpoint, place / "fold_0" / "checkpoint_final.pth")


def plans(dataset: str, spacing: float, bands: list[int], patch: int) -> dict[str, Any]:
    resampling = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    values = {"max": 3071, "mean": 0, "median": 0, "min": -1024, "percentile_00_5": -1024,
              "percentile_99_5": 3071, "std": 1}  # fmt: skip
    return {
        "dataset_name": dataset,
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [spacing] * 3,
        "original_median_shape_after_transp": [128] * 3,
        "image_reader_writer": "NibabelIOWithReorient",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": values},
        "configurations": {
            "3d_fullres": {
                "data_identifier": "nnUNetPlans_3d_fullres",
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": 2,
                "patch_size": [patch] * 3,
                "median_image_size_in_voxels": [128] * 3,
                "spacing": [spacing] * 3,
                "normalization_schemes": ["CTNormalization"],
                "use_mask_for_norm": [False],
                "resampling_fn_data": "resample_data_or_seg_to_shape",
                "resampling_fn_seg": "resample_data_or_seg_to_shape",
                "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
                "resampling_fn_data_kwargs": resampling,
                "resampling_fn_seg_kwargs": {**resampling, "is_seg": True, "order": 1},
                "resampling_fn_probabilities_kwargs": {**resampling, "order": 1},
                "architecture": {
                    "network_class_name": "hu_bands.HuBands",
                    "arch_kwargs": {"bands": bands},
                    "_kw_requires_import": [],
                },
                "batch_dice": True,
            }
        },
    }


if __name__ == "__main__":
    for one in sys.argv[2:]:
        write(Path(sys.argv[1]), int(one))
