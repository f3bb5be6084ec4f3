"""What every gate and state did while a model ran: taken down, joined, as tables."""

from gated.inspect.recording.call import Call
from gated.inspect.recording.recordings import LayerRecording, Recording

__all__ = ["Call", "LayerRecording", "Recording"]
