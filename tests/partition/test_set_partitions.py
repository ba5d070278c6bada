import pytest
import torch

from pyg_setops.partition import (
    diagrams_to_orbits,
    moebius,
    orbits_to_diagrams,
    set_partitions,
    zeta,
)
from tests.oracles import partition as oracle

BELL = [1, 1, 2, 5, 15, 52, 203, 877]


def blocks(partition):
    return sorted(
        [p for p, block in enumerate(partition) if block == name]
        for name in set(partition)
    )


@pytest.mark.parametrize("num_points", range(7))
def test_partitions_are_all_there_are_once(num_points):
    ours = set_partitions(num_points)
    assert len(ours) == BELL[num_points]
    assert list(ours) == sorted(ours)
    expected = oracle.partitions(list(range(num_points)))
    assert sorted(map(blocks, ours)) == sorted(map(sorted, expected))


@pytest.mark.parametrize("num_points", range(6))
def test_change_of_basis_is_unitriangular(num_points):
    matrix = zeta(num_points)
    # Coarser partitions come first in lexicographic order.
    assert torch.equal(matrix, matrix.tril())
    assert (matrix.diagonal() == 1).all()
    torch.testing.assert_close(
        moebius(num_points) @ matrix, torch.eye(len(matrix)).double()
    )


@pytest.mark.parametrize("orders", [(1, 1), (1, 2), (2, 2), (3, 1), (2, 3)])
@pytest.mark.parametrize("size", range(1, 5))
def test_diagrams_are_sums_of_coarser_orbits(orders, size):
    partitions = set_partitions(sum(orders))
    diagrams = torch.stack([oracle.diagram(p, *orders, size) for p in partitions])
    orbits = torch.stack([oracle.orbit(p, *orders, size) for p in partitions])
    torch.testing.assert_close(torch.tensordot(zeta(sum(orders)), orbits, 1), diagrams)
    torch.testing.assert_close(
        torch.tensordot(moebius(sum(orders)), diagrams, 1), orbits
    )


def test_both_bases_give_the_same_map():
    partitions = set_partitions(4)
    weight = torch.randn(15, 3, 2, dtype=torch.float64)
    there = diagrams_to_orbits(weight, 4)
    diagrams = torch.stack([oracle.diagram(p, 2, 2, 3) for p in partitions])
    orbits = torch.stack([oracle.orbit(p, 2, 2, 3) for p in partitions])
    torch.testing.assert_close(
        torch.einsum("pij,pab->ijab", orbits, there),
        torch.einsum("pij,pab->ijab", diagrams, weight),
    )
    torch.testing.assert_close(orbits_to_diagrams(there, 4), weight)


def test_errors():
    with pytest.raises(ValueError, match="'num_points'"):
        set_partitions(-1)
    with pytest.raises(ValueError, match="each of the 5 partitions, got 4"):
        diagrams_to_orbits(torch.ones(4), 3)
