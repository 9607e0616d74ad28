"""What prepares pictures for torchvision's networks."""

from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil


class TorchvisionImageProcessor(ViTImageProcessorPil):
    """`ViTImageProcessorPil` under a name of its own.

    transformers saves that class without its `Pil`, and where torchvision is installed loads another class for it,
    whose resize gives other pixels than the network was trained with. Here the name in the folder decides.
    """


__all__ = ["TorchvisionImageProcessor"]
