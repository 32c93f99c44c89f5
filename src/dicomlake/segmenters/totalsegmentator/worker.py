"""The process that runs TotalSegmentator: a program of its own, started by `process.py`.

It imports nothing of dicomlake, because it may run in another environment. TotalSegmentator keeps
nothing between calls and starts new processes for each; here networks stay loaded, volumes are cut
into slabs when they are large, and nothing is downloaded, counted or sent anywhere.

    worker.py about TASK MODE       what there is of a task, as JSON; needs no torch
    worker.py work SETTINGS         jobs as lines of JSON on standard input, answers on its output
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import json
import os
import queue
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

THICK, MARGIN = 128, 32
"""Slices of a slab, and those around it that are looked at and then left out."""
COPIES = 3
"""How often the results of a network are held at the same time."""
FILES = ("plans.json", "dataset.json", "fold_0/checkpoint_final.pth")
"""What a network consists of, below its folder."""
MODES = {"full": "default", "fast": "fast", "fastest": "fastest"}
_TRAINERS = """
nnUNetTrainer nnUNetTrainerNoMirroring nnUNetTrainer_4000epochs_NoMirroring
nnUNetTrainer_2000epochs_NoMirroring nnUNetTrainer_DASegOrd0 nnUNetTrainer_DASegOrd0_NoMirroring
nnUNetTrainer_onlyMirror01
""".split()
_NEWUSER, _NEWNET = 0x10000000, 0x40000000


class Unfit(Exception):
    """Something about the installation: no job can be done before it is mended."""


# What there is


def about(task: str, mode: str) -> dict[str, Any]:
    """Versions, and of a task its labels, modality, spacing, and the folders of its networks."""
    from totalsegmentator import registry
    from totalsegmentator.map_tasks_config import TASK_CONFIGS, TASK_ID_WEIGHTS_CONFIGS

    versions = {
        name: metadata.version(name) for name in ("TotalSegmentator", "nnunetv2", "torch", "numpy")
    }
    found: dict[str, Any] = {"versions": versions, "tasks": sorted(TASK_CONFIGS)}
    if task not in TASK_CONFIGS:
        return found
    config = _config(TASK_CONFIGS[task], mode)
    ids = config["task_id"] if isinstance(config["task_id"], list) else [config["task_id"]]
    plans = config.get("plans") or "nnUNetPlans"
    model = config.get("model") or "3d_fullres"
    folder = f"{config['trainer']}__{plans}__{model}"
    places = [TASK_ID_WEIGHTS_CONFIGS[n]["foldername"] for n in ids if n in TASK_ID_WEIGHTS_CONFIGS]
    resample = config.get("resample")
    found["task"] = {
        "labels": {str(n): name for n, name in registry.get_task_classes(task).items()},
        "modality": registry.task_modality(task),
        "licence": bool(registry.requires_license(task) or config.get("commercial")),
        "modes": sorted(TASK_CONFIGS[task].get("sub_modes", {"default": None})),
        "whole": not any(config.get(name) for name in ("crop", "cascade", "crop_model"))
        and len(places) == len(ids)
        and isinstance(resample, float),
        "spacing": resample,
        "folders": [f"{place}/{folder}" for place in places],
    }
    return found


def _config(raw: dict[str, Any], mode: str) -> dict[str, Any]:
    if "sub_modes" in raw:
        return {**raw, **raw["sub_modes"].get(MODES[mode], raw["sub_modes"]["default"])}
    return raw


# Where it works


def isolate() -> bool:
    """Cut this process off from the network; whether the kernel does so, too.

    Must be called before threads are started.
    """
    cut = False
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        cut = any(libc.unshare(flags) == 0 for flags in (_NEWNET, _NEWUSER | _NEWNET))
    real = socket.socket.connect

    def connect(self: Any, address: Any) -> None:
        if self.family != getattr(socket, "AF_UNIX", None):
            raise OSError("the segmenter has no network")
        real(self, address)

    for name in ("connect", "connect_ex"):
        setattr(socket.socket, name, connect)
    return cut


def limit_memory(most: int, device: str) -> None:
    """No more than so many bytes of data, where the system can see to that."""
    if most and device == "cpu" and sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def settle(home: Path, weights: Path) -> None:
    """A home directory of its own, with statistics switched off, and where the weights are."""
    home.mkdir(parents=True, exist_ok=True)
    said = {
        "totalseg_id": "totalseg_local",
        "send_usage_stats": False,
        "prediction_counter": 0,
        "statistics_disclaimer_shown": True,
    }
    (home / "config.json").write_text(json.dumps(said))
    os.environ["TOTALSEG_HOME_DIR"] = str(home)
    os.environ["TOTALSEG_WEIGHTS_PATH"] = str(weights)
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
        os.environ[name] = str(weights)


# Networks


class Networks:
    """Networks that are loaded, and what predicts with them in place of what TotalSegmentator has.

    `files` are the SHA-256 of every file of every network, by its path below the weights.
    """

    def __init__(
        self,
        weights: Path,
        files: dict[str, str],
        threads: int,
        memory: int,
        slab: tuple[int, int] = (THICK, MARGIN),
    ) -> None:
        self.weights, self.files, self.threads = weights, files, threads
        self.memory, (self.thick, self.margin) = memory, slab
        self.loaded: dict[tuple[Any, ...], Any] = {}
        self.slabs = 0

    def check(self, folder: Path) -> None:
        """Unfit when a file of a network is not the one that was installed."""
        for name in FILES:
            path = folder / name
            key = path.relative_to(self.weights).as_posix()
            if key not in self.files:
                raise Unfit(f"{key} was not installed")
            if not path.is_file() or digest(path) != self.files[key]:
                raise Unfit(f"{key} is gone, or is another one than was installed")

    def network(self, folder: str, step: float, mirror: bool, device: Any) -> Any:
        """A network, loaded when it is asked for the first time."""
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        key = (folder, step, mirror, str(device))
        if key not in self.loaded:
            self.check(Path(folder))
            made = nnUNetPredictor(
                tile_step_size=step,
                use_gaussian=True,
                use_mirroring=mirror,
                perform_everything_on_device=True,
                device=device,
                allow_tqdm=False,
            )
            made.initialize_from_trained_model_folder(
                folder, use_folds=[0], checkpoint_name="checkpoint_final.pth"
            )
            self.loaded[key] = made
        return self.loaded[key]

    def predict(
        self,
        dir_in: Any,
        dir_out: Any,
        task_id: int,
        model: str = "3d_fullres",
        folds: Any = None,
        trainer: str = "nnUNetTrainer",
        tta: bool = False,
        *_: Any,
        plans: str | None = "nnUNetPlans",
        device: Any = "cuda",
        step_size: float = 0.5,
        **__: Any,
    ) -> None:
        """What `totalsegmentator.nnunet.nnUNetv2_predict` does, without starting processes."""
        import torch
        from nnunetv2.utilities.file_path_utilities import get_output_folder

        folder = get_output_folder(task_id, trainer, plans or "nnUNetPlans", model)
        where = device if isinstance(device, torch.device) else torch.device(device)
        torch.set_num_threads(self.threads if where.type == "cpu" else 1)
        network = self.network(str(folder), step_size, bool(tta), where)
        reader = network.plans_manager.image_reader_writer_class()
        for path in sorted(Path(dir_in).glob("s0?_0000.nii.gz")):
            data, properties = reader.read_images([str(path)])
            found = self.whole(network, data, properties)
            name = path.name.replace("_0000.nii.gz", ".nii.gz")
            reader.write_seg(found, str(Path(dir_out) / name), properties)

    def whole(self, network: Any, data: Any, properties: dict[str, Any]) -> Any:
        """Labels of a volume; of a large one slab by slab along the body, its first axis."""
        import numpy as np

        depth = data.shape[1]
        classes = network.label_manager.num_segmentation_heads
        held = classes * data[0].size * 2 * COPIES
        fixed = set(network.configuration_manager.normalization_schemes) <= {"CTNormalization"}
        if not fixed or held <= self.memory or depth <= self.thick + 2 * self.margin:
            self.slabs = 1
            return network.predict_single_npy_array(data, properties)
        found = np.zeros(data.shape[1:], np.uint8 if classes < 256 else np.uint16)
        self.slabs = 0
        for read, keep, place in slabs(depth, self.thick, self.margin):
            part = network.predict_single_npy_array(data[:, read], dict(properties))
            found[place] = part[keep]
            self.slabs += 1
        return found


def slabs(depth: int, thick: int, margin: int) -> Iterator[tuple[slice, slice, slice]]:
    """Parts of a long volume: what to read, what of it to keep, and where that belongs.

    >>> [(r.start, r.stop, k.start, k.stop) for r, k, _ in slabs(10, 4, 2)]
    [(0, 6, 0, 4), (2, 10, 2, 6), (6, 10, 2, 4)]
    """
    for start in range(0, depth, thick):
        end = min(start + thick, depth)
        low, high = max(0, start - margin), min(depth, end + margin)
        yield slice(low, high), slice(start - low, end - low), slice(start, end)


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def patch(networks: Networks) -> None:
    """Put our functions in the place of TotalSegmentator's that start processes or use networks.

    nnU-Net finds the class of a trainer by importing all of its trainers, one of which needs
    torchvision; TotalSegmentator asks its own table first. For a prediction the base class is
    enough: it only builds the network.
    """
    import totalsegmentator.nnunet as upstream
    import totalsegmentator.python_api as api
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    for name in _TRAINERS:
        upstream.custom_trainers.setdefault(name, nnUNetTrainer)
    upstream.nnUNetv2_predict = networks.predict
    real = upstream.nnUNet_predict_image

    @functools.wraps(real)
    def predict_image(*args: Any, **named: Any) -> Any:
        return real(*args, **{**named, "save_lowres": True})

    def present(task_id: Any) -> None:
        from totalsegmentator.map_tasks_config import TASK_ID_WEIGHTS_CONFIGS

        name = TASK_ID_WEIGHTS_CONFIGS[task_id]["foldername"]
        if not (networks.weights / name).is_dir():
            raise Unfit(f"there are no weights {name}")

    upstream.nnUNet_predict_image = predict_image
    api.download_pretrained_weights = present
    api.send_usage_stats = lambda *_: None


# Jobs


def segment(job: dict[str, Any], networks: Networks) -> dict[str, Any]:
    """Do one job: labels of a volume, written into the folder of the job."""
    import nibabel as nib
    import numpy as np
    import totalsegmentator.resampling as resampling
    from totalsegmentator.python_api import totalsegmentator

    folder = Path(job["folder"])
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)
    voxels = np.load(folder / "voxels.npy", mmap_mode="r")
    image = nib.Nifti1Image(np.asarray(voxels).transpose(2, 1, 0), np.asarray(job["affine"]))
    named = {"fast": True} if job["mode"] == "fast" else {"fastest": job["mode"] == "fastest"}
    found = totalsegmentator(
        image, None, ml=True, task=job["task"], device=job["device"], quiet=True,
        skip_saving=True, nr_thr_resamp=1, nr_thr_saving=1, **named,
    )  # fmt: skip
    labels = np.asarray(found.dataobj).astype(np.uint8).transpose(2, 1, 0)
    np.save(folder / "labels.npy", labels)
    on_gpu = resampling.cupy_available and resampling.cucim_available and job["device"] != "cpu"
    return {"slabs": networks.slabs, "edges": bool(on_gpu)}


def work(said: dict[str, Any]) -> None:
    """Do jobs until nobody sends any more."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    cut = isolate()
    limit_memory(int(said["memory"]), said["device"])
    weights = Path(said["weights"])
    settle(Path(said["home"]), weights)
    lines: queue.Queue[str] = queue.Queue()
    left = [str(Path(said["home"]).parent)]
    threading.Thread(target=_listen, args=(lines, left), daemon=True).start()

    def answer(found: dict[str, Any]) -> None:
        out.write(json.dumps(found) + "\n")
        out.flush()

    with guarded(answer) as ready:
        slab = said["slab"]
        networks = Networks(
            weights, said["files"], int(said["threads"]), slab[0], (slab[1], slab[2])
        )
        patch(networks)
        ready.update({"ready": True, "cut": cut})
    while line := lines.get():
        job = json.loads(line)
        left[1:] = [job["folder"]]
        began = time.monotonic()
        with guarded(answer) as found:
            found.update(segment(job, networks))
            found["seconds"] = time.monotonic() - began
            found["torchvision"] = "torchvision" in sys.modules


@contextlib.contextmanager
def guarded(answer: Any) -> Iterator[dict[str, Any]]:
    """What is found within the block is answered, or what went wrong: only its type is told."""
    found: dict[str, Any] = {}
    try:
        yield found
    except Unfit as error:
        found = {"unfit": str(error)}
    except (Exception, SystemExit) as error:  # noqa: BLE001
        full = isinstance(error, MemoryError) or "allocate memory" in str(error)
        found = {"error": "MemoryError" if full else type(error).__name__}
        if os.environ.get("DICOMLAKE_SEGMENTER_DEBUG"):
            import traceback

            traceback.print_exc()
    answer(found)


def _listen(lines: queue.Queue[str], left: list[str]) -> None:
    """Take lines until the parent is gone; then remove what it would have, and end at once."""
    for line in sys.stdin:
        lines.put(line)
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


if __name__ == "__main__":
    sys.path.pop(0)  # the folder of this file has nothing for others to import
    if sys.argv[1] == "about":
        sys.stdout.write(json.dumps(about(sys.argv[2], sys.argv[3])) + "\n")
    else:
        work(json.loads(sys.argv[2]))
