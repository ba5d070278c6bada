"""Which score a pair of lifted points gets: the options, and the published ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Content = Literal["dot", "concat"]
Location = Literal["mlp", "raw"]
Combine = Literal["sum", "product", "mlp"]
Normalize = Literal["softmax", "exp", "constant"]

_NORMALIZE: dict[str, Normalize] = {"1": "softmax", "2": "constant"}
_COMBINE: dict[str, Combine] = {"1": "sum", "2": "mlp", "3": "product"}
_CONTENT: dict[str, Content] = {"1": "dot", "2": "concat", "3": "concat"}
_LOCATION: dict[str, Location] = {"1": "mlp", "2": "raw"}


@dataclass(frozen=True)
class AttentionKernel:
    r"""What a score is made of, and what becomes of it.

    Attributes:
        content: ``'dot'``, :math:`q_i \cdot k_j / \sqrt d`; ``'concat'``,
            :math:`W_a f_i + W_b f_j`; or ``None``.
        location: ``'mlp'``, a network of three layers for each head on the coordinates
            of the pair; ``'raw'``, the coordinates themselves, for
            ``combine='mlp'``; or ``None``.
        combine: The ``'sum'`` or ``'product'`` of both, or an ``'mlp'`` of three
            layers for each head on both.
        normalize: ``'softmax'`` over the neighbours; ``'exp'``, the exponential over
            their number; ``'constant'``, the score over their number.
        hidden_channels: The width of the networks.
        act_last: Whether their last layer is followed by swish, as published.

    Raises:
        ValueError: If the parts do not fit together.

    Example:
        >>> AttentionKernel.published("2232").normalize
        'constant'
    """

    content: Content | None = "dot"
    location: Location | None = "mlp"
    combine: Combine = "sum"
    normalize: Normalize = "softmax"
    hidden_channels: int = 16
    act_last: bool = True

    def __post_init__(self) -> None:
        for name, options in (
            ("content", ("dot", "concat", None)),
            ("location", ("mlp", "raw", None)),
            ("combine", ("sum", "product", "mlp")),
            ("normalize", ("softmax", "exp", "constant")),
        ):
            if getattr(self, name) not in options:
                raise ValueError(
                    f"'{name}' must be one of {options}, got {getattr(self, name)!r}"
                )
        if self.hidden_channels < 1:
            raise ValueError(
                f"'hidden_channels' must be positive, got {self.hidden_channels}"
            )
        if self.location == "raw" and self.combine != "mlp":
            raise ValueError(
                f"location='raw' needs combine='mlp', got {self.combine!r}: "
                "coordinates are no score"
            )
        parts = (self.content is not None) + (self.location is not None)
        if parts < (2 if self.combine == "product" else 1):
            raise ValueError(
                f"combine={self.combine!r} needs a content and a location, or for a "
                f"sum one of them, got {self.content!r} and {self.location!r}"
            )

    @classmethod
    def published(cls, name: str) -> AttentionKernel:
        """A kernel of the published code, by its ``kernel_type``.

        Args:
            name: ``'mlp'``, ``'dot_product_only'``, ``'location_only'``, or four
                digits: normalisation (1 softmax, 2 constant), combination (1 sum, 2
                mlp, 3 product), content (1 dot, 2 and 3 concat), location (1 mlp, 2
                raw).

        Raises:
            ValueError: If there is no such kernel.
        """
        if name == "mlp":
            return cls(normalize="constant")
        if name == "dot_product_only":
            return cls(location=None)
        if name == "location_only":
            return cls(content=None)
        try:
            normalize, combine, content, location = tuple(name)
            return cls(
                _CONTENT[content],
                _LOCATION[location],
                _COMBINE[combine],
                _NORMALIZE[normalize],
            )
        except (KeyError, ValueError) as error:
            raise ValueError(f"there is no published kernel {name!r}") from error
