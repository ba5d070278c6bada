"""Amortised mixture of Gaussians: from a set of points to the mixture behind it.

    python examples/swarm_mixture.py --steps 1500

The synthetic task of the Set Transformer paper (https://arxiv.org/abs/1810.00825),
by its protocol: 4 clusters, 100 to 500 points, 10 fresh sets a step, Adam at 1e-3,
a tenth of that for the last 30% of the steps. A network maps a set to weights, means
and deviations, and is scored by the log-likelihood of the points: LL0 as predicted,
LL1 after one step of expectation maximisation. SWARM, with two readouts, beside a Set
Transformer and Deep Sets trained on the same sets. The paper trained for 50,000
steps; its rows are shown and marked.

Writes the table (csv, md) and the picture to ``runs/swarm_mixture``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import torch
import tyro
from experiment import (
    Fitted,
    Report,
    Task,
    draw_curves,
    fit,
    open_folder,
    save_figure,
)
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from torch import Tensor
from torch.distributions import Independent, Normal
from torch.nn import Module
from torch.nn.functional import softplus
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader

from pyg_setops import SwarmLayer
from pyg_setops.aggr import SwarmAggregation
from pyg_setops.datasets import GaussianMixtures
from pyg_setops.models.set_networks import (
    AttentionReadout,
    DeepSets,
    EncoderReadout,
    InducedSetTransformer,
)
from pyg_setops.ragged import SetIndex, segment_outer, segment_sum

NUM_CLUSTERS = 4
NUM_PARAMETERS = 5  # of a cluster: a weight, two means, two deviations
PUBLISHED_STEPS = 50_000
PUBLISHED = {
    "Deep Sets (rFF + pooling)": ("-2.0006", "-1.6186", "50,000"),
    "rFFp-mean + pooling": ("-1.7606", "-1.5191", "50,000"),
    "Set Transformer (ISAB(16) + PMA)": ("-1.5009", "-1.4530", "50,000"),
    "Set Transformer (ISAB(32) + PMA)": ("-1.4963", "-1.4524", "50,000"),
    "true parameters": ("-1.4726", "", ""),
}


@dataclass(frozen=True)
class Config:
    """Amortised mixture of Gaussians with SWARM and its peers."""

    steps: int = 1500
    """Training steps of each model, a multiple of 100 (or less than 100)."""
    batch_size: int = 10
    """Sets a step."""
    num_test: int = 500
    """Sets that all models are measured on."""
    seed: int = 0
    """Seed of the weights."""
    threads: int = 1
    """CPU threads."""
    output: Path = Path("runs/swarm_mixture")
    """Where results and checkpoints go; a killed run resumes from there."""
    smoke: bool = False
    """Run for seconds, to see that everything works."""


def attend(encoder: Module) -> Module:
    """Adds the Set Transformer's decoder, with a seed for each cluster."""
    return EncoderReadout(encoder, AttentionReadout(128, NUM_PARAMETERS, NUM_CLUSTERS))


OUT = NUM_CLUSTERS * NUM_PARAMETERS
MODELS: dict[str, Callable[[], Module]] = {
    "SWARM, mean readout": partial(SwarmAggregation, 2, OUT, 128, num_iterations=5),
    "SWARM, attention readout": lambda: attend(SwarmLayer(2, 128, 128, 5)),
    "Set Transformer": lambda: attend(InducedSetTransformer(2, 128, 128)),
    "Deep Sets": partial(DeepSets, 2, OUT, 128),
}


class Mixtures(NamedTuple):
    """A mixture for each set: ``[B, K]``, ``[B, K, 2]`` and ``[B, K, 2]``."""

    log_weight: Tensor
    mean: Tensor
    deviation: Tensor

    def log_joint(self, pos: Tensor, sets: SetIndex) -> Tensor:
        """The log density of each point with each cluster, ``[N, K]``."""
        own = Mixtures(*[parameter[sets.index] for parameter in self])
        clusters = Independent(Normal(own.mean, own.deviation), 1)
        return own.log_weight + clusters.log_prob(pos.unsqueeze(1))


def predict(network: Module, batch: Batch) -> Mixtures:
    """Reads the output of a network as mixtures."""
    out = network(batch.pos, ptr=batch.ptr).view(-1, NUM_CLUSTERS, NUM_PARAMETERS)
    logit, mean, deviation = out.split([1, 2, 2], dim=2)
    return Mixtures(
        logit.squeeze(2).log_softmax(dim=1), mean, softplus(deviation) + 1e-3
    )


def maximise(log_joint: Tensor, pos: Tensor, sets: SetIndex) -> Mixtures:
    """One step of expectation maximisation, from the log joint density."""
    share = log_joint.softmax(dim=1)
    count = segment_sum(share, sets).clamp(min=1e-6)
    mean = segment_outer(share, pos, sets) / count.unsqueeze(2)
    square = segment_outer(share, pos**2, sets) / count.unsqueeze(2)
    deviation = (square - mean**2).clamp(min=1e-4).sqrt()
    return Mixtures((count / sets.sizes.unsqueeze(1)).log(), mean, deviation)


