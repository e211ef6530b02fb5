"""The vision transformer against torchvision's."""

from __future__ import annotations

import torch

from lrbench.model import ViT
from lrbench.task import Shapes


def test_vit_is_torchvisions_with_the_same_weights() -> None:
    from torchvision.models import VisionTransformer

    spec = ViT(patch_size=4, dim=24, depth=2, heads=3, mlp_ratio=4)
    ours = spec.build(Shapes(inputs=(3, 16, 16), outputs=(5,))).eval()
    theirs = VisionTransformer(
        image_size=16,
        patch_size=4,
        num_layers=2,
        num_heads=3,
        hidden_dim=24,
        mlp_dim=96,
        num_classes=5,
    ).eval()
    torch.manual_seed(0)
    state = {key: torch.randn_like(value) * 0.2 for key, value in theirs.state_dict().items()}
    theirs.load_state_dict(state)
    # The order of both is the order of the parts, but for the positions.
    keys = [key for key in state if key != "encoder.pos_embedding"]
    keys.insert(1, "encoder.pos_embedding")
    names = zip(ours.state_dict(), keys, strict=True)
    ours.load_state_dict({name: state[key] for name, key in names})
    images = torch.randn(3, 3, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-4, atol=1e-4)
