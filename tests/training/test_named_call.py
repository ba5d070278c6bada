import pytest

from pyg_setops.training.named_call import parse_named_call


@pytest.mark.parametrize(
    ("text", "name", "arguments"),
    [
        ("mean", "mean", {}),
        ("mean:", "mean", {}),
        ("softmax:learn=true,t=0.5", "softmax", {"learn": True, "t": 0.5}),
        ("equilibrium:num_layers=[3,2]", "equilibrium", {"num_layers": [3, 2]}),
        ("swarm:pool=max", "swarm", {"pool": "max"}),
        ("swarm:pool=none,a=false", "swarm", {"pool": None, "a": False}),
        ("TUDataset:name='A-B',k=-1", "TUDataset", {"name": "A-B", "k": -1}),
    ],
)
def test_names_and_arguments(text, name, arguments):
    assert parse_named_call(text) == (name, arguments)


@pytest.mark.parametrize("text", ["a:1", "a:b=", "a:b=c()", "a:b=1)(", "a:**b"])
def test_what_cannot_be_read_is_quoted(text):
    with pytest.raises(ValueError, match="expected 'name:key=value,key=value', got"):
        parse_named_call(text)
