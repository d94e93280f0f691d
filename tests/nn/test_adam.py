"""Steps that are torch's own, to the bit."""

import torch

from awac_dist.nn.adam import take_steps


def test_steps_and_state_are_those_of_torch() -> None:
    drawn = torch.Generator().manual_seed(0)
    shapes = [(5, 3), (7,), (1, 1), (2, 33, 17), (4,)]
    start = [torch.randn(shape, generator=drawn) for shape in shapes]
    ours, theirs = ([torch.nn.Parameter(p.clone()) for p in start] for _ in range(2))
    made = [
        [
            torch.optim.Adam(its[:2], 1e-2, weight_decay=0.3, fused=True),
            torch.optim.Adam(its[2:], 1e-3, fused=True),
        ]
        for its in (ours, theirs)
    ]
    for number in range(20):
        for one, other in zip(ours, theirs, strict=True):
            gradient = torch.randn(one.shape, generator=drawn)
            one.grad, other.grad = gradient, gradient.clone()
        if number < 10:  # nothing reaches it at first
            ours[-1].grad = theirs[-1].grad = None
        take_steps(made[0])
        for optimizer in made[1]:
            optimizer.step()
        if number == 5:  # each goes on from what the other saved
            saved = [[optimizer.state_dict() for optimizer in its] for its in made]
            for its, states in zip(made, reversed(saved), strict=True):
                for optimizer, state in zip(its, states, strict=True):
                    optimizer.load_state_dict(state)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert not torch.equal(ours[0], start[0])
