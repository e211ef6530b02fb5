"""BatchNorm by the statistics of a batch that is shared out over processes, on a CPU too."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def synchronize_batch_norm(model: nn.Module) -> None:
    """Replace each BatchNorm layer within `model`, keeping its parameters and buffers.

    By torch's own on a GPU, which is all that those run on, and by `SharedBatchNorm` on a CPU.

    Raises:
        ValueError: a layer does more than torch's, which would be lost.
    """
    for name, child in model.named_children():
        if type(child) in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm):
            on_gpu = any(t.is_cuda for t in child.state_dict().values())
            convert = nn.SyncBatchNorm.convert_sync_batchnorm if on_gpu else _shared
            setattr(model, name, convert(child))
        elif isinstance(child, _BatchNorm):
            raise ValueError(
                f"the model's {type(child).__name__} is no BatchNorm of torch's own, the only one "
                "whose statistics several processes can share: train it in one process"
            )
        else:
            synchronize_batch_norm(child)


def _shared(layer: Any) -> SharedBatchNorm:
    shared = SharedBatchNorm(
        layer.num_features,
        layer.eps,
        layer.momentum,
        affine=False,
        track_running_stats=layer.track_running_stats,
    )
    shared.affine = layer.affine
    shared.weight, shared.bias = layer.weight, layer.bias
    shared._buffers = layer._buffers
    shared.training = layer.training
    return shared


class SharedBatchNorm(_BatchNorm):
    """BatchNorm over the equal shares, (N, C, ...), that all processes hold of a batch."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of dimensions will do."""

    @torch.compiler.disable
    def forward(self, input: Tensor) -> Tensor:
        """Normalised `input`; while training, with the whole batch's mean and variance."""
        if not self.training:
            return super().forward(input)
        output, mean, variance = _Normalise.apply(input, self.weight, self.bias, self.eps)
        if self.track_running_stats:
            assert self.running_mean is not None
            assert self.running_var is not None
            assert self.num_batches_tracked is not None
            with torch.no_grad():
                self.num_batches_tracked += 1
                share = self.momentum
                if share is None:  # the mean over all batches so far
                    share = 1 / float(self.num_batches_tracked)
                count = input.numel() // input.shape[1] * dist.get_world_size()
                self.running_mean.lerp_(mean, share)
                self.running_var.lerp_(variance * (count / (count - 1)), share)
        result: Tensor = output
        return result


class _Normalise(torch.autograd.Function):
    """(x - mean) / sqrt(variance + eps) × weight + bias over all processes' x, with its gradient.

    Torch's kernels do what is within a process: in evaluation mode they normalise by given
    statistics, and their backward pass gives the two sums that the full gradient needs.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        # Running statistics that nobody reads: of these, torch takes the precision of its answer.
        unread = x.new_zeros(x.shape[1], dtype=_precise(x))
        own = torch.stack(torch.batch_norm_update_stats(x, unread, unread.clone(), 0.0))
        everyone = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(everyone, own)
        means, variances = torch.stack(everyone, 1)  # (processes, C) each, float32 or more
        mean = means.mean(0)
        variance = (variances + (means - mean).square()).mean(0)
        output = F.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.eps = eps
        ctx.mark_non_differentiable(mean, variance)
        return output, mean, variance

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight, mean, variance = ctx.saved_tensors
        inverse = (variance + ctx.eps).rsqrt()
        backward: Any = torch.ops.aten.native_batch_norm_backward
        dx, dweight, dbias = backward(
            gradients[0], x, weight, mean, variance, mean, inverse, False, ctx.eps, [True] * 3
        )
        # The statistics depend on every x. dweight is the sum of dy × normalised x, dbias of dy.
        sums = torch.stack([dweight, dbias])
        dist.all_reduce(sums)
        count = x.numel() // x.shape[1] * dist.get_world_size()
        scale = inverse if weight is None else inverse * weight
        slope = -scale * inverse * sums[0] / count
        offset = -scale * sums[1] / count - slope * mean
        shape = [1, -1] + [1] * (x.dim() - 2)
        dx = dx.to(_precise(x)).addcmul_(x.to(_precise(x)), slope.view(shape))
        dx = dx.add_(offset.view(shape)).to(x.dtype)
        return dx, None if weight is None else dweight, None if weight is None else dbias, None


def _precise(x: Tensor) -> torch.dtype:
    """What statistics of `x` and sums over it are held in: float32 for halves, as torch does."""
    return torch.float32 if x.dtype in (torch.bfloat16, torch.float16) else x.dtype
