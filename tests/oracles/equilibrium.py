"""Equilibria of one set at a time: autograd for derivatives, SciPy for minimisation."""

import numpy as np
import torch
from scipy.optimize import minimize


def minimiser(energy, start):
    """The minimum of ``energy(y)`` from ``start``, in float64.

    By SciPy's L-BFGS; as that compares values, which are flat at a minimum, its last
    digits come from two plain Newton steps.
    """

    def value_and_gradient(y):
        y = torch.tensor(y, dtype=torch.float64, requires_grad=True)
        value = energy(y)
        (gradient,) = torch.autograd.grad(value, y)
        return value.item(), gradient.numpy()

    found = minimize(
        value_and_gradient,
        np.asarray(start, dtype=np.float64),
        jac=True,
        method="L-BFGS-B",
        options={"ftol": 0, "gtol": 1e-12, "maxiter": 10_000, "maxls": 100},
    )
    y = torch.tensor(found.x)
    for _ in range(2):
        _, gradient = value_and_gradient(y.numpy())
        hessian = torch.autograd.functional.hessian(energy, y)
        y = y - torch.linalg.solve(hessian, torch.from_numpy(gradient))
    return y


def minimisers(energy, x, index, num_sets, out_channels):
    """A minimum of ``energy(y, elements)`` for each set; zero for an empty one."""
    rows = []
    for number in range(num_sets):
        elements = x[index == number].detach().double()
        zero = np.zeros(out_channels)
        rows.append(
            minimiser(lambda y, e=elements: energy(y, e), zero)
            if len(elements)
            else torch.zeros(out_channels, dtype=torch.float64)
        )
    return torch.stack(rows)


def convex_energy(weights, y, elements, scale):
    """The convex energy of one set, written element by element."""
    amplitude = torch.log1p(torch.exp(weights["raw_amplitude"]))
    ridge = torch.log1p(torch.exp(weights["raw_curvature"])) + 1e-3
    total = 0
    for x in elements:
        h = 1 / (
            1 + torch.exp(-(weights["lin_lift.weight"] @ x + weights["lin_lift.bias"]))
        )
        unit = weights["lin_x.weight"] @ h
        unit = unit + weights["lin_y.weight"] @ y + weights["lin_y.bias"]
        total = total + (amplitude * torch.log1p(torch.exp(unit))).sum()
        total = total - (weights["lin_out.weight"] @ x) @ y
    n = len(elements)
    factor = {"sum": 1, "mean": 1 / n, "log": np.log2(n + 1) / n}[scale]
    return (factor * total + ridge / 2 * (y @ y)).sum()
