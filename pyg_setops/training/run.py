"""One run: one set function, one seed, from the first step to the test metric."""

from __future__ import annotations

import math
import statistics
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger
from rich.console import Console

from ..models import MoleculeRegressor
from .cost import saved_bytes
from .graph_data import GraphData
from .graph_predictor import DivergedError, GraphPredictor
from .history import History
from .named_call import parse_named_call
from .options import CompareOptions
from .store import RunResult
from .task import GraphTask


def train_run(
    options: CompareOptions,
    task: GraphTask,
    aggr: str,
    seed: int,
    folder: Path,
    callbacks: tuple[Callback, ...] = (),
) -> RunResult:
    """Trains, or goes on training, and tests the weights of the best epoch.

    Args:
        options: The budget.
        task: The data.
        aggr: The set function.
        seed: The seed of weights and batches.
        folder: Where checkpoints are kept; ``last.ckpt`` there is taken up.
        callbacks: More of Lightning's callbacks.
    """
    seed_everything(seed, verbose=False)
    predictor = build_predictor(options, task, aggr)
    data = GraphData(task, options.batch_size, seed)
    memory = saved_bytes(predictor, next(iter(data.train_dataloader())))
    history = History(seed)
    best, last = _checkpoints(folder, task)
    trainer = _trainer(options, folder, [*callbacks, history, best, last])
    metrics: dict[str, Any] = {}
    diverged = None
    with warnings.catch_warnings():
        _silence_lightning()
        try:
            latest = folder / "last.ckpt"
            trainer.fit(predictor, data, ckpt_path=latest if latest.exists() else None)
            metrics = _test(trainer, predictor, data, best, history)
        except DivergedError as error:
            diverged = f"{error} in epoch {trainer.current_epoch + 1}"
    seconds = [row["seconds"] for row in history.rows]
    return RunResult(
        aggr=aggr,
        seed=seed,
        diverged=diverged,
        test_metric=metrics.get("test_metric"),
        val_metric=metrics.get("val_metric"),
        best_epoch=metrics.get("best_epoch"),
        num_parameters=sum(p.numel() for p in predictor.parameters()),
        saved_bytes=memory,
        seconds_per_epoch=statistics.median(seconds) if seconds else None,
        num_steps=trainer.global_step,
        history=history.rows,
    )


def build_predictor(
    options: CompareOptions, task: GraphTask, aggr: str
) -> GraphPredictor:
    """The network with this set function, and how it is trained."""
    name, arguments = parse_named_call(aggr)
    model = MoleculeRegressor(
        name,
        options.where,
        options.hidden,
        options.layers,
        out_channels=task.num_classes or 1,
        node_features=task.node_features,
        edge_features=task.edge_features,
        cutoff=options.cutoff,
        aggr_kwargs=arguments,
    )
    mean, std = task.statistics()
    return GraphPredictor(model, task.num_classes, mean, std, options.lr)


def _trainer(
    options: CompareOptions, folder: Path, callbacks: list[Callback]
) -> Trainer:
    # In a file, not on a terminal, a bar would leave nothing but noise.
    bar = [RichProgressBar()] if Console().is_terminal else []
    return Trainer(
        accelerator=options.accelerator,
        devices=options.devices,
        num_nodes=options.num_nodes,
        max_epochs=options.epochs,
        gradient_clip_val=1.0,
        # Some aggregations (PyG's equilibrium) differentiate in their forward.
        inference_mode=False,
        # Every rank validates and tests on all graphs: padding would count some twice.
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        logger=CSVLogger(folder, name="log"),
        enable_model_summary=False,
        callbacks=[*callbacks, *bar],
        enable_progress_bar=bool(bar),
    )


def _checkpoints(
    folder: Path, task: GraphTask
) -> tuple[ModelCheckpoint, ModelCheckpoint]:
    """The best epoch, and the last one to resume from."""
    best = ModelCheckpoint(
        folder,
        filename="best",
        monitor="val_metric",
        mode="min" if task.num_classes is None else "max",
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    last = ModelCheckpoint(
        folder,
        filename="last",
        save_on_train_epoch_end=True,
        enable_version_counter=False,
    )
    return best, last


def _test(
    trainer: Trainer,
    predictor: GraphPredictor,
    data: GraphData,
    best: ModelCheckpoint,
    history: History,
) -> dict[str, Any]:
    # What is not a number counts as the worst one.
    if best.best_model_score is None or not best.best_model_score.isfinite():
        raise DivergedError("the validation metric was never finite")
    val = float(best.best_model_score)
    epochs = [row["epoch"] for row in history.rows if row["val_metric"] == val]
    # Given to `test`, the checkpoint would bring back the history of that epoch too.
    checkpoint = torch.load(best.best_model_path, "cpu", weights_only=True)
    predictor.load_state_dict(checkpoint["state_dict"])
    (tested,) = trainer.test(predictor, data, verbose=False)
    test = tested["test_metric"]
    if not math.isfinite(test):
        raise DivergedError(f"the test metric is {test}")
    return {
        "test_metric": test,
        "val_metric": val,
        "best_epoch": int(epochs[0]) if epochs else None,
    }


def _silence_lightning() -> None:
    """Hides advice that does not apply: the graphs are in memory, epochs are logged."""
    for message in (
        ".*does not have many workers.*",
        ".*exists and is not empty.*",
        ".*smaller than the logging interval.*",
        # Of Lightning's own use of torch.
        ".*isinstance.treespec, LeafSpec.*",
    ):
        warnings.filterwarnings("ignore", message)
