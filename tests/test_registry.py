"""The registry, its names in PyG, and the table made from it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch_geometric.nn import SAGEConv, aggr
from torch_geometric.nn.resolver import aggregation_resolver

from pyg_setops import registry
from pyg_setops.aggr import SwarmAggregation
from pyg_setops.operators import OPERATORS, operators
from pyg_setops.registry import register, unregister

README = Path(__file__).parents[1] / "README.md"
SWARM = operators("sets to vectors")[0]


@pytest.fixture(autouse=True)
def names():
    """The names in PyG's module, which every test has to leave as it found them."""
    unregister()
    before = dict(vars(aggr))
    yield before
    unregister()
    assert dict(vars(aggr)) == before


@pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
def test_entry_makes_a_small_instance(operator):
    assert isinstance(operator.example(4), operator.cls)
    assert operator.summary
    assert operator.link.startswith("https://")
    # A bar would end the cell of the table.
    assert "|" not in operator.summary + operator.paper + operator.cost


def test_names_are_distinct():
    assert len({operator.name for operator in OPERATORS}) == len(OPERATORS)


def test_importing_registers_nothing():
    with pytest.raises(ValueError, match="Could not resolve"):
        aggregation_resolver("swarm")


@pytest.mark.parametrize(
    "query",
    ["swarm", "Swarm", "SwarmAggregation", "swarm_aggregation", "swarm-aggregation"],
)
def test_registered_names_resolve(query):
    assert "swarm" in register()
    aggregation = aggregation_resolver(query, in_channels=4, num_iterations=2)
    assert type(aggregation) is SwarmAggregation
    assert aggregation.num_iterations == 2


def test_registering_again_changes_nothing(names):
    first = register()
    after = dict(vars(aggr))
    assert register() == first
    assert dict(vars(aggr)) == after
    assert after.keys() - names.keys() == {
        operator.registered_name for operator in operators("sets to vectors")
    }


def test_unregister_undoes_register():
    register()
    unregister()
    with pytest.raises(ValueError, match="Could not resolve"):
        SAGEConv(4, 4, aggr="swarm")
    unregister()


def test_unregister_leaves_what_another_put_there():
    class Foreign(aggr.SumAggregation):
        pass

    register()
    aggr.SwarmAggregation = Foreign
    try:
        unregister()
        assert aggr.SwarmAggregation is Foreign
    finally:
        del aggr.SwarmAggregation


@pytest.mark.parametrize("registered", [False, True])
def test_refuses_a_place_that_another_took(monkeypatch, registered):
    class Foreign(aggr.SumAggregation):
        pass

    if registered:
        register()
    with monkeypatch.context() as patch:
        patch.setattr(aggr, "SwarmAggregation", Foreign, raising=False)
        with pytest.raises(ValueError, match="'swarm' cannot be registered"):
            register()
        assert aggr.SwarmAggregation is Foreign


def test_registering_again_restores_what_was_removed():
    register()
    del aggr.SwarmAggregation
    assert "swarm" in register()
    assert type(aggregation_resolver("swarm", in_channels=4)) is SwarmAggregation


@pytest.mark.parametrize("name", ["equilibrium", "set_transformer", "deep_sets", "sum"])
def test_refuses_a_name_of_pyg_and_registers_nothing(monkeypatch, names, name):
    entries = (SWARM, replace(SWARM, name=name))
    monkeypatch.setattr("pyg_setops.operators.OPERATORS", entries)
    with pytest.raises(ValueError, match=f"'{name}' cannot be registered: PyG"):
        register()
    assert dict(vars(aggr)) == names


def test_a_longer_name_makes_ordinary_instances(monkeypatch):
    entry = replace(SWARM, name="implicit_swarm")
    monkeypatch.setattr("pyg_setops.operators.OPERATORS", (entry,))
    assert register() == ("implicit_swarm",)
    aggregation = aggregation_resolver("implicit_swarm", in_channels=4)
    assert type(aggregation) is SwarmAggregation
    assert issubclass(aggr.ImplicitSwarmAggregation, SwarmAggregation)
    assert aggregation(torch.randn(3, 4)).shape == (1, 4)


def test_readme_shows_the_table_of_today():
    text = README.read_text()
    command = "from pyg_setops.registry import *; update_operator_table('README.md')"
    assert registry.with_operator_table(text) == text, f'run: python -c "{command}"'


def test_updating_a_page_keeps_what_is_around_the_table(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before <!-- operators:begin -->old<!-- operators:end --> after")
    registry.update_operator_table(page)
    assert page.read_text().startswith("before <!-- operators:begin -->\n| operator")
    assert page.read_text().endswith("<!-- operators:end --> after")
    assert "old" not in page.read_text()
    assert list(tmp_path.iterdir()) == [page]


def test_table_needs_its_markers():
    with pytest.raises(ValueError, match="operators:begin"):
        registry.with_operator_table("no table here")


def test_table_has_a_row_for_every_operator():
    rows = registry.operator_table().splitlines()[2:]
    assert len(rows) == len(OPERATORS)
    assert all(row.count(" | ") == 4 for row in rows)
