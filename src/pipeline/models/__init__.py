"""The networks: modules from images ``[B, C, H, W]`` float to logits ``[B, num_classes]``."""

from pipeline.models.cnn import CNN
from pipeline.models.mlp import MLP
from pipeline.models.recurrent import GRU, LSTM, RNN
from pipeline.models.residual import ResNet
from pipeline.models.structure import layers

__all__ = ["CNN", "GRU", "LSTM", "MLP", "RNN", "ResNet", "layers"]
