import pytest
import torch
from torch_geometric.data import Data

from pyg_setops import registry
from pyg_setops.training.options import CompareOptions
from pyg_setops.training.sources import open_source
from pyg_setops.training.task import prepare


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Many tiny steps: threads waiting for one another would take most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _registered():
    registry.register()
    yield
    registry.unregister()


def molecule(size):
    pos = torch.randn(size, 3)
    y = torch.stack([torch.tensor(float(size)), pos.norm(dim=-1).sum()])
    return Data(z=torch.randint(1, 9, (size,)), pos=pos, y=y[None])


@pytest.fixture
def saved_molecules(tmp_path):
    """The path of forty molecules with two targets each."""
    generator = torch.Generator().manual_seed(0)
    sizes = torch.randint(2, 7, (40,), generator=generator).tolist()
    path = tmp_path / "molecules.pt"
    torch.save([molecule(size) for size in sizes], path)
    return path


@pytest.fixture
def options(saved_molecules, tmp_path):
    def make(**changes):
        small = {
            "data": str(saved_molecules),
            "target": "1",
            "aggr": ("mean", "swarm"),
            "epochs": 3,
            "batch_size": 8,
            "hidden": 8,
            "layers": 1,
            "output": tmp_path / "output",
            "accelerator": "cpu",
        }
        return CompareOptions(**(small | changes))

    return make


@pytest.fixture
def task_of():
    def make(options):
        source = open_source(options.data, options.target)
        return prepare(source, options.cutoff, options.max_graphs)

    return make
