"""Algorithm 1 of the paper in plain PyTorch without hf_dsd: what every other path must equal bit for bit."""

import torch


def reference_dsd(model, loss_of, groups, optimizer, phases, prune, clip, reset=True):
    """Trains `model` dense, sparse, dense.

    Args:
        model: Trained in place.
        loss_of: batch -> loss.
        groups: One list of micro-batches per optimizer step.
        optimizer: Any torch optimizer over the model's parameters.
        phases: (optimizer steps, sparsity, peak learning rate) of each phase; the rate decays linearly to 0 in each.
        prune: Names of the parameters to prune.
        clip: Largest gradient norm.
        reset: Forget the moments of the pruned weights when they come back.
    """
    groups = iter(groups)
    weights = {name: p for name, p in model.named_parameters() if name in prune}
    masks = {}
    for steps, sparsity, peak in phases:
        if not sparsity and reset:  # re-dense: clean moments for the weights that come back
            for name, mask in masks.items():
                for value in optimizer.state[weights[name]].values():
                    if value is not None and value.shape == mask.shape:
                        value.mul_(mask)
        masks = {}
        if sparsity:  # sort |W|, keep the top k = N (1 - sparsity)
            for name, w in weights.items():
                order = w.detach().abs().reshape(-1).sort(stable=True).indices
                keep = torch.ones(w.numel())
                keep[order[: round(sparsity * w.numel())]] = 0
                masks[name] = keep.view(w.shape)
                w.data.mul_(masks[name])
        for i in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = peak * ((steps - i) / steps)
            micro_batches = next(groups)
            for batch in micro_batches:
                (loss_of(batch) / len(micro_batches)).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            optimizer.zero_grad()
            for name, mask in masks.items():  # W <- W * Mask
                weights[name].data.mul_(mask)
