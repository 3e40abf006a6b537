"""Name the class of a video with ONNX Runtime and ffmpeg: `tsn export runs/a model.onnx`. Needs no tsn.

pip install onnxruntime imageio-ffmpeg, which brings an ffmpeg; then: python onnx_video.py VIDEO
"""

import json
import subprocess
import sys

import imageio_ffmpeg
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
facts = session.get_modelmeta().custom_metadata_map
width, height = map(int, facts["frame_size"].split("x"))
decode = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", sys.argv[1], "-fps_mode", "passthrough"]
decode += ["-vf", f"scale={width}:{height}:flags=bilinear", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
pixels = subprocess.run(decode, stdout=subprocess.PIPE, check=True).stdout
video = np.frombuffer(pixels, np.uint8).reshape(-1, height, width, 3)  # all N frames

segments = int(facts["num_segments"])
part = len(video) / segments  # the middle frame of each part, as the metadata's "sampling" says
numbers = [int(part / 2 + part * i) if len(video) > segments else 0 for i in range(segments)]
(probabilities,) = session.run(None, {"frames": video[None, numbers]})  # a batch of one clip
for best in probabilities[0].argsort()[::-1][:5]:
    print(f"{probabilities[0, best]:7.2%}  {json.loads(facts['classes'])[best]}")
