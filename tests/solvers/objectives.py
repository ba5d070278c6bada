"""Small objectives whose minima are known, or known not to be."""

import torch

from pyg_setops.solvers import Objective


class Rows(Objective):
    """Rows of parameters ``theta`` ``[B, Y]``; the last one has nothing to minimise."""

    def __init__(self, theta, start=0.0):
        self.theta = theta
        self.first = start

    def start(self):
        return torch.full_like(self.theta, self.first).detach()

    @property
    def occupied(self):
        rows = torch.arange(len(self.theta))
        return rows < len(self.theta) - 1

    def detach(self):
        return type(self)(self.theta.detach(), self.first)


class Smooth(Rows):
    r""":math:`\sum_c (e^{y_c} - \theta_c y_c) + |y - \bar y|^2`: convex, coupled."""

    def value(self, y):
        return (y.exp() - self.theta * y).sum(1) + self.centred(y).square().sum(1)

    def grad(self, y):
        return y.exp() - self.theta + 2 * self.centred(y)

    def centred(self, y):
        return y - y.mean(-1, keepdim=True)


class Convex(Smooth):
    """The same, with its Hessian."""

    has_curvature = True

    def curvature(self, y):
        diagonal = y.exp().detach()
        return self.grad(y), lambda v: diagonal * v + 2 * self.centred(v)


class Well(Rows):
    r"""Two wells, :math:`\sum_c (y_c^2 - \theta_c^2)^2`, and a ridge between them."""

    def value(self, y):
        return (y.square() - self.theta.square()).square().sum(1)

    def grad(self, y):
        return 4 * y * (y.square() - self.theta.square())


class Slope(Rows):
    """A slope without end, which claims to be curved."""

    has_curvature = True

    def value(self, y):
        return y.sum(1)

    def grad(self, y):
        return torch.ones_like(y)

    def curvature(self, y):
        return self.grad(y), lambda v: v


def parameters(seed=0):
    """``theta`` of five rows, the last of them empty."""
    generator = torch.Generator().manual_seed(seed)
    theta = 0.5 + torch.rand(5, 3, generator=generator, dtype=torch.float64)
    return theta.requires_grad_()


def minima(theta):
    """Those of :class:`Smooth`, by many plain steps that autograd follows."""
    objective, y = Smooth(theta), torch.zeros_like(theta)
    for _ in range(400):
        y = y - 0.15 * objective.grad(y)
    return torch.where(objective.occupied[:, None], y, 0)
