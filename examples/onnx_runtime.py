"""Ask an exported network with ONNX Runtime: `tsn export runs/a model.onnx`. Needs no tsn."""

import json

import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
classes = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
frames = np.load("frames.npy")  # uint8 RGB (B, S, H, W, 3)
(probabilities,) = session.run(None, {"frames": frames})
for clip in probabilities:
    print(classes[clip.argmax()], f"{clip.max():.1%}")
