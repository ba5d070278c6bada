import pytest
import torch
import torch_geometric.nn.aggr
from lightning.pytorch import Callback
from torch_geometric.data import Batch
from torch_geometric.nn.aggr import MeanAggregation

from pyg_setops.training.run import build_predictor, train_run
from pyg_setops.training.store import Store

PEERS = [
    "mean",
    "sum",
    "max",
    "softmax:learn=true",
    "set2set",
    "gru",
    "set_transformer",
    "equilibrium",
    "swarm:num_iterations=3",
]


class Counter(Callback):
    def __init__(self):
        self.steps = 0

    def on_train_batch_end(self, *args):
        self.steps += 1


class Kill(Callback):
    """Ends the process, as it were, at a step in the middle of an epoch."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, *args):
        if trainer.global_step == self.step:
            raise SystemError("killed")


class SuddenlyBrokenAggregation(MeanAggregation):
    """A mean that becomes NaN at a chosen training step."""

    def __init__(self, step):
        super().__init__()
        self.step = step

    def forward(self, *args, **kwargs):
        if self.training and torch.is_grad_enabled():
            self.step -= 1
        return super().forward(*args, **kwargs) + (torch.nan if self.step < 0 else 0)


class UnjudgedAggregation(MeanAggregation):
    """A mean that is NaN the first so many times that it is not trained."""

    def __init__(self, times):
        super().__init__()
        self.times = times

    def forward(self, *args, **kwargs):
        self.times -= not self.training
        out = super().forward(*args, **kwargs)
        return out * torch.nan if not self.training and self.times >= 0 else out


@pytest.fixture
def unjudged(monkeypatch):
    monkeypatch.setattr(
        torch_geometric.nn.aggr, "UnjudgedAggregation", UnjudgedAggregation, False
    )


@pytest.fixture
def broken(monkeypatch):
    monkeypatch.setattr(
        torch_geometric.nn.aggr,
        "SuddenlyBrokenAggregation",
        SuddenlyBrokenAggregation,
        raising=False,
    )


def test_saved_weights_give_the_reported_error(options, task_of, tmp_path):
    asked = options()
    task = task_of(asked)
    result = train_run(asked, task, "swarm", 0, tmp_path)
    weights = torch.load(tmp_path / "best.ckpt", weights_only=True)["state_dict"]
    predictor = build_predictor(asked, task, "swarm")
    predictor.load_state_dict(weights)
    targets = torch.cat([graph.y for graph in task.train]).double()
    mean = targets.mean()
    std = ((targets - mean).square().sum() / (len(targets) - 1)).sqrt()

    @torch.no_grad()
    def error(graphs):
        outs = [float(predictor.model(graph) * std + mean) for graph in graphs]
        pairs = zip(outs, graphs, strict=True)
        return sum(abs(out - float(graph.y)) for out, graph in pairs) / len(graphs)

    assert result.test_metric == pytest.approx(error(task.test), rel=1e-4)
    assert result.val_metric == pytest.approx(error(task.val), rel=1e-4)
    assert result.val_metric == min(row["val_metric"] for row in result.history)
    best = result.history[result.best_epoch - 1]
    assert best["val_metric"] == result.val_metric
    assert [row["epoch"] for row in result.history] == [1, 2, 3]
    assert result.num_steps == 3 * 4
    constants = ("model.node_encoder.offset", "model.radial.offset")
    assert result.num_parameters == sum(
        weight.numel() for name, weight in weights.items() if name not in constants
    )


@pytest.mark.parametrize("step", [2, 5, 8])
def test_a_killed_run_ends_like_one_that_was_not(options, task_of, tmp_path, step):
    # Dropout, so that the random state counts.
    aggr = "swarm:dropout=0.5"
    asked = options()
    task = task_of(asked)
    whole = train_run(asked, task, aggr, 1, tmp_path / "whole")
    with pytest.raises(SystemError, match="killed"):
        train_run(asked, task, aggr, 1, tmp_path / "killed", (Kill(step),))
    counter = Counter()
    resumed = train_run(asked, task, aggr, 1, tmp_path / "killed", (counter,))
    assert counter.steps == 12 - step // 4 * 4

    def without_time(result):
        return [
            {key: value for key, value in row.items() if key != "seconds"}
            for row in result.history
        ]

    assert without_time(resumed) == without_time(whole)
    assert resumed.test_metric == whole.test_metric
    assert resumed.num_steps == whole.num_steps


@pytest.mark.parametrize("where", ["readout", "conv", "both"])
@pytest.mark.parametrize("aggr", PEERS)
def test_every_set_function_trains_in_every_place(options, task_of, aggr, where):
    asked = options(where=where)
    task = task_of(asked)
    predictor = build_predictor(asked, task, aggr)
    optimizer = torch.optim.SGD(predictor.parameters(), lr=1e-3)
    batch = Batch.from_data_list(task.train)
    losses = []
    for _ in range(2):
        losses.append(predictor.loss(batch))
        optimizer.zero_grad()
        losses[-1].backward()
        optimizer.step()
    assert losses[1] < losses[0]
    for name, parameter in predictor.named_parameters():
        # PyG's equilibrium has biases that its gradient flow cannot feel.
        assert parameter.grad is not None or "potential" in name, name


def test_set_functions_that_differentiate_can_be_validated(options, task_of, tmp_path):
    asked = options(where="both", epochs=1, batch_size=32)
    result = train_run(asked, task_of(asked), "equilibrium", 0, tmp_path)
    assert 0 < result.test_metric < 100


def test_seeds_differ_and_repeat(options, task_of, tmp_path):
    asked = options(epochs=1)
    task = task_of(asked)
    metrics = [
        train_run(asked, task, "mean", seed, tmp_path / str(number)).test_metric
        for number, seed in enumerate([0, 0, 1])
    ]
    assert metrics[0] == metrics[1] != metrics[2]


def test_a_diverged_run_says_when(options, task_of, tmp_path, broken):
    asked = options()
    # One call to find the width is without gradients; one step is to count bytes.
    result = train_run(asked, task_of(asked), "suddenly_broken:step=5", 0, tmp_path)
    assert result.diverged == "the loss is nan in epoch 2"
    assert result.test_metric is None
    assert len(result.history) == 1


def test_an_epoch_that_cannot_be_judged_is_recorded(
    options, task_of, tmp_path, unjudged
):
    # One call to find the width, one for each epoch.
    asked, store = options(), Store(tmp_path, {}, resume=True)
    for aggr, unknown in ("unjudged:times=2", 1), ("unjudged:times=9", 3):
        folder = store.folder(aggr, 0)
        result = train_run(asked, task_of(asked), aggr, 0, folder)
        metrics = [row["val_metric"] for row in result.history]
        assert metrics[:unknown] == [None] * unknown
        assert metrics.count(None) == unknown
        assert bool(result.diverged) == (unknown == 3)
        store.save(result)
        assert store.load(aggr, 0) == result


def test_classes_are_judged_by_accuracy(options, task_of, tmp_path):
    torch.manual_seed(0)
    asked = options(
        data="FakeDataset:num_graphs=60,avg_num_nodes=5,num_classes=3", target=None
    )
    task = task_of(asked)
    result = train_run(asked, task, "set2set", 0, tmp_path)
    predictor = build_predictor(asked, task, "set2set")
    weights = torch.load(tmp_path / "best.ckpt", weights_only=True)["state_dict"]
    predictor.load_state_dict(weights)
    right = [int(predictor.model(g).argmax()) == int(g.y) for g in task.test]
    assert result.test_metric == pytest.approx(sum(right) / len(right))
    assert result.val_metric == max(row["val_metric"] for row in result.history)
