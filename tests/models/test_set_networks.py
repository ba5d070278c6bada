import pytest
import torch
from torch_geometric.nn.aggr.utils import (
    InducedSetAttentionBlock,
    PoolingByMultiheadAttention,
)

from pyg_setops.models.set_attention import (
    AttentionBlock,
    InducedSetAttention,
    PoolingByAttention,
)
from pyg_setops.models.set_networks import (
    AttentionReadout,
    DeepSets,
    EncoderReadout,
    EquivariantDeepSets,
    InducedSetTransformer,
)
from pyg_setops.ragged import SetIndex

SIZES = [3, 1, 0, 7]
PTR = torch.tensor([0, 3, 4, 4, 11])


@pytest.fixture
def x():
    torch.manual_seed(0)
    return torch.randn(sum(SIZES), 8, dtype=torch.float64)


def loop(function, x):
    """One set at a time, the empty ones left out."""
    return [function(part) for part in x.split(SIZES) if len(part)]


def copy_to_peer(ours: AttentionBlock, peer) -> None:
    """From our block to PyG's MultiheadAttentionBlock."""
    with torch.no_grad():
        linear = (ours.lin_query, ours.lin_key, ours.lin_value)
        peer.attn.in_proj_weight.copy_(torch.cat([lin.weight for lin in linear]))
        peer.attn.in_proj_bias.copy_(torch.cat([lin.bias for lin in linear]))
    peer.attn.out_proj.load_state_dict(ours.lin_out.state_dict())
    peer.lin.load_state_dict(ours.lin_feed.state_dict())
    peer.layer_norm1.load_state_dict(ours.norm_attention.state_dict())
    peer.layer_norm2.load_state_dict(ours.norm_feed.state_dict())


def test_induced_attention_is_that_of_pyg_set_by_set(x):
    ours = InducedSetAttention(8, num_inducing=5, heads=2).double()
    peer = InducedSetAttentionBlock(8, num_induced_points=5, heads=2).double()
    copy_to_peer(ours.write, peer.mab1)
    copy_to_peer(ours.read, peer.mab2)
    peer.ind.data = ours.write.seeds.data.unsqueeze(0)
    expected = torch.cat(loop(lambda part: peer(part.unsqueeze(0))[0], x))
    torch.testing.assert_close(ours(x, SetIndex.build(ptr=PTR)), expected)


def test_pooling_is_that_of_pyg_set_by_set(x):
    ours = PoolingByAttention(8, num_seeds=3, heads=4).double()
    peer = PoolingByMultiheadAttention(8, num_seed_points=3, heads=4).double()
    copy_to_peer(ours, peer.mab)
    peer.seed.data = ours.seeds.data.unsqueeze(0)
    # PyG transforms the elements once more before it pools them.
    y = peer.lin(x).relu()
    pooled = ours(y, SetIndex.build(ptr=PTR))
    expected = torch.cat(loop(lambda part: peer(part.unsqueeze(0)), x))
    torch.testing.assert_close(pooled[[0, 1, 3]], expected)


def test_deep_sets_equals_a_loop(x):
    network = EquivariantDeepSets(8, 2, hidden_channels=6, num_layers=2).double()

    def one_set(part):
        for number in range(2):
            own, pooled = network.own[number], network.pooled[number]
            mean = part.mean(dim=0)
            part = part @ own.weight.T + own.bias + pooled.weight @ mean
            if number == 0:
                part = part.clamp(min=0)
        return part

    expected = torch.cat(loop(one_set, x))
    torch.testing.assert_close(network(x, ptr=PTR), expected)


@pytest.mark.parametrize(
    "network",
    [
        InducedSetTransformer(8, 2, hidden_channels=4, num_inducing=3),
        AttentionReadout(8, 2, num_seeds=3),
    ],
    ids=lambda network: type(network).__name__,
)
def test_sets_do_not_see_each_other(network, x):
    network = network.double()
    expected = torch.cat(loop(network, x))
    out = network(x, ptr=PTR)
    if isinstance(network, AttentionReadout):
        assert out.isfinite().all()
        out = out[[0, 1, 3]]
    torch.testing.assert_close(out, expected)


def test_invariant_deep_sets_averages_elements(x):
    network = DeepSets(8, 2, hidden_channels=4, num_layers=2).double()
    expected = loop(lambda part: network.on_sets(network.on_elements(part).mean(0)), x)
    out = network(x, ptr=PTR)
    torch.testing.assert_close(out[[0, 1, 3]], torch.stack(expected))


def test_encoder_readout_hands_the_layout_to_both(x):
    encoder = EquivariantDeepSets(8, 8, hidden_channels=4, num_layers=2)
    network = EncoderReadout(encoder, DeepSets(8, 2, 4, num_layers=1)).double()
    expected = torch.cat(loop(network, x))
    torch.testing.assert_close(network(x, ptr=PTR)[[0, 1, 3]], expected)


def test_unsorted_index(x):
    network = InducedSetTransformer(8, 2, hidden_channels=4, num_inducing=3).double()
    index = torch.arange(4).repeat_interleave(torch.tensor(SIZES))
    order = torch.randperm(len(x))
    torch.testing.assert_close(
        network(x[order], index[order]), network(x, ptr=PTR)[order]
    )


def test_gradients(x):
    block = InducedSetAttention(8, num_inducing=2, heads=2).double()
    sets = SetIndex.build(ptr=PTR)
    assert torch.autograd.gradcheck(
        lambda x: block(x, sets), x.clone().requires_grad_(), fast_mode=True
    )


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="'heads' must divide 'channels'"):
        AttentionBlock(8, 3)