def loss(network: Module, batch: Batch) -> dict[str, Tensor]:
    """The negative LL0 as the loss, LL0 and LL1, per point."""
    sets = SetIndex.build(ptr=batch.ptr)
    log_joint = predict(network, batch).log_joint(batch.pos, sets)
    ll0 = log_joint.logsumexp(dim=1).mean()
    with torch.no_grad():
        better = maximise(log_joint, batch.pos, sets)
        ll1 = better.log_joint(batch.pos, sets).logsumexp(dim=1).mean()
    return {"loss": -ll0, "LL0": ll0, "LL1": ll1}


def oracle(test: GaussianMixtures) -> float:
    """The log-likelihood per point by the true parameters."""
    batch = Batch.from_data_list(list(test))
    deviation = batch.covariance.diagonal(dim1=1, dim2=2).sqrt()
    flat = batch.weight.log(), batch.mean, deviation
    truth = Mixtures(*[x.unflatten(0, (-1, NUM_CLUSTERS)) for x in flat])
    log_joint = truth.log_joint(batch.pos, SetIndex.build(ptr=batch.ptr))
    return float(log_joint.logsumexp(dim=1).mean())


def make_task(config: Config, test: GaussianMixtures) -> Task:
    """Fresh sets at every step; the learning rate falls to a tenth after 70%."""
    epoch = min(config.steps, 100) * config.batch_size
    num_epochs = max(1, config.steps // 100)
    train = GaussianMixtures("mixture", "train", num_epochs * epoch)
    return Task(
        loss,
        lambda e: DataLoader(train[e * epoch : (e + 1) * epoch], config.batch_size),
        DataLoader(test, batch_size=100),
        num_epochs,
        schedule=lambda spent: 1.0 if spent < 0.7 else 0.1,
    )


def make_report(config: Config, fits: dict[str, Fitted], bound: float) -> Report:
    """The table, with the published rows below ours."""
    steps = f"{config.steps:,}"
    ours = [
        [
            name,
            f"{fitted.curve[-1]['LL0']:.4f}",
            f"{fitted.curve[-1]['LL1']:.4f}",
            steps,
            f"{fitted.num_parameters:,}",
            f"{fitted.seconds / 60:.1f}",
        ]
        for name, fitted in fits.items()
    ]
    published = [
        [f"published: {name}", *scores, "", ""] for name, scores in PUBLISHED.items()
    ]
    return Report(
        "swarm_mixture",
        "Amortised mixture of Gaussians, log-likelihood per point",
        f"python examples/swarm_mixture.py --steps {config.steps}",
        ["model", "LL0", "LL1", "steps", "parameters", "minutes"],
        [*ours, ["true parameters", f"{bound:.4f}", "", "", "", ""], *published],
        [
            f"{steps} of the {PUBLISHED_STEPS:,} published steps, {config.batch_size} "
            f"fresh sets a step, seed {config.seed}; measured on {config.num_test:,} "
            "other sets.",
            "Published rows: tables of the Set Transformer paper, not run here.",
        ],
    )


def draw(fits: dict[str, Fitted], test: GaussianMixtures) -> Figure:
    """Predicted mixtures of two test sets, and the learning curves."""
    figure = plt.figure(figsize=(17, 6.2), layout="constrained")
    ratios = [1] * len(fits) + [1.5]
    grid = figure.add_gridspec(2, len(fits) + 1, width_ratios=ratios)
    for row in range(2):
        for column, (name, fitted) in enumerate(fits.items()):
            axes = figure.add_subplot(grid[row, column])
            _ellipses(axes, fitted.network, test[row])
            if row == 0:
                axes.set_title(name)
    axes = figure.add_subplot(grid[:, -1])
    bound = {"true parameters": oracle(test)}
    draw_curves(axes, fits, "LL0", bound, legend="lower right")
    axes.set(title="LL0 per point, test sets", ylim=(-4.3, -1.35))
    return figure


@torch.no_grad()
def _ellipses(axes: Axes, network: Module, data: Data) -> None:
    predicted = predict(network, Batch.from_data_list([data]))
    x, y = data.pos.T
    axes.scatter(x, y, s=3, c="0.75")
    colours = plt.rcParams["axes.prop_cycle"].by_key()["color"]
    clusters = zip(*[parameter[0] for parameter in predicted], colours, strict=False)
    for log_weight, mean, deviation, colour in clusters:
        width, height = (4 * deviation).tolist()
        alpha = 0.4 + 0.6 * float(log_weight.exp())
        axes.add_patch(
            Ellipse(mean, width, height, fill=False, color=colour, alpha=alpha, lw=2)
        )
    axes.set(xticks=[], yticks=[], xlim=(-5, 5), ylim=(-5, 5), aspect="equal")


def main(config: Config) -> None:
    """Trains, measures, writes."""
    folder = open_folder(config)
    torch.set_num_threads(config.threads)
    test = GaussianMixtures("mixture", "test", config.num_test)
    task = make_task(config, test)
    fits = {
        name: fit(make, task, 1e-3, folder / name, config.seed)
        for name, make in MODELS.items()
    }
    make_report(config, fits, oracle(test)).write(folder)
    save_figure(draw(fits, test), folder / "swarm_mixture.png")


if __name__ == "__main__":
    config = tyro.cli(Config, description=__doc__)
    if config.smoke:
        config = Config(steps=3, num_test=20, smoke=True)
    main(config)
